"""The open pool: thirteen sets, of which Bandai-Namco, CMU and SBU are whole, the others in part.

No test subject, view or angle of a set that judges is in it, so an encoder pretrained on the pool
may be judged on its members. Of ISL-Kinect no clip of the third body angle is in it, which a
protocol of its own tests on. Members keep their subjects, views and repetitions.
"""

import zlib

import numpy as np

from sjepa.datasets.build import PrepareConfig, load_store
from sjepa.datasets.specs import DatasetSpec, Split, spec
from sjepa.datasets.splits import split
from sjepa.datasets.store import Clip, Store

#: Sets in the pool, and the split whose training clips enter; None: every clip.
MEMBERS = {
    "bandai": None, "kindergator": "kindergator/xsub", "nwucla": "nwucla/xview",
    "hdm05": "hdm05/xsub", "wmft": "wmft/xsub", "islkinect": "islkinect/pool",
    "uiprmd": "uiprmd/xsub", "gait": "gait/xsub", "kard": "kard/xsub",
    "msrdaily": "msrdaily/xsub", "cmu14": None, "florence": "florence/xsub", "sbu": None,
}
#: Those whose owners let anyone pass them on, and what is learned from them.
PUBLIC = ("hdm05", "cmu14", "uiprmd", "wmft")
#: Left out where an encoder is to meet new sets.
NEW = ("islkinect", "wmft")
#: Bandai-Namco's people start facing +z, before a camera they face -z: half a turn.
TURN = np.array((-1, 1, -1), np.float32)
#: Class names of all members, each with its set's name before it.
CLASSES = tuple(f"{name}: {each}" for name in MEMBERS for each in spec(name).classes)


def read(name: str, options: PrepareConfig) -> list[Clip]:
    """The clips of member `name` that enter the pool."""
    store, part = load_store(name), MEMBERS[name]
    first = CLASSES.index(f"{name}: {store.classes[0]}")
    return [
        Clip(store.clip(i) * (TURN if name == "bandai" else 1), first + int(store.labels[i]),
             f"{name}_{store.names[i]}", int(store.subjects[i]), int(store.views[i]),
             int(store.reps[i]), int(store.setups[i]))
        for i in (split(part, store)[0] if part else range(len(store)))
    ]


def member_of(store: Store) -> np.ndarray:
    """`[N]` the set that each clip comes from."""
    return np.array([name.partition(": ")[0] for name in store.classes])[store.labels]


def _of(store: Store, *names: str) -> np.ndarray:
    return np.isin(member_of(store), names)


def every(store: Store) -> np.ndarray:
    """`[N]` bool: all clips."""
    return np.ones(len(store), bool)


def _for_search(store: Store) -> np.ndarray:
    """The pool without the test sides of its members' splits `val`."""
    kept = every(store)
    for name in MEMBERS:
        rule = spec(name).splits.get("val")
        if rule:
            kept &= ~_of(store, name) | rule.trains(store)
    return kept


def share_of(store: Store, eighths: int) -> np.ndarray:
    """`[N]` bool: so many eighths of each set's clips, nested, by a hash of their names."""
    drawn = np.array([zlib.crc32(name.encode()) % 8 for name in store.names])
    return drawn < eighths


#: For pretraining alone: nothing to test on.
SPEC = DatasetSpec(
    name="pool", title="open pool", classes=CLASSES, files=lambda raw: list(MEMBERS), read=read,
    needs="nothing: it is made from the stores of its members", members=member_of,
    splits={
        "all": Split(every, (11_031, 0)),
        "public": Split(every, (2_835, 0), lambda store: _of(store, *PUBLIC)),
        "new": Split(every, (9_591, 0), lambda store: ~_of(store, *NEW)),
        # For choosing a recipe, which the members' splits `val` then judge.
        "val": Split(every, (8_123, 0), _for_search),
        "half": Split(every, (5_480, 0), lambda store: share_of(store, 4)),
        "quarter": Split(every, (2_763, 0), lambda store: share_of(store, 2)),
        "eighth": Split(every, (1_372, 0), lambda store: share_of(store, 1)),
    },
    clips=11_031)
