"""The open pretraining pool: Bandai-Namco whole, and the training clips of two labelled open sets.

No test subject of Kinder-Gator and no test view of NW-UCLA is in it, so an encoder pretrained on
the pool may be judged on both. HDM05 is left out whole: judging on it is transfer. Bandai-Namco's
bodies are turned to where a camera stands, as the other members' are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType

import numpy as np

from sjepa.datasets.building import Job
from sjepa.datasets.items import Item
from sjepa.datasets.sources import bandai, kindergator, nwucla
from sjepa.datasets.splits import split
from sjepa.datasets.store import Store


@dataclass(frozen=True)
class Member:
    """A set in the pool.

    Attributes:
        reader: its module.
        split: whose training clips enter; None: every clip.
        turn: what its positions are multiplied by, so that its people face the camera.
    """

    reader: ModuleType
    split: str | None
    turn: tuple[int, int, int] = (1, 1, 1)


MEMBERS = {
    # Its people start facing +z, before a camera they face -z: half a turn about the vertical.
    "bandai": Member(bandai, None, (-1, 1, -1)),
    "kindergator": Member(kindergator, "kindergator/xsub"),
    "nwucla": Member(nwucla, "nwucla/xview"),
}


def classes() -> list[str]:
    """Class names of all members, each with its set's name before it."""
    return [f"{name}: {each}" for name, member in MEMBERS.items()
            for each in member.reader.CLASSES]


def member_clips(name: str, store: Store) -> np.ndarray:
    """Indices of the clips of member `name` that enter the pool."""
    part = MEMBERS[name].split
    return np.arange(len(store)) if part is None else split(part, store)[0]


def _items(name: str, load: Callable[[str], Store]) -> list[Item]:
    store = load(name)
    first = classes().index(f"{name}: {store.classes[0]}")
    turn = np.array(MEMBERS[name].turn, np.float32)
    return [
        Item(store.clip(i) * turn, first + int(store.labels[i]), f"{name}_{store.names[i]}",
             int(store.subjects[i]), int(store.views[i]), int(store.reps[i]), int(store.setups[i]))
        for i in member_clips(name, store)
    ]


def jobs(load: Callable[[str], Store]) -> list[Job]:
    """One job a member; `load(name)` opens its store. Another turn makes another job."""
    return [Job(partial(_items, name, load), (load(name).path / "store.json",),
                what=f"{name}, times {member.turn}") for name, member in MEMBERS.items()]
