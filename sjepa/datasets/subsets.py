"""Labelled subsets for the semi-supervised protocol: a small, repeatable share of each class.

The rule needs no random generator, so that any language can repeat a list: of the n training clips
of a class, `max(1, round(share * n))` keep their label (halves round to even), those whose
SHA-256 of the text `SEED:NAME` (UTF-8, as lower-case hex digits, NAME as the store writes it) is
smallest. MAMP's two processes draw different subsets, whatever the classes.

`python -m sjepa.datasets.subsets ntu60/xsub --share 0.01 --seed 0` prints a list; for NTU it needs
no data. `lists/labelled` holds those of 1 %, and checksums of those of 10 %.
"""

import hashlib
from functools import cache
from types import SimpleNamespace

import numpy as np

from sjepa.datasets.build import load_store
from sjepa.datasets.splits import SPLITS, split
from sjepa.datasets.store import Store
from sjepa.errors import Parser, SjepaError, main_with_errors


def rank_key(seed: int, name: str) -> str:
    """What clips of a class are sorted by."""
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def labelled_subset(store: Store, train: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The training clips that keep their labels: a share of each class, above 0, at most 1.

    Returns:
        Those of the indices `train`, rising. Every class of `train` is among them.
    """
    kept = []
    for label in np.unique(store.labels[train]):
        members = train[store.labels[train] == label]
        ranked = sorted(members, key=lambda i: rank_key(seed, str(store.names[i])))
        kept += ranked[: max(1, round(share * len(members)))]
    return np.sort(np.array(kept, np.int64))


@cache
def _published(dataset: str) -> SimpleNamespace:
    """The columns of a store that splits read, from the published names of all clips."""
    from sjepa.datasets.formats.ntu_clips import numbers, published_names

    names = published_names(dataset)
    said = [numbers(each) for each in names]
    columns = {f"{key}s": np.array([each[key] for each in said]) for key in said[0]}
    return SimpleNamespace(names=np.array(names), **columns)


def published_subset(name: str, share: float, seed: int) -> list[str]:
    """Names of the labelled training clips of an NTU protocol, from the published names alone."""
    clips = _published(name.split("/")[0])
    train = np.flatnonzero(SPLITS[name].trains(clips))
    return clips.names[labelled_subset(clips, train, share, seed)].tolist()


def main(argv: list[str] | None = None) -> None:
    """The command line: print the labelled clips of a protocol, a line each."""
    parser = Parser(prog="python -m sjepa.datasets.subsets",
                                     description="Print the labelled clips of a protocol.")
    parser.add_argument("split", help="a protocol, ntu60/xsub for instance")
    parser.add_argument("--share", type=float, required=True, help="0.01 for 1 %% of each class")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another subset")
    args = parser.parse_args(argv)
    if not 0 < args.share <= 1:
        raise SjepaError(f"--share {args.share}: expected above 0, at most 1")
    if args.split.startswith("ntu") and args.split in SPLITS:
        names = published_subset(args.split, args.share, args.seed)
    else:
        store = load_store(args.split.split("/")[0])
        train, _ = split(args.split, store)
        names = store.names[labelled_subset(store, train, args.share, args.seed)].tolist()
    print("\n".join(names))


if __name__ == "__main__":
    main_with_errors(main)
