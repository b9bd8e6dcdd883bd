"""A picture of what was understood of a motion file."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np

from sjepa.datasets.layouts import face_camera
from sjepa.datasets.motion import Motion
from sjepa.show.plots import bare, draw_skeleton, filmstrip, joint_colour, project
from sjepa.skeleton import NTU25


def show_motion(motion: Motion, title: str = ""):
    """Draws a pose with its joints' names, derived ones hollow, a filmstrip, and all words.

    A name after the arrow is the file's. The person is turned to us, for the picture only.

    Returns:
        The figure.
    """
    clip = face_camera(motion.clip) if motion.skeleton == NTU25 else motion.clip
    seen = np.flatnonzero(clip[:, 0].any((1, 2)))
    pose, hollow = clip[seen[len(seen) // 2], 0], ~motion.measured
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 5), width_ratios=(2, 1))
    yaw = 0.0 if motion.skeleton.planar else 0.3
    draw_skeleton(left, pose, hollow, yaw=yaw, skeleton=motion.skeleton)
    _name_joints(left, motion, project(pose, yaw))
    left.set_title(title, loc="left", fontsize=9)
    bare(left)
    filmstrip(clip, 3, yaw=yaw, ax=right, skeleton=motion.skeleton)
    told = [*motion.facts, *(f"guessed: {each}" for each in motion.guesses)]
    words = "\n".join(textwrap.fill(each, 38, subsequent_indent="   ") for each in told)
    right.text(0, -0.05, words, transform=right.transAxes, va="top", fontsize=7)
    return figure


def _name_joints(ax, motion: Motion, flat: np.ndarray) -> None:
    """Names in a column on each side, at the height of their joints, with a thin line to each."""
    middle, reach = np.median(flat[:, 0]), np.ptp(flat[:, 0]) / 2 + 0.25
    low, high = flat[:, 1].min(), flat[:, 1].max()
    for sign in (-1, 1):
        mine = [k for k in np.argsort(flat[:, 1]) if (flat[k, 0] > middle) == (sign > 0)]
        for at, k in zip(np.linspace(low, high, len(mine)), mine, strict=True):
            name = motion.skeleton.joints[k]
            source = motion.source.get(name)
            text = f"{name} (derived)" if source is None else name if source == name else (
                f"{name} ← {source}")
            ax.annotate(text, flat[k], (middle + sign * reach, at), fontsize=7, va="center",
                        ha="left" if sign > 0 else "right", color=joint_colour(k, motion.skeleton),
                        arrowprops={"arrowstyle": "-", "lw": 0.3, "color": "0.7"})
