"""Makes the pictures of the data sets: `python book/sets.py`, where the open sets are.

Needs the stores of the open sets, or their files, in `$SJEPA_DATA`. The pictures are made of pixels
on purpose: they show the sets and do not pass them on. They are not under the code's licence: each
panel is under that of its set, which is written below it.
"""

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from sjepa import synthetic
from sjepa.datasets import load_store, spec
from sjepa.datasets.layouts import LAYOUTS, face_camera
from sjepa.datasets.sources.kindergator import CHILDREN
from sjepa.show.plots import (
    BLUE,
    GREY,
    ORANGE,
    bare,
    draw_skeleton,
    filmstrip,
    project,
)

SECONDS, FPS = 3.0, 12
COLOURS = 24
INCHES, DOTS = (9.6, 7.5), 100
ACROSS, TALL = 1.6, 2.25  # metres that a panel shows
#: Class, subject and repetition of the clip; the layout it was measured in.
SHOWN = {
    "nwucla": ("throw", 7, 2, "kinect20"),
    "kindergator": ("Throw-a-ball", 888, 0, "kinect20"),
    "hdm05": ("throwBasketball", 3, 10, "hdm31"),
    "bandai": ("raise-up-both-hands", -1, 2, "bandai21"),
}
#: Sets whose licence allows pictures of their own, and the clip that is shown.
STRIPS = {"hdm05": "a10_s03_e10_v00_00030", "cmu14": "05_02",
          "uiprmd": "m01_s01_e01_correct_kinect"}
#: Where one picture stands for two sets.
BOTH = {"ntu60": "NTU RGB+D", "pku1": "PKU-MMD"}


def panel_clips() -> list[tuple[str, str, str, np.ndarray, np.ndarray]]:
    """Title, class, licence, clip `[T, 25, 3]` and measured joints `[25]` of each open set."""
    throw = synthetic.generate_clip(synthetic.ACTIONS.index("throw"), subject=4, view=1)
    made = [("built-in", "throw", "a formula, no person", throw[:, 0], np.ones(25, bool))]
    for name, (action, subject, rep, layout) in SHOWN.items():
        assert name != "kindergator" or subject not in CHILDREN  # adults only
        store = load_store(name)
        found = (store.labels == store.classes.index(action)) & (store.subjects == subject)
        clip = store.clip(np.flatnonzero(found & (store.reps == rep))[0])
        if layout != "kinect20":  # a camera knows its front, motion capture does not
            clip = face_camera(clip)
        made.append((spec(name).title, action, spec(name).origin.licence, clip[:, 0],
                     LAYOUTS[layout].measured))
    return made


def loop(clip: np.ndarray) -> np.ndarray:
    """The frames of one loop, which begins where a hand is highest: a still shows that one."""
    at = np.linspace(0, len(clip) - 1, round(SECONDS * FPS)).round().astype(int)
    frames = clip[at]
    highest = frames[:, [7, 11], 1].max(1).argmax()
    return np.roll(frames, -highest, axis=0)


def _words(ax, title: str, second: str, third: str) -> None:
    for y, text, size, weight, colour in ((-0.08, title, 19, "bold", "black"),
                                          (-0.17, second, 15, "normal", "black"),
                                          (-0.25, third, 15, "normal", GREY)):
        ax.text(0.5, y, text, ha="center", va="center", fontsize=size, weight=weight,
                color=colour, transform=ax.transAxes)


def _stand(ax, flat: np.ndarray) -> None:
    """The part of the room that a panel shows: the feet on its floor, the person in its middle."""
    middle = (flat[..., 0].min() + flat[..., 0].max()) / 2
    floor = flat[..., 1].min() - 0.04
    ax.set_xlim(middle - ACROSS / 2, middle + ACROSS / 2)
    ax.set_ylim(floor, floor + TALL)
    bare(ax)


def _absent(ax, title: str, licence: str) -> None:
    ax.set(xlim=(0, 1), ylim=(0, TALL / ACROSS))
    ax.add_patch(plt.Rectangle((0.06, 0.03), 0.88, TALL / ACROSS - 0.1, fill=False,
                               edgecolor=GREY, linestyle=(0, (4, 4)), linewidth=1.5))
    ax.text(0.5, 0.62, "licensed:\nnot here", ha="center", va="center", fontsize=18, color=GREY)
    bare(ax)
    _words(ax, title, "Kinect v2, 25 joints", licence)


def _key(ax) -> None:
    ax.set(xlim=(0, 1), ylim=(0, TALL / ACROSS))
    rows = [("left", BLUE, BLUE), ("right", ORANGE, ORANGE), ("trunk", GREY, GREY),
            ("derived", "white", GREY)]
    for y, (text, fill, edge) in zip(np.linspace(1.0, 0.25, len(rows)), rows, strict=True):
        ax.scatter(0.18, y, s=140, color=fill, edgecolors=edge, linewidths=1.8)
        ax.text(0.32, y, text, va="center", fontsize=18)
    bare(ax)


def draw(clips, frame: int) -> Image.Image:
    """One frame of the whole picture."""
    fig, axs = plt.subplots(2, 4, figsize=INCHES, dpi=DOTS)
    fig.subplots_adjust(left=0, right=1, top=1, bottom=0.12, wspace=0, hspace=0.33)
    axs = axs.ravel()
    for ax, (title, action, licence, clip, measured) in zip(axs, clips, strict=False):
        draw_skeleton(ax, clip[frame], masked=~measured, size=16)
        _stand(ax, project(clip))
        _words(ax, title, action, licence)
    for ax, name in zip(axs[len(clips):], BOTH, strict=False):
        _absent(ax, BOTH[name], spec(name).origin.licence.split(",")[0])
    _key(axs[-1])
    return _image(fig)


def _image(fig) -> Image.Image:
    raw = io.BytesIO()
    fig.savefig(raw, format="png", bbox_inches=None)
    plt.close(fig)
    return Image.open(raw).convert("RGB")


def strip(name: str, clip: str) -> Image.Image:
    """Eight frames of one clip of a set, side by side."""
    store = load_store(name)
    fig, ax = plt.subplots(figsize=(7, 1.7), dpi=DOTS)
    fig.subplots_adjust(left=0, right=1, top=1, bottom=0)
    filmstrip(face_camera(store.clip(store.names.tolist().index(clip)))[:, :1], 8, yaw=0.4, ax=ax)
    return _image(fig).quantize(COLOURS)


def main() -> None:
    """`set-NAME.png`; `sets.webp`, which moves, and its first frame, for who wants no movement."""
    to = Path(__file__).parent / "_static"
    for name, clip in STRIPS.items():
        strip(name, clip).save(to / f"set-{name}.png", optimize=True)
    clips = [(*words, loop(clip), measured) for *words, clip, measured in panel_clips()]
    frames = [draw(clips, frame) for frame in range(len(clips[0][3]))]
    few = frames[0].quantize(COLOURS)  # the same in every frame: half the bytes, and still crisp
    few.putpalette([255 if value > 245 else value for value in few.getpalette()])  # white is white
    frames = [frame.quantize(palette=few, dither=Image.Dither.NONE) for frame in frames]
    frames[0].save(to / "sets.png", optimize=True)
    first, *others = (frame.convert("RGB") for frame in frames)
    first.save(to / "sets.webp", save_all=True, append_images=others, loop=0,
               duration=round(1000 / FPS), lossless=True, quality=100, method=6)


if __name__ == "__main__":
    main()
