"""From a person's parts in any axes and unit to NTU-25, upright and in metres.

All of it is read off the body: which axis is up from where the head is above the ankles, the unit
from the length of its bones, left and right from where the toes point.
"""


import numpy as np

from sjepa.datasets.anatomy import NEEDED, SIDES, leg_length
from sjepa.datasets.layouts import UPRIGHT, bridge, derive, standing_height
from sjepa.errors import SjepaError
from sjepa.skeleton import NTU_FLIP_PAIRS, NTU_JOINTS

#: Metres a unit, of the units in which files are written; CMU's is 1/0.45 of an inch.
UNITS = {"metres": 1.0, "centimetres": 0.01, "millimetres": 0.001, "inches": 0.0254,
         "CMU's units": 0.0254 / 0.45, "MikuMikuDance's units": 0.08, "feet": 0.3048}
_ADULT = 1.45  # metres from the ankles to the middle of the head
_PEOPLE = 0.75, 1.95  # the same, of children and giants
_FAR = 1.5  # metres from the middle of a body, where none of its joints can be
_STANDS = 0.7  # cosine between the body and an axis
Parts = dict[str, np.ndarray]


def settle(parts: Parts, facts: list[str], guesses: list[str], sided: bool = True,
           unit: float | None = None, up: str | None = None, rest: np.ndarray | None = None,
           mirror: bool = True) -> np.ndarray:
    """A person's parts `[T, M, 3]` on NTU-25, `[T, M, 25, 3]` float32 metres.

    Args:
        parts: joint of NTU-25, at least those of `sjepa.datasets.anatomy.NEEDED`, to positions; a
            body that is absent in a frame is zero.
        facts, guesses: what is found about axes and unit is added here.
        sided: whether left and right are known.
        unit, up: what is known of them, see `sjepa.read_motion`.
        rest: `[3]` from ankles to shoulders in the pose in which the file's skeleton rests.
        mirror: whether left and right that look swapped are mended; else it is only said.
    """
    there = np.any([part.any(-1) for part in parts.values()], axis=0)
    if up is None:
        up = _up(parts, there, rest, guesses)
        facts.append(f"{up} is up")
    turn = np.array(UPRIGHT[up], float).T
    parts = {name: part @ turn for name, part in parts.items()}
    x = complete(_sides(parts, there, sided, mirror, guesses)) * there[..., None, None]
    height = standing_height(x.reshape(-1, *x.shape[-2:]))
    metres = _unit(height, facts, guesses) if unit is None else unit
    facts.append(f"{height * metres:.2f} m from the ankles to the middle of the head")
    return (x * metres).astype(np.float32)


def _middle(parts: Parts, name: str) -> np.ndarray:
    return (parts[f"left {name}"] + parts[f"right {name}"]) / 2


def _axis(vectors: np.ndarray) -> str | None:
    """The signed axis along which most of the vectors `[N, 3]` lie, if half of them or more do."""
    limit = _STANDS * np.linalg.norm(vectors, axis=-1)
    share = {axis: (vectors @ np.array(rows)[1] > limit).mean() for axis, rows in UPRIGHT.items()}
    axis = max(share, key=share.get)
    return axis if share[axis] >= 0.5 else None


def _up(parts: Parts, there: np.ndarray, rest: np.ndarray | None, guesses: list[str]) -> str:
    """The axis that is up."""
    body = (parts["head"] - _middle(parts, "ankle"))[there]
    tall = np.median(np.linalg.norm(body, axis=-1))
    rests = None if rest is None or np.linalg.norm(rest) < 0.6 * tall else _axis(rest[None])
    stands = _axis(body)
    up = stands or rests or "y"
    if stands and rests and stands != rests:  # a lying person, or a pose drawn in other axes
        hips = _middle(parts, "hip")[there]
        along = {axis: np.median(hips @ np.array(UPRIGHT[axis])[1]) / leg_length(parts, there)
                 for axis in (stands, rests)}
        if not 0.6 < along[stands] < 1.4 and 0.03 < along[rests] < 0.45:  # it lies on the floor
            up = rests
            guesses.append(f"the person lies along {stands} in most frames, as {up} is up in the "
                           f"skeleton's own pose: pass up={stands!r} if the person stands")
    if up not in ("y", "-y"):
        guesses.append(f"{up} is up, by how the person stands: pass up='y' if the person lies")
    return up


def _sides(parts: Parts, there: np.ndarray, sided: bool, mirror: bool, guesses: list) -> Parts:
    """Left and right by where the toes point, or the knees, where the names do not say."""
    toes = "left foot" in parts and "right foot" in parts
    ahead = (_middle(parts, "foot") - _middle(parts, "ankle") if toes else
             _middle(parts, "knee") - (_middle(parts, "hip") + _middle(parts, "ankle")) / 2)
    left = parts["left hip"] - parts["right hip"]
    trunk = _middle(parts, "shoulder") - _middle(parts, "hip")
    side = np.cross(trunk, ahead)
    size = np.linalg.norm(left, axis=-1) * np.linalg.norm(side, axis=-1)
    turned = ((left * side).sum(-1) / np.maximum(size, 1e-12))[there]
    swapped = np.median(turned) < (-0.5 if sided else 0) and (toes or not sided)
    if not sided:
        guesses.append(f"left and right are told by the {'toes' if toes else 'knees'}, the names "
                       "do not say: pass mapping= if they are wrong")
        if swapped:
            other = {NTU_JOINTS[a]: NTU_JOINTS[b] for pair in NTU_FLIP_PAIRS
                     for a, b in (pair, pair[::-1])}
            parts = {other.get(name, name): part for name, part in parts.items()}
    elif swapped and mirror:
        guesses.append("by the names and the toes the axes are left-handed: x was negated")
        parts = {name: part * (-1, 1, 1) for name, part in parts.items()}
    elif swapped:
        guesses.append("left and right look swapped, by where the toes point: is the picture "
                       "mirrored?")
    return parts


