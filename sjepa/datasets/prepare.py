"""From the owners' files to a store: `python -m sjepa.prepare NAME --raw DIR --out DIR`.

Reads in parallel, and compares what it found with the official counts: where they differ, the store
stays and the command fails, unless it is told to --allow-partial. `--raw` may also be one file: an
npz of the N x 300 x 150 layout (`NTU60_XSub.npz` for instance) or a pyskl pickle; under a NAME of
your own that makes a data set of your own.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import fields
from pathlib import Path

from sjepa.checkpoint import save_atomically
from sjepa.config import command_line, command_params, make_config
from sjepa.datasets import load_store, names, open_store, prepare_store
from sjepa.datasets.build import PrepareConfig, PrepareRun
from sjepa.datasets.counts import count_report
from sjepa.datasets.store import Store
from sjepa.errors import SjepaError, main_with_errors


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line's arguments; what is not given is missing."""
    parser = command_line("python -m sjepa.prepare", __doc__, PrepareRun)
    parser.add_argument("name", metavar="NAME", nargs="?", default=argparse.SUPPRESS,
                        help=f"{', '.join(names())}, or a name of your own")
    for flag, about in (("--raw", "folder of the owners' files, or one file"),
                        ("--out", "folder of stores; the set gets OUT/NAME")):
        parser.add_argument(flag, default=argparse.SUPPRESS, help=about)
    parser.add_argument("--workers", type=int, default=argparse.SUPPRESS,
                        help="processes that read; one a core if not given")
    parser.add_argument("--allow-partial", action="store_true", default=argparse.SUPPRESS,
                        help="accept clips that are not those that the owners count")
    parser.add_argument("--verify", action="store_true", help="check the store that is there")
    parser.add_argument("--export-npz", action="store_true",
                        help="also write NAME_SPLIT.npz of each protocol into OUT")
    return parser.parse_args(argv)


def export_all(store: Store, out: Path) -> None:
    """Write the npz of every protocol that the store's clips make.

    Raises:
        SjepaError: the disk has no room for them; nothing is then written.
    """
    from sjepa.datasets.formats.npz import export_npz

    known = {name: sum(sides["found"]) for name, sides in count_report(store)["splits"].items()
             if sides["found"]}
    need, free = sum(known.values()) * 300 * 150 * 4, shutil.disk_usage(out).free
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
        SjepaError: unknown set or choice, no files and no store, a store that is damaged, or one
            whose clips are not those that the owners count and `allow_partial` is False; that one
            stays.
    """
    if config.raw != PrepareRun.raw and not config.out:
        raise SjepaError(f"where is the store made from {config.raw} to lie? Give out")
    out = Path(config.out).expanduser()
    options = PrepareConfig(**{f.name: getattr(config, f.name) for f in fields(PrepareConfig)})
    if not config.out:
        path = load_store(config.name).path
    elif verify:
        path = out / config.name
    else:
        path = prepare_store(config.name, config.raw, out, options, config.workers)
    store = open_store(path, verify=True)
    report = count_report(store)
    if config.out and not verify:
        save_atomically(lambda p: p.write_text(json.dumps(report, indent=1)), path / "counts.json")
    print(f"{path}: checksums, rows and positions are sound")
    print("\n".join(report["words"]), flush=True)
    if report["faults"] and not config.allow_partial:
        raise SjepaError(f"{path} is not the whole of {config.name} ({'; '.join(report['faults'])}"
                         "): it stays there, but no number on it compares with others; get the "
                         "rest, or say --allow-partial (allow_partial: true)")
    return store, report


def main(argv: list[str] | None = None) -> None:
    """The command line: make the store or check it, and compare its counts with the official."""
    args = parse(argv)
    given = vars(args)
    flags = {f.name: given[f.name] for f in fields(PrepareRun) if f.name in given}
    params = command_params(args) if args.params or args.overrides else {}
    if "name" not in params | flags:
        raise SjepaError(f"which data set? Give NAME, one of {', '.join(names())} or your own")
    store, _ = prepare(make_config(PrepareRun, params | flags), args.verify)
    if args.export_npz:
        out = given.get("out", params.get("out"))
        export_all(store, Path(out).expanduser() if out else store.path.parent)


if __name__ == "__main__":
    main_with_errors(main)
