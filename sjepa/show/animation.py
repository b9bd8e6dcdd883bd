"""Skeletons that move, as SVG: sharp at any size, small; a script only adds a button to pause."""

import html
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sjepa.config import ROOT
from sjepa.show.plots import joint_colour, limbs, project
from sjepa.skeleton import NTU25, Skeleton

SCALE = 100  # picture units a metre


@dataclass(frozen=True)
class Animation:
    """An SVG that notebooks show by themselves."""

    svg: str

    @property
    def still(self) -> str:
        """The first frame."""
        return re.sub("<animate[^>]*/>", "", self.svg)

    def _repr_html_(self) -> str:
        return f'<div class="sjepa-motion" data-figure="loop">{self.svg}</div>{page_script()}'

    def save(self, path: str | Path) -> None:
        """Write the SVG as a file of its own."""
        Path(path).write_text(self.svg)


def page_script() -> str:
    """Style and script of moving figures, for a page that does not link them as the book does."""
    style, script = (ROOT / "book" / "_static" / f"figures.{kind}" for kind in ("css", "js"))
    if os.environ.get("SJEPA_FIGURES") == "linked" or not script.is_file():
        return ""
    return f"<style>{style.read_text()}</style><script>{script.read_text()}</script>"


def _values(frames: np.ndarray) -> str:
    """Animation values for points `[T, K, 2]`."""
    return ";".join(" ".join(f"{x:.0f},{y:.0f}" for x, y in points) for points in frames)


def _animated(name: str, values: str, seconds: float, how: str = "") -> str:
    return (f'<animate attributeName="{name}" dur="{seconds:.2f}s" {how}repeatCount="indefinite" '
            f'values="{values}"/>')


def _chain(points: np.ndarray, colour: str, seconds: float, opacity: float) -> str:
    return (f'<polyline fill="none" stroke="{colour}" stroke-opacity="{opacity}" stroke-width="4" '
            f'stroke-linecap="round" stroke-linejoin="round" points="{_values(points[:1])}">'
            f'{_animated("points", _values(points), seconds)}</polyline>')


def _dot(points: np.ndarray, colour: str, seconds: float, hidden: np.ndarray | None) -> str:
    moves = "".join(_animated(f"c{axis}", ";".join(f"{at:.0f}" for at in points[:, k]), seconds)
                    for k, axis in enumerate("xy"))
    if hidden is not None:
        shown = ";".join("0" if each else "1" for each in hidden)
        moves += _animated("fill-opacity", shown, seconds, 'calcMode="discrete" ')
    x, y = points[0]
    return (f'<circle r="4.5" cx="{x:.0f}" cy="{y:.0f}" fill="{colour}" stroke="{colour}" '
            f'stroke-width="1">{moves}</circle>')


def _body(points: np.ndarray, seconds: float, masked: np.ndarray | None,
          skeleton: Skeleton) -> str:
    """One body, `points` `[T, V, 2]`, `masked` `[S, V]` bool or None."""
    opacity = 1.0 if masked is None else 0.25
    parts = [_chain(points[:, line], colour, seconds, opacity) for line, colour in limbs(skeleton)]
    for joint in range(len(skeleton)):
        hidden = None if masked is None else masked[:, joint]
        parts.append(_dot(points[:, joint], joint_colour(joint, skeleton), seconds, hidden))
    return "".join(parts)


def animate(clips, titles=(), masks=None, fps: float = 15, seconds: float | None = None,
            yaw: float = 0.0, height: int = 220, skeleton: Skeleton = NTU25) -> Animation:
    """Clips side by side, moving in a loop.

    Args:
        clips: one clip `[T, M, V, 3]` in metres, or a list of them.
        titles: one below each clip.
        masks: for each clip None or `[S, V]` bool; masked joints are hollow in their segment.
        fps: frames a second that are drawn (clips are taken as 30 Hz and thinned).
        seconds: length of a loop; None: as long as the longest clip.
        yaw: turn about the vertical, radians.
        height: of the picture, pixels.
        skeleton: whose joints they are.
    """
    clips = [clips] if isinstance(clips, np.ndarray) and clips.ndim == 4 else list(clips)
    clips = [np.asarray(clip) for clip in clips]
    masks = [None if mask is None else np.asarray(mask) for mask in masks or [None] * len(clips)]
    titles = list(titles) + [""] * (len(clips) - len(titles))
    if seconds is None:
        seconds = max(len(clip) for clip in clips) / 30
    drawn, left, tall = [], 0.0, max(_extent(clip, yaw)[3] for clip in clips)
    for clip, mask, title in zip(clips, masks, titles, strict=True):
        low, width, bottom, _ = _extent(clip, yaw)
        wide = max((width + 0.3) * SCALE, 8.0 * len(title))  # room for the words below
        at = np.linspace(0, len(clip) - 1, max(2, round(seconds * fps))).round().astype(int)
        flat = project(clip[at], yaw)
        side = (wide / SCALE - width) / 2
        flat = np.stack((flat[..., 0] - low + side, tall - (flat[..., 1] - bottom)), -1) * SCALE
        inner = "".join(_body(flat[:, body], seconds, mask, skeleton)
                        for body in range(clip.shape[1]) if clip[:, body].any())
        inner += _words(title, wide / 2, tall * SCALE + 26)
        drawn.append(f'<g transform="translate({left:.0f},8)">{inner}</g>')
        left += wide
    named = html.escape("; ".join(["Skeletons in motion", *filter(None, titles)]))
    box = f"0 0 {left:.0f} {tall * SCALE + (42 if any(titles) else 14):.0f}"
    return Animation(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" height="{height}" role="img" '
        f'aria-label="{named}" style="max-width:100%">{"".join(drawn)}</svg>')


def _words(text: str, x: float, y: float) -> str:
    """A line of text centred on `x`, in a grey that reads on white and on black."""
    return (f'<text x="{x:.0f}" y="{y:.0f}" fill="#7d8590" font-family="sans-serif" '
            f'font-size="14" text-anchor="middle">{html.escape(text)}</text>')


def _extent(clip: np.ndarray, yaw: float) -> tuple[float, float, float, float]:
    """Left edge, width, bottom and height in metres of the bodies that are there."""
    flat = project(clip[clip.any((2, 3))], yaw).reshape(-1, 2)
    (low, bottom), (high, top) = flat.min(0), flat.max(0)
    return low, max(high - low, 0.5), bottom, top - bottom
