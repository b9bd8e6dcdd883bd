"""Figures that the reader moves: their data, as HTML, for `book/_static/figures.js` to build."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sjepa.datasets.layouts import LAYOUTS
from sjepa.show.animation import animate, page_script
from sjepa.show.plots import BLUE, ORANGE, PART_BOUNDS, PART_ORDER, joint_colour
from sjepa.skeleton import NTU25

_SIDE = [{BLUE: "left", ORANGE: "right"}.get(joint_colour(k), "torso") for k in range(25)]
_SKELETON = {
    "joints": NTU25.joints, "side": _SIDE, "order": PART_ORDER,
    "bones": [(k, up, _SIDE[k]) for k, up in enumerate(NTU25.parents) if up >= 0],
    "parts": [(name, *ends) for name, ends in PART_BOUNDS.items()],
}

_LIMBS = {"Shoulder": "Shoulder", "UpperArm": "Arm", "LowerArm": "ForeArm", "Hand": "Hand",
          "UpperLeg": "UpLeg", "LowerLeg": "Leg", "Foot": "Foot", "Toes": "ToeBase"}
_NAMED = {f"{ours}_{side[0]}": side + theirs for ours, theirs in _LIMBS.items()
          for side in ("Left", "Right")}
#: Joint of `bandai21` to that of BVH files of one origin, and metres a unit. The page's reader goes
#: by names alone and takes the first whose joints are all there.
CONVENTIONS = {
    "Bandai-Namco": ({joint: joint for joint in LAYOUTS["bandai21"].joints}, 0.01),
    "CMU": ({"Hips": "Hips", "Spine": "LowerBack", "Chest": "Spine1", "Neck": "Neck",
             "Head": "Neck1"} | _NAMED, 0.0254 / 0.45),
    "Mixamo": ({"Hips": "Hips", "Spine": "Spine", "Chest": "Spine1", "Neck": "Neck",
                "Head": "Head"} | _NAMED, 0.01),
}


def packed(values, bits: int = 16, rows: bool = False) -> dict:
    """An array as whole numbers of 8 or 16 `bits` in base64; it errs by half a `scale` at most.

    With `rows` each entry of the first axis has a scale of its own.
    """
    values = np.asarray(values, np.float32)
    most = np.abs(values.reshape(len(values) if rows else 1, -1)).max(1)
    scale = np.maximum(most, 1e-12) / (2 ** (bits - 1) - 1)
    steps = values.reshape(len(scale), -1) / scale[:, None]
    whole = steps.round().astype(np.int8 if bits == 8 else "<i2")
    return {"shape": values.shape, "bits": bits, "scale": [float(f"{each:.7g}") for each in scale],
            "base64": base64.b64encode(whole.tobytes()).decode()}


def resized(clip: np.ndarray, frames: int) -> np.ndarray:
    """A clip `[T, M, 25, 3]` in `frames` evenly spaced frames, linearly between its own."""
    at = np.linspace(0, len(clip) - 1, frames)
    low = at.astype(int)
    high = np.minimum(low + 1, len(clip) - 1)
    return clip[low] + (at - low)[:, None, None, None] * (clip[high] - clip[low])


@dataclass(frozen=True)
class Figure:
    """A figure as notebooks show it: a still, its data, and the script that moves it."""

    kind: str  # one of `KINDS` in figures.js
    label: str  # what it is, for those who do not see it
    caption: str  # below it
    data: dict  # what the script reads
    still: str = "<p>This figure moves where scripts may run.</p>"  # SVG for pages without any

    def _repr_html_(self) -> str:
        data = json.dumps(self.data | {"skeleton": _SKELETON}, separators=(",", ":"))
        data = data.replace("</", r"<\/")  # nothing in it may end the script
        return (f'<figure class="sjepa-figure" data-figure="{self.kind}" '
                f'aria-label="{html.escape(self.label)}"><div class="sj-still">{self.still}</div>'
                f'<script type="application/json">{data}</script>'
                f"<figcaption>{html.escape(self.caption)}</figcaption></figure>{page_script()}")


def _clips(clips: Mapping[str, np.ndarray]) -> list[dict]:
    return [{"title": title, "frames": packed(clip)} for title, clip in clips.items()]


def turn_it(clips: Mapping[str, np.ndarray], label: str, caption: str = "", segment: int = 0,
            links: dict | None = None, yaw: float = 0.4) -> Figure:
    """Bodies to turn and to scrub through, perhaps with the token sheet of the first one.

    Args:
        clips: by title, `[T, M, 25, 3]` metres.
        segment: frames of a token; 0: no token sheet.
        links: what each token of the first clip is to every other: `values` `[K, N, N]`, `names`
            of the K kinds, their `title`, the `verb` of the sentence, `scale` and `unit`; None: the
            sheet shows how far each token moves.
        yaw: the turn at first, radians.
    """
    data = {"clips": _clips(clips), "segment": segment, "yaw": yaw, "seconds": 4}
    if links:
        values = np.asarray(links["values"])
        each = packed(values.reshape(-1, values.shape[-1]), rows=True)
        data["links"] = links | {"values": each | {"shape": values.shape}}
    still = animate(list(clips.values()), list(clips), yaw=yaw, height=260).still
    return Figure("turn", label, caption, data, still)


def mask_it(clips: Mapping[str, np.ndarray], segment: int, label: str,
            caption: str = "") -> Figure:
    """Mask it yourself: clips `[T, 1, 25, 3]` by the answer to “what is it?”."""
    data = {"clips": _clips(clips), "segment": segment, "yaw": 0.4, "seconds": 6}
    still = animate(next(iter(clips.values())), yaw=0.4, height=260).still
    return Figure("mask", label, caption, data, still)


def sharpen_it(runs: Sequence[dict], label: str, caption: str = "") -> Figure:
    """Centre and sharpen: `runs` hold name, target `[K, D]`, predicted, center `[D]`, tau_t.

    `centred` says whether the run took the centre off.
    """
    data = {"tau_t": 0.06, "tau_p": 0.1, "runs": [
        run | {"target": packed(run["target"]), "predicted": packed(run["predicted"]),
               "center": [round(float(value), 4) for value in run["center"]]} for run in runs]}
    return Figure("loss", label, caption, data)


def neighbours(clips: Sequence[np.ndarray], labels: Sequence[int], classes: Sequence[str],
               spaces: Mapping[str, np.ndarray], label: str, caption: str = "") -> Figure:
    """A map of N clips `[T, 1, 25, 3]` with `labels` `[N]`; a chosen one plays with its neighbours.

    A map for each of the `spaces`, features `[N, D]` by name: t-SNE's from the cosines, turned and
    mirrored towards the first. Neighbours are those of the features and not those of the map.
    """
    from sklearn.manifold import TSNE
    from sklearn.neighbors import NearestNeighbors

    made, first = {}, None
    for name, features in spaces.items():
        unit = np.asarray(features, np.float64)
        unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
        near = NearestNeighbors(n_neighbors=5, metric="cosine").fit(unit).kneighbors()[1]
        xy = TSNE(perplexity=12, metric="cosine", init="random", random_state=0).fit_transform(unit)
        xy = (xy - xy.mean(0)) / np.abs(xy - xy.mean(0)).max()
        first = xy if first is None else first
        left, _, right = np.linalg.svd(xy.T @ first)  # Procrustes
        xy = xy @ left @ right
        xy /= np.abs(xy).max()
        made[name] = {"xy": packed(xy), "near": near.tolist()}
    dots = "".join(f'<circle r="3" fill="{BLUE}" cx="{100 * x:.0f}" cy="{-100 * y:.0f}"/>'
                   for x, y in first)
    data = {"frames": packed(np.stack([resized(clip, 20) for clip in clips])), "yaw": 0.4,
            "labels": [int(k) for k in labels], "classes": list(classes), "spaces": made,
            "seconds": 3}
    return Figure("map", label, caption, data,
                  f'<svg viewBox="-105 -105 210 210" height="300" role="img">{dots}</svg>')


def packed_weights(model) -> dict:
    """Weights by name: matrices in 8 bits, a scale a row, what has few numbers in 16."""
    return {name: packed(w.numpy(), 8, rows=True) if w.ndim == 2 else packed(w.numpy())
            for name, w in model.state_dict().items()}


def file_maps() -> dict:
    """What the readers of files need: layouts as `[[joint, weight], …]` a row, names of BVH."""
    rows = {name: [[(int(k), round(float(row[k]), 6)) for k in row.nonzero()[0]]
                   for row in LAYOUTS[name].to_ntu25]
            for name in ("bandai21", "kinect20", "mediapipe33")}
    return {"layouts": rows, "conventions": [
        {"name": name, "unit": unit, "joints": [known.get(j) for j in LAYOUTS["bandai21"].joints]}
        for name, (known, unit) in CONVENTIONS.items()]}
