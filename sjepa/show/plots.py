"""Pictures in one style: skeletons, filmstrips, masks, curves. Colour-blind safe (Okabe and Ito).

Left limbs are blue, right limbs orange, the torso grey, in every picture of the book.
"""

import base64
import html
import io

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from matplotlib.colors import to_rgba

from sjepa.skeleton import NTU25, Skeleton

GREY, BLUE, ORANGE = "#6b7280", "#0072b2", "#d55e00"
GREEN, PURPLE, YELLOW, SKY = "#009e73", "#b5548c", "#c99700", "#56b4e9"
PALETTE = [BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, GREY]
#: Joints in the order in which pictures list them, part by part and from the trunk outwards.
PART_ORDER = (
    0, 1, 20, 2, 3, 4, 5, 6, 7, 21, 22, 8, 9, 10, 11, 23, 24, 12, 13, 14, 15, 16, 17, 18, 19)
PART_BOUNDS = {"torso": (0, 5), "left arm": (5, 11), "right arm": (11, 17), "left leg": (17, 21),
               "right leg": (21, 25)}


def joint_colour(joint: int, skeleton: Skeleton = NTU25) -> str:
    """The colour of a joint: that of its side."""
    name = skeleton.joints[joint]
    return BLUE if name.startswith("left") else ORANGE if name.startswith("right") else GREY


def bones(skeleton: Skeleton) -> list[tuple[int, int, str]]:
    """Joint, parent and colour of each bone: its side's, or grey where a limb meets the trunk."""
    colours = [joint_colour(joint, skeleton) for joint in range(len(skeleton))]
    return [(joint, parent, colours[joint] if colours[joint] == colours[parent] else GREY)
            for joint, parent in enumerate(skeleton.parents) if parent >= 0]


def use_style() -> None:
    """The look of all figures; matplotlib and NumPy read tensors of a GPU from here on.

    They ask a tensor for `__array__`, which PyTorch refuses where it lies on a GPU.
    """
    torch.Tensor.__array__ = lambda tensor, dtype=None, copy=None: np.asarray(
        tensor.detach().cpu().numpy(), dtype)
    sns.set_theme(style="ticks", palette=PALETTE, font_scale=0.9)
    plt.rcParams.update({
        "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 110,
        "axes.titlesize": "medium", "axes.titleweight": "bold", "legend.frameon": False,
        "savefig.bbox": "tight", "figure.constrained_layout.use": True,
        "figure.facecolor": "none", "axes.facecolor": "none",  # pages are light or dark
    })


def caption(text: str) -> None:
    """Show the figure that was drawn last over its caption.

    `text` is one sentence that says what is to be seen; who cannot see the figure hears it.
    """
    from IPython.display import HTML, display

    figure, file, said = plt.gcf(), io.BytesIO(), html.escape(text)
    figure.savefig(file, dpi=150)
    width = round(110 * plt.imread(io.BytesIO(file.getvalue())).shape[1] / 150)
    data = base64.b64encode(file.getvalue()).decode()
    plt.close(figure)  # or the notebook would show it again, without words
    display(HTML(f'<figure class="sjepa-plot"><img alt="{said}" width="{width}" '
                 f'style="background:#fff" src="data:image/png;base64,{data}">'
                 f'<figcaption aria-hidden="true">{said}</figcaption></figure>'))


def _lines(ax, names: list[str], **look) -> None:
    """Name the lines of a chart, the first at the top; `look` are settings of its axes."""
    ax.set_yticks(range(len(names)), names)
    ax.set(ylim=(len(names) - 0.5, -0.5), **look)


def _interval(ax, at: float, low: float, value: float, high: float, colour: str,
              fill: str | None = None) -> None:
    ax.plot([low, value, high], [at] * 3, "o-", markevery=[1], color=colour, mfc=fill, lw=1.6)


