"""From the owners' files to a store: `python -m sjepa.prepare NAME --raw DIR --out DIR`.

Reads in parallel, and compares what it found with the official counts: where they differ, the store
stays and the command fails, unless it is told to --allow-partial. `--raw` may also be one file: an
npz of the N x 300 x 150 layout (`NTU60_XSub.npz` for instance) or a pyskl pickle; under a NAME of
your own that makes a data set of your own.
"""

import hashlib
import json
from argparse import SUPPRESS
from collections import Counter
from dataclasses import fields
from pathlib import Path

import numpy as np

from sjepa.checkpoint import save_atomically
from sjepa.config import command_line, command_params, make_config
from sjepa.datasets import load_store, names, open_store, prepare_store
from sjepa.datasets.build import PrepareConfig, PrepareRun
from sjepa.datasets.specs import known as known_set
from sjepa.datasets.splits import split
from sjepa.datasets.store import Store
from sjepa.errors import SjepaError


def content_fingerprint(store: Store) -> tuple[int, str]:
    """Frames, and a hash of each clip's class, subject, view, setup and length in frames.

    It is the same for a store of the owners' files and one of their conversion, in float32 and in
    int16: neither the order of the clips, nor their names, nor the rounding of positions is in it.
    """
    columns = (store.labels, store.subjects, store.views, store.setups, store.lengths)
    rows = sorted(" ".join(map(str, row)) for row in np.stack(columns, 1).tolist())
    return int(store.lengths.sum()), hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]


def count_report(store: Store) -> dict:
    """What the store holds: `clips` and `official` (None where nobody counts).

    Besides, `splits`, for each protocol what was `found` (None where the clips do not make it, and
    `why`) and what is `official`; `left_out`, a count a reason; `words`, the same as sentences; and
    `faults`, what differs from the official counts and content.
    """
    name = store.meta["name"]
    known = known_set(name)
    official = known.clips if known else None
    # Behind the clip's own name, if the reason begins with it.
    reasons = Counter(why.split(": ", 1)[-1] for _, why in store.meta["left_out"])
    also = f" (official: {official:,} clips)" if official else ""
    words = [f"{name}: {len(store):,} clips, {len(store.frames):,} frames, "
             f"{len(store.classes)} classes{also}"]
    words += [f"left out {count:,}: {why}" for why, count in sorted(reasons.items())]
    faults = []
    if official not in (None, len(store)):
        faults.append(f"{len(store):,} clips and not {official:,}")
    found = {}
    rules = known.splits if known else {}
    for protocol in store.sides or rules:
        each = f"{name}/{protocol}"
        counts = rules[protocol].counts if protocol in rules else None
        found[each] = {"found": None, "official": counts}
        try:
            sides = found[each]["found"] = tuple(map(len, split(each, store)))
        except SjepaError as error:  # a part of the set is a store too, but not a protocol
            found[each]["why"] = str(error)
            words.append(f"{each}: not to be had, {error}")
            faults.append(f"no {each}")
            continue
        says = "as expected" if sides == counts else (
            f"expected are {counts[0]:,} and {counts[1]:,}" if counts else "nobody counts them")
        words.append(f"{each}: {sides[0]:,} training and {sides[1]:,} test clips, {says}")
        faults += [f"other counts in {each}"] if counts not in (None, sides) else []
    if known and not store.sides:  # an npz has no names, and is perhaps of one protocol
        words += known.lacks(store.names.tolist()) if known.lacks else []
        if known.content:
            same = content_fingerprint(store) == known.content
            words.append("content: clip for clip that of the conversion this project measured on"
                         if same else "content: NOT that of the conversion this project measured "
                         "on (other clips, labels or lengths)")
            faults += [] if same else ["other content"]
    return {"clips": len(store), "official": official, "splits": found, "left_out": dict(reasons),
            "words": words, "faults": faults}


def prepare(config: PrepareRun, verify: bool = False) -> tuple[Store, dict]:
    """Make the store of a set, or take the one that is there (`verify`), and check and count it.

    Returns:
        The store, and what `count_report` says of it, which then lies beside it. A store whose
        clips are not those that the owners count is a `SjepaError` unless `allow_partial`; it
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
    print(f"{path}: checksums are those of its files")
    print("\n".join(report["words"]), flush=True)
    if report["faults"] and not config.allow_partial:
        raise SjepaError(f"{path} is not the whole of {config.name} ({'; '.join(report['faults'])}"
                         "): it stays there, but no number on it compares with others; get the "
                         "rest, or say --allow-partial (allow_partial: true)")
    return store, report


def main(argv: list[str] | None = None) -> None:
    """The command line: make the store or check it, and compare its counts with the official."""
    parser = command_line("python -m sjepa.prepare", __doc__, PrepareRun)
    parser.add_argument("name", metavar="NAME", nargs="?", default=SUPPRESS,
                        help=f"{', '.join(names())}, or a name of your own")
    parser.add_argument("--raw", default=SUPPRESS, help="folder of the owners' files, or one file")
    parser.add_argument("--out", default=SUPPRESS, help="folder of stores; the set gets OUT/NAME")
    parser.add_argument("--workers", type=int, default=SUPPRESS,
                        help="processes that read; one a core if not given")
    parser.add_argument("--allow-partial", action="store_true", default=SUPPRESS,
                        help="accept clips that are not those that the owners count")
    parser.add_argument("--verify", action="store_true", help="check the store that is there")
    parser.add_argument("--export-npz", action="store_true",
                        help="also write NAME_SPLIT.npz of each protocol into OUT")
    args = parser.parse_args(argv)
    params = command_params(args) if args.params or args.overrides else {}
    params |= {f.name: getattr(args, f.name) for f in fields(PrepareRun) if f.name in args}
    if "name" not in params:
        raise SjepaError(f"which data set? Give NAME, one of {', '.join(names())} or your own")
    store, report = prepare(make_config(PrepareRun, params), args.verify)
    if args.export_npz:
        from sjepa.datasets.formats.npz import export_npz

        for protocol in (name for name, sides in report["splits"].items() if sides["found"]):
            print(f"wrote {export_npz(store, protocol, store.path.parent)}", flush=True)
