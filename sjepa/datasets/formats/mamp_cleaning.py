"""From a Kinect recording to a clip: the preprocessing that the published results share.

SGN (Zhang et al. 2020) cleaned NTU RGB+D with a chain of scripts; CTR-GCN (Chen et al. 2021) and
MAMP (Mao et al. 2023) took them over, and with them every skeleton paper that compares to these.
Their quirks stay, because a “better” cleaning would give other clips and no comparable number:

1. A body that leaves and returns is moved up to close the gap.
2. A clip with one body id is never tested for noise.
3. Actor 2's interval begins at frame 0, wherever its first body begins.
4. One frame of overlap is allowed, and the later body overwrites it.
5. A frame counts as empty when its numbers sum to 0 (also in `center_on_spine`).

The scripts hold a motion test and a normalisation of bone lengths too; they never call them.
"""

from dataclasses import dataclass, replace

import numpy as np

from sjepa.datasets.layouts import center_on_spine
from sjepa.datasets.ntu import SkeletonClip
from sjepa.errors import SjepaError

SHORT = 11  # a body in this many frames or fewer is noise
WIDE = 0.8  # a frame is noise when the body is wider than this share of its height
NOISY = 0.69754  # a body is noise when this share of its frames is


@dataclass(frozen=True)
class Actor:
    """One body id: `joints` `[n, 25, 3]` float32 in the valid frames `start .. start + n - 1`."""

    joints: np.ndarray
    start: int
    motion: float = 0.0

    @property
    def last(self) -> int:
        return self.start + len(self.joints) - 1


def clip_from_skeleton(sk: SkeletonClip) -> np.ndarray:
    """The whole chain: cleans a recording and moves its origin to the first actor's spine.

    Returns:
        `[T, M, 25, 3]` float32, metres; M = 1 where one body is left, else 2 (the second slot may
        be all zeros: the lineage keeps it). T is at most the number of frames with a body. No body,
        or none that is long enough, is a `SjepaError`: the scripts crash on both.
    """
    if not sk.bodies:
        raise SjepaError(f"{sk.name}: no body in any of its {sk.frames} frames, leave it out")
    valid = np.cumsum(sk.bodies_per_frame > 0)  # frames with any body, counted
    # Quirk 1: only the first frame of a body is looked up, each later one counts as the next.
    actors = [Actor(track.joints, int(valid[track.frame_indices[0]]) - 1)
              for track in sk.bodies.values()]
    if len(actors) == 1:  # quirk 2
        return center_on_spine(fill_slots(actors, int(valid[-1])))
    actors = denoise(actors)
    if not actors:
        raise SjepaError(f"{sk.name}: no body stays for more than {SHORT} frames, leave it out")
    clip = fill_slots(actors, int(valid[-1]))
    return center_on_spine(clip[clip.reshape(len(clip), -1).sum(axis=1) != 0])  # quirk 5


def motion(joints: np.ndarray) -> float:
    """Variance over all frames and joints of `[n, 25, 3]`, summed over x, y and z (m^2).

    In float32 and point after point, to the bits of the scripts' `np.var`, so that near ties sort
    as there; `einsum` takes less than half of its time.
    """
    points = joints.reshape(-1, 3)
    count = np.float32(len(points))
    apart = points - np.einsum("ij->j", points) / count
    return float((np.einsum("ij->j", apart * apart) / count).sum())


def denoise(actors: list[Actor]) -> list[Actor]:
    """Length and spread test, then the most mobile body first; ties stay in file order.

    The spread test drops bodies that are wide in most frames, furniture for instance, and stops as
    soon as one is left. A body that stays has its motion lowered to that of its narrow frames.
    """
    long = [replace(actor, motion=motion(actor.joints)) for actor in actors
            if len(actor.joints) > SHORT]
    kept = list(long)
    for actor in long:
        if len(kept) == 1:
            break
        width, height = (np.ptp(actor.joints[..., axis], axis=1) for axis in (0, 1))
        # A double: in numpy 1 a float32 scalar times a Python float was one.
        narrow = width <= WIDE * height.astype(np.float64)
        noisy = len(narrow) - int(narrow.sum())
        if noisy and noisy / len(narrow) >= NOISY:
            kept = [other for other in kept if other is not actor]
        elif noisy:
            calm = replace(actor, motion=min(actor.motion, motion(actor.joints[narrow])))
            kept = [calm if other is actor else other for other in kept]
    return sorted(kept, key=lambda actor: actor.motion, reverse=True)


def fill_slots(actors: list[Actor], frames: int) -> np.ndarray:
    """Lays bodies, the main one first, into the slots of one or two actors over valid frames.

    The first body is actor 1. Each further body continues actor 1 if its interval does not overlap
    actor 1's so far, else actor 2 under the same test, else it is dropped. An actor's interval is
    the hull of its bodies: a gap between two of them is taken.

    Returns:
        `[frames, M, 25, 3]` float32, zeros where an actor is absent; M = 1 for one body, else 2.
    """
    slots = np.zeros((frames, min(len(actors), 2), *actors[0].joints.shape[1:]), np.float32)
    hulls = [(actors[0].start, actors[0].last), (0, 0)][: slots.shape[1]]  # quirk 3: that 0 stays
    slots[actors[0].start : actors[0].last + 1, 0] = actors[0].joints
    for actor in actors[1:]:
        for slot, (start, last) in enumerate(hulls):
            if min(last, actor.last) - max(start, actor.start) <= 0:  # quirk 4
                slots[actor.start : actor.last + 1, slot] = actor.joints
                hulls[slot] = min(start, actor.start), max(last, actor.last)
                break
    return slots
