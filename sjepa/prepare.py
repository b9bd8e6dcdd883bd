"""From the owners' files to a store: `python -m sjepa.prepare NAME --raw DIR --out DIR`.

Reads in parallel, goes on where a killed run stood, and compares what it found with the official
counts. `--raw` may also be one npz of the N x 300 x 150 layout, `NTU60_XSub.npz` for instance.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import fields
from pathlib import Path

from sjepa.checkpoint import save_atomically
from sjepa.datasets import SOURCES, load_store, prepare_store
from sjepa.datasets.catalogue import store_path
from sjepa.datasets.counts import count_report
from sjepa.datasets.formats.feeder_npz import export_npz
from sjepa.datasets.options import CHOICES, PrepareConfig, PrepareRun
from sjepa.datasets.splits import SPLITS
from sjepa.datasets.store import Store, open_store
from sjepa.errors import SjepaError, main_with_errors


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line's arguments; every setting of `PrepareConfig` is a flag."""
    parser = argparse.ArgumentParser(prog="python -m sjepa.prepare", description=__doc__)
    parser.add_argument("name", metavar="NAME", help=", ".join(SOURCES))
    parser.add_argument("--raw", default=".", help="folder of the owners' files, or one npz")
    parser.add_argument("--out", default="", help="folder of stores; the set gets OUT/NAME")
    parser.add_argument("--workers", type=int, help="processes that read; one a core if not given")
    parser.add_argument("--verify", action="store_true", help="check the store that is there")
    parser.add_argument("--export-npz", action="store_true",
                        help="also write NAME_SPLIT.npz of each protocol into OUT")
    for each in fields(PrepareConfig):
        parser.add_argument(f"--{each.name.replace('_', '-')}", default=each.default,
                            choices=CHOICES[each.name], help=each.metadata["why"])
    return parser.parse_args(argv)


def export_all(store: Store, out: Path) -> None:
    """Write the npz of every protocol that the store's clips make.

    Raises:
        SjepaError: the disk has no room for them; nothing is then written.
    """
    known = [name for name, found in count_report(store)["splits"].items() if found["found"]]
    need = sum(len(store) * 300 * 150 * 4 for name in known if SPLITS[name].takes is None)
    free = shutil.disk_usage(out).free
    if need > free:
        raise SjepaError(f"the npz files need {need / 1e9:.1f} GB and {out} has {free / 1e9:.1f}: "
                         "make room, or give another --out")
    for name in known:
        print(f"wrote {export_npz(store, name, out)}", flush=True)


def prepare(config: PrepareRun, verify: bool = False) -> tuple[Store, dict]:
    """Make the store of a set, or take the one that is there, and check and count it.

    Args:
        config: which set, from where, to where.
        verify: True makes nothing.

    Returns:
        The store, and what `count_report` says of it, which then lies beside it.

    Raises:
        SjepaError: unknown set or choice, no files and no store, or a store that is damaged.
    """
    if config.name not in SOURCES:
        raise SjepaError(f"unknown data set {config.name!r}: known are {', '.join(SOURCES)}")
    if config.workers is not None and config.workers < 1:
        raise SjepaError(f"--workers {config.workers}: expected at least 1")
    if config.raw != PrepareRun.raw and not config.out:
        raise SjepaError(f"where is the store made from {config.raw} to lie? Give out")
    out = Path(config.out).expanduser()
    options = PrepareConfig(**{f.name: getattr(config, f.name) for f in fields(PrepareConfig)})
    if not config.out:
        path = load_store(config.name).path
    elif verify:
        path = store_path(config.name, out)
    else:
        path = prepare_store(config.name, config.raw, out, options, config.workers)
    store = open_store(path, verify=True)
    report = count_report(store)
    if config.out and not verify:
        save_atomically(lambda p: p.write_text(json.dumps(report, indent=1)), path / "counts.json")
    print(f"{path}: checksums, rows and positions are sound")
    print("\n".join(report["words"]), flush=True)
    return store, report


def main(argv: list[str] | None = None) -> None:
    """The command line: make the store or check it, and compare its counts with the official."""
    args = parse(argv)
    settings = {f.name: getattr(args, f.name) for f in fields(PrepareRun)}
    store, _ = prepare(PrepareRun(**settings), args.verify)
    if args.export_npz:
        export_all(store, Path(args.out).expanduser() if args.out else store.path.parent)


if __name__ == "__main__":
    main_with_errors(main)
