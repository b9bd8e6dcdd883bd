"""Skeletons that move, as SVG: sharp at any size, small; a script only adds a button to pause."""

import html
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sjepa.config import ROOT
from sjepa.show.plots import bones, joint_colour, project
from sjepa.skeleton import NTU25, Skeleton

SCALE, FPS = 100, 15  # picture units a metre; frames a second that are drawn


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


def _moving(tag: str, look: str, seconds: float, values: dict[str, list[str]]) -> str:
    """An element whose attributes take each of their values in turn, again and again."""
    first = " ".join(f'{name}="{each[0]}"' for name, each in values.items())
    jumps = {"fill-opacity": 'calcMode="discrete" '}  # all else moves on a line
    moves = "".join(
        f'<animate attributeName="{name}" dur="{seconds:.2f}s" repeatCount="indefinite" '
        f'{jumps.get(name, "")}values="{";".join(each)}"/>' for name, each in values.items())
    return f"<{tag} {look} {first}>{moves}</{tag}>"


def _body(points: np.ndarray, seconds: float, masked: np.ndarray | None,
          skeleton: Skeleton) -> str:
    """One body, `points` `[T, V, 2]`, `masked` `[S, V]` bool or None."""
    faint = 1 if masked is None else 0.25
    parts = [f'<g opacity="{faint}" stroke-width="4" stroke-linecap="round">']
    for joint, parent, colour in bones(skeleton):
        path = [f"M{a:.0f} {b:.0f}L{c:.0f} {d:.0f}"
                for (a, b), (c, d) in points[:, [parent, joint]]]
        parts.append(_moving("path", f'stroke="{colour}"', seconds, {"d": path}))
    parts.append("</g>")
    for joint in range(len(skeleton)):
        colour = joint_colour(joint, skeleton)
        values = {name: [f"{each:.0f}" for each in points[:, joint, axis]]
                  for axis, name in enumerate(("cx", "cy"))}
        if masked is not None:
            values["fill-opacity"] = ["0" if each else "1" for each in masked[:, joint]]
        parts.append(_moving("circle", f'r="4.5" fill="{colour}" stroke="{colour}"', seconds,
                             values))
    return "".join(parts)


def animate(clips, titles=(), masks=None, seconds: float | None = None, yaw: float = 0.0,
            height: int = 220, skeleton: Skeleton = NTU25) -> Animation:
    """Clips side by side over their titles, moving in a loop.

    Args:
        clips: one clip `[T, M, V, 3]` in metres at 30 Hz, or a list of them.
        masks: for each clip None or `[S, V]` bool; masked joints are hollow in their segment.
        seconds: length of a loop; None: as long as the longest clip.
        yaw: turn about the vertical, radians.
        height: of the picture, pixels.
    """
    clips = [clips] if isinstance(clips, np.ndarray) and clips.ndim == 4 else list(clips)
    clips = [np.asarray(clip) for clip in clips]
    masks = [None if mask is None else np.asarray(mask) for mask in masks or [None] * len(clips)]
    titles = list(titles) + [""] * (len(clips) - len(titles))
    seconds = seconds or max(map(len, clips)) / 30
    drawn, left, tall = [], 0.0, max(_extent(clip, yaw)[3] for clip in clips)
    for clip, mask, title in zip(clips, masks, titles, strict=True):
        low, width, bottom, _ = _extent(clip, yaw)
        wide = max((width + 0.3) * SCALE, 8.0 * len(title))  # room for the words below
        at = np.linspace(0, len(clip) - 1, max(2, round(seconds * FPS))).round().astype(int)
        flat = project(clip[at], yaw)
        side = (wide / SCALE - width) / 2
        flat = np.stack((flat[..., 0] - low + side, tall - (flat[..., 1] - bottom)), -1) * SCALE
        inner = "".join(_body(flat[:, body], seconds, mask, skeleton)
                        for body in range(clip.shape[1]) if clip[:, body].any())
        # The words are in a grey that reads on white and on black.
        drawn.append(f'<g transform="translate({left:.0f},8)">{inner}<text x="{wide / 2:.0f}" '
                     f'y="{tall * SCALE + 26:.0f}" fill="#7d8590" font-family="sans-serif" '
                     f'font-size="14" text-anchor="middle">{html.escape(title)}</text></g>')
        left += wide
    named = html.escape("; ".join(["Skeletons in motion", *filter(None, titles)]))
    box = f"0 0 {left:.0f} {tall * SCALE + (42 if any(titles) else 14):.0f}"
    return Animation(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" height="{height}" role="img" '
        f'aria-label="{named}" style="max-width:100%">{"".join(drawn)}</svg>')


def _extent(clip: np.ndarray, yaw: float) -> tuple[float, float, float, float]:
    """Left edge, width, bottom and height in metres of the bodies that are there."""
    flat = project(clip[clip.any((2, 3))], yaw).reshape(-1, 2)
    (low, bottom), (high, top) = flat.min(0), flat.max(0)
    return low, max(high - low, 0.5), bottom, top - bottom