def _unit(height: float, facts: list[str], guesses: list[str]) -> float:
    """Metres a unit in which a body of this height is a person."""
    fits = {name: metres for name, metres in UNITS.items()
            if _PEOPLE[0] <= height * metres <= _PEOPLE[1]}
    if not fits and height > 0:
        guesses.append(f"in no known unit is the person, {height:.3g} units tall, of human "
                           f"size: made {_ADULT} m from the ankles to the head, pass unit= for "
                           "another")
        return _ADULT / height
    name = min(fits, key=lambda name: abs(np.log(height * fits[name] / _ADULT)), default="metres")
    facts.append(f"the unit is {name}")
    if name not in ("metres", "centimetres", "millimetres"):
        guesses.append(f"the unit is {name}, by the person's size: pass unit= for another")
    return UNITS[name]


#: Bones, and between which shares of the body's height they are as long in people.
_BONES = {("hip", "knee"): (0.15, 0.45), ("knee", "ankle"): (0.15, 0.45),
          ("shoulder", "elbow"): (0.08, 0.35), ("elbow", "wrist"): (0.07, 0.35)}


def unlike_person(x: np.ndarray) -> str:
    """Which proportion of a body `[T, 25, 3]` no person has, in words; empty if all are human."""
    there, at = x[x.any((1, 2))], NTU_JOINTS.index
    height = standing_height(there)

    def length(a: str, b: str) -> float:
        gap = np.linalg.norm(there[:, at(a)] - there[:, at(b)], axis=-1)
        return float(np.median(gap)) / max(height, 1e-9)

    for (a, b), (low, high) in _BONES.items():
        left, right = (length(f"{side} {a}", f"{side} {b}") for side in SIDES)
        short, long = sorted((left, right))
        if not low < short <= long < min(high, 2 * short):
            return f"from {a} to {b} it is {left:.2f} and {right:.2f} of its height"
    trunk = length("spine base", "spine shoulder")
    return "" if 0.15 < trunk < 0.6 else f"its spine has {trunk:.2f} of its height"


def complete(parts: Parts) -> np.ndarray:
    """All joints of NTU-25 `[…, 25, 3]`, of upright and right-handed parts: the rest is derived."""
    p = dict(parts)
    derive(p)
    for side in SIDES:
        if f"{side} foot" not in p:
            p[f"{side} foot"] = _toe(p, side)
    return np.stack([p[name] for name in NTU_JOINTS], axis=-2)


def _toe(p: Parts, side: str) -> np.ndarray:
    """Where the toes of a foot at right angles to its shin are: ahead, and a little lower."""
    shin = p[f"{side} knee"] - p[f"{side} ankle"]
    size = np.linalg.norm(shin, axis=-1, keepdims=True)
    ahead = np.cross(p["left hip"] - p["right hip"], shin)
    ahead /= np.maximum(np.linalg.norm(ahead, axis=-1, keepdims=True), 1e-12)
    return p[f"{side} ankle"] + 0.4 * size * ahead - 0.15 * shin


def fill_joints(clip: np.ndarray, where: str) -> np.ndarray:
    """A clip `[T, M, 25, 3]` whose absent joints are derived from those that are there.

    A joint is absent where it is NaN or exactly zero: for a while, then it moves straight between
    where it was seen; always, then `complete` makes it, or a `SjepaError` says that it cannot. A
    joint of the spine may be the origin: its zeros count where the others are metres away. Frames
    and bodies without any joint stay as they are.
    """
    clip = clip.copy()
    spine = [joint.startswith("spine") for joint in NTU_JOINTS]
    for body in clip.swapaxes(0, 1):
        there = np.isfinite(body).all(-1).any(1) & np.nan_to_num(body).any((1, 2))
        x = body[there]  # a copy
        zero = ~x.any(-1)
        others = np.nan_to_num(x).sum(1) / np.maximum((np.isfinite(x).all(-1) & ~zero).sum(1), 1)[
            :, None]
        far = np.linalg.norm(others, axis=-1) > _FAR
        known = np.isfinite(x).all(-1) & ~(zero & (far[:, None] | ~np.array(spine)))
        never = ~known.any(0)
        if not len(x) or known.all() and not never.any():
            continue
        if lost := [joint for joint in NEEDED if never[NTU_JOINTS.index(joint)]]:
            raise SjepaError(f"{where}: {', '.join(lost)} are in no frame, and the other joints do "
                             "not tell where they are")
        x = bridge(x, known[..., None])
        body[there] = complete(
            {name: x[:, k] for k, name in enumerate(NTU_JOINTS) if not never[k]})
    return clip
