"""From the owners' files to a store: `python -m sjepa.prepare NAME --raw DIR --out DIR`."""

from __future__ import annotations

import argparse

from .command import main_with_errors
from .datasets import SOURCES, prepare_store
from .datasets.splits import SPLITS, split
from .datasets.store import open_store
from .errors import SjepaError


def main(argv: list[str] | None = None) -> None:
    """The command line: make the store, then compare its counts with the official ones."""
    parser = argparse.ArgumentParser(prog="python -m sjepa.prepare", description=__doc__)
    parser.add_argument("name", metavar="NAME", help=", ".join(SOURCES))
    parser.add_argument("--raw", default=".", help="folder of the owners' files")
    parser.add_argument("--out", required=True, help="folder of stores; the set gets DIR/NAME")
    args = parser.parse_args(argv)
    path = prepare_store(args.name, args.raw, args.out)
    store = open_store(path, verify=True)
    print(f"{path}: {len(store)} clips, {len(store.frames)} frames, {len(store.classes)} classes")
    for name, rule in SPLITS.items():
        if name.startswith(f"{args.name}/"):
            try:
                train, test = split(name, store)
            except SjepaError as error:  # a part of the set is a store too, but not a protocol
                print(error)
                continue
            official = f", official {' / '.join(map(str, rule.counts))}" if rule.counts else ""
            print(f"{name}: {len(train)} training and {len(test)} test clips{official}")


if __name__ == "__main__":
    main_with_errors(main)
