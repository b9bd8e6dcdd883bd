"""The open pretraining pool: Bandai-Namco whole, and the training clips of two labelled open sets.

No test subject of Kinder-Gator and no test view of NW-UCLA is in it, so an encoder pretrained on
the pool may be judged on both. HDM05 is left out whole: judging on it is transfer. Bandai-Namco's
bodies are turned to where a camera stands, as the other members' are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sjepa.datasets.build import PrepareConfig, load_store
from sjepa.datasets.sources import bandai, kindergator, nwucla
from sjepa.datasets.specs import DatasetSpec, Split
from sjepa.datasets.splits import split
from sjepa.datasets.store import Clip, Store

#: Sets in the pool, and the split whose training clips enter; None: every clip.
MEMBERS = {"bandai": None, "kindergator": "kindergator/xsub", "nwucla": "nwucla/xview"}
#: Bandai-Namco's people start facing +z, before a camera they face -z: half a turn.
TURN = np.array((-1, 1, -1), np.float32)
#: Class names of all members, each with its set's name before it.
CLASSES = tuple(f"{member.SPEC.name}: {each}" for member in (bandai, kindergator, nwucla)
                for each in member.CLASSES)


def members(raw: Path) -> list[str]:
    """A member is read at a time, from its store; no folder is needed."""
    return list(MEMBERS)


def read(name: str, options: PrepareConfig) -> list[Clip]:
    """The clips of member `name`."""
    store, part = load_store(name), MEMBERS[name]
    first = CLASSES.index(f"{name}: {store.classes[0]}")
    return [
        Clip(store.clip(i) * (TURN if name == "bandai" else 1), first + int(store.labels[i]),
             f"{name}_{store.names[i]}", int(store.subjects[i]), int(store.views[i]),
             int(store.reps[i]), int(store.setups[i]))
        for i in (split(part, store)[0] if part else range(len(store)))
    ]


def _every(store: Store) -> np.ndarray:
    return np.ones(len(store), bool)


def _of(store: Store, member: str) -> np.ndarray:
    return np.char.startswith(store.names, f"{member}_")


def _for_search(store: Store) -> np.ndarray:
    """The pool without the test sides of `kindergator/val` and `nwucla/val`."""
    return ~(_of(store, "kindergator") & np.isin(store.subjects, kindergator.VALIDATION)
             | _of(store, "nwucla") & np.isin(store.views, nwucla.VALIDATION))


#: For pretraining alone: nothing to test on.
SPEC = DatasetSpec(
    name="pool", title="open pool", classes=CLASSES, files=members, read=read,
    needs="nothing: it is made from the stores of its members",
    splits={
        "all": Split(_every, (4_675, 0)),
        # Without the motion capture: the training clips of the two sets that are judged.
        "kinect": Split(_every, (1_599, 0), lambda store: ~_of(store, "bandai")),
        # The same two for choosing a recipe, which `kindergator/val` and `nwucla/val` then judge.
        "val": Split(_every, (3_997, 0), _for_search),
        "kinect-val": Split(_every, (921, 0), lambda store: (
            _for_search(store) & ~_of(store, "bandai"))),
    },
    clips=4_675,
)