def gain_chart(ax, gains: list[tuple[str, dict, dict]]) -> None:
    """Accuracies of S-JEPA (filled) and of its baseline (hollow), a line each, with intervals.

    A gain is its name, S-JEPA's reading, the baseline's.
    """
    for at, (_, *pair) in enumerate(gains):
        for reading, colour, fill, shift in zip(pair, (BLUE, GREY), (BLUE, "white"),
                                                (-0.12, 0.12), strict=True):
            ends = (reading[key] for key in ("low", "value", "high"))
            _interval(ax, at + shift, *ends, colour, fill)
    _lines(ax, [name for name, *_ in gains], xlabel="%, on test clips", xlim=(0, 100))


def dot_chart(ax, rows: list[tuple[str, dict[str, float]]], large: str) -> None:
    """Encoders, a line each: what every judge reads, in percent, and the one called `large`.

    A judge that has not read an encoder has no place in its line.
    """
    for at, (_, seen) in enumerate(rows):
        small = [value for judge, value in seen.items() if judge != large]
        ax.plot(small, [at] * len(small), "o", color=SKY, ms=4, alpha=0.8)
        if large in seen:
            ax.plot(seen[large], at, "D", color=BLUE, ms=8)
            ax.annotate(f"{seen[large]:.1f}", (seen[large], at), (0, 8), color=BLUE, ha="center",
                        textcoords="offset points")
    _lines(ax, [title for title, _ in rows], xlabel="%, on test clips", xlim=(0, 100))
    ax.set_ylim(len(rows) - 0.4, -0.7)  # room for the number above the first


def forest_chart(ax, lines: list[tuple[str, object, str]]) -> None:
    """Differences in points with their intervals, a line each, and a line at zero.

    A line is its name, a `sjepa.study.evidence.Difference`, and a colour.
    """
    for at, (_, gap, colour) in enumerate(lines):
        _interval(ax, at, gap.low, gap.mean, gap.high, colour)
    ax.axvline(0, color=GREY, lw=0.8)
    _lines(ax, [name for name, *_ in lines], xlabel="points")


def project(pose: np.ndarray, yaw: float = 0.0) -> np.ndarray:
    """Positions `[..., 3]` to picture coordinates `[..., 2]`, turned by `yaw` radians.

    Yaw 0 is what the camera sees. x runs to the camera's left, so that the picture negates it.
    """
    pose = np.asarray(pose)
    x = -(np.cos(yaw) * pose[..., 0] + np.sin(yaw) * pose[..., 2])
    return np.stack((x, pose[..., 1]), -1)


def draw_skeleton(ax, pose: np.ndarray, masked: np.ndarray | None = None, yaw: float = 0.0,
                  shift: float = 0.0, alpha: float = 1.0, size: float = 14,
                  skeleton: Skeleton = NTU25) -> None:
    """Draw one body `pose` `[V, 3]`, metres, turned by `yaw` radians and put `shift` metres aside.

    Joints of `masked` `[V]` bool are hollow, their bones faint; dots have `size` points squared.
    """
    flat = project(pose, yaw) + (shift, 0)
    hidden = np.zeros(len(skeleton), bool) if masked is None else np.asarray(masked, bool)
    for joint, parent, colour in bones(skeleton):
        faint = 0.25 if hidden[joint] or hidden[parent] else 1.0
        ax.plot(*flat[[joint, parent]].T, color=colour, lw=1.8, alpha=alpha * faint,
                solid_capstyle="round")
    colours = np.array([joint_colour(k, skeleton) for k in range(len(skeleton))])
    ax.scatter(*flat.T, s=size, zorder=3, alpha=alpha, linewidths=0.8, edgecolors=colours,
               facecolors=np.where(hidden, "white", colours))


def bare(ax) -> None:
    """Equal scales and no frame: for skeletons."""
    ax.set_aspect("equal")
    ax.axis("off")


def flow(ax, y: float, stops: list[tuple[str, str | None, str]], x: float = 0.0) -> list[float]:
    """Boxes from left to right, joined by arrows: what happens to a clip, and its shapes.

    A stop is the text in its box, the text on the arrow behind it (None: no arrow), its colour.

    Returns:
        The middle of each box; boxes are 1.3 wide and 0.8 high.
    """
    middles = []
    for text, after, colour in stops:
        ax.add_patch(plt.Rectangle((x, y - 0.4), 1.3, 0.8, fc=colour, ec="none", alpha=0.2))
        ax.text(x + 0.65, y, text, ha="center", va="center", fontsize=8)
        middles.append(x + 0.65)
        x += 1.3
        if after is not None:
            gap = 0.35 + 0.085 * len(after)
            ax.annotate("", (x + gap, y), (x, y), arrowprops={"arrowstyle": "-|>", "color": GREY})
            ax.text(x + gap / 2, y + 0.08, after, ha="center", va="bottom", fontsize=7)
            x += gap
    ax.update_datalim([(x, y)])
    ax.autoscale_view()
    ax.axis("off")
    return middles


def filmstrip(clip: np.ndarray, frames: int, yaw: float = 0.0, title: str = "", *, ax,
              skeleton: Skeleton = NTU25):
    """Evenly spaced frames of a clip `[T, M, V, 3]`, metres, side by side; `ax` is returned."""
    clip = np.asarray(clip)
    width = np.ptp(project(clip[clip.any((2, 3))], yaw)[..., 0]) + 0.25
    for k, t in enumerate(np.linspace(0, len(clip) - 1, frames).round().astype(int)):
        for body in clip[t]:
            if body.any():
                draw_skeleton(ax, body, yaw=yaw, shift=k * max(width, 0.7), size=7,
                              skeleton=skeleton)
    ax.set_title(title, loc="left")
    bare(ax)
    return ax


def mask_grid(ax, masked: np.ndarray, segments: int, values: np.ndarray | None = None,
              skeleton: Skeleton = NTU25) -> None:
    """A mask as joints against segments, joints by body part (NTU's) or in the skeleton's order.

    `masked` are indices of tokens, drawn hollow, and visible ones in the colour of their side;
    `values` `[S * V]`, if given, are shown as shades instead.
    """
    joints = len(skeleton)
    order = list(PART_ORDER if skeleton == NTU25 else range(joints))
    if values is None:
        sheet = np.tile([to_rgba(joint_colour(k, skeleton)) for k in range(joints)], (segments, 1))
        sheet[np.asarray(masked), 3] = 0
        ax.set_xticks(np.arange(segments + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(joints + 1) - 0.5, minor=True)
        ax.grid(which="minor", color=GREY, lw=0.4)
        ax.tick_params(which="minor", length=0)
    else:
        sheet = np.asarray(values)
    ax.imshow(sheet.reshape(segments, joints, -1).swapaxes(0, 1)[order], cmap="mako_r",
              aspect="auto", interpolation="nearest")
    parts = PART_BOUNDS if skeleton == NTU25 else {
        name: (k, k + 1) for k, name in enumerate(skeleton.joints)}
    ax.set_yticks([(a + b - 1) / 2 for a, b in parts.values()], list(parts))
    for _, end in list(parts.values())[:-1]:
        ax.axhline(end - 0.5, color="white", lw=1.5)
    ax.tick_params(length=0)
    ax.set_xlabel("segment")


def curves(ax, history: list[dict], *names: str, label: str = "", **look) -> None:
    """Readings of a run's history, a row an epoch; epochs without a reading are left out.

    `look` are matplotlib's line properties; a line is called as its reading if `label` is empty.
    """
    for name in names:
        rows = [(row["epoch"], row[name]) for row in history if name in row]
        ax.plot(*zip(*rows, strict=True), label=label or name.replace("_", " "), **look)
    ax.set_xlabel("epoch")
