"""The fault campaign: `python tests/faults/campaign.py [--long] [--json FILE]`.

Kills at random moments, faults of disks, files and memory, hostile and mutated files: what is done
goes on to the same bits, or ends in one sentence. The status is 1 if anything does not. The short
campaign is part of `make test`; `make faults` runs the long one.
"""

import argparse
import contextlib
import importlib.metadata
import json
import re
import shutil
import sys
import tempfile
import time
import tomllib
import warnings
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from hostile import attacks  # noqa: E402
from kills import faults, kill_all, lost_process  # noqa: E402
from mutated import campaign, guarded  # noqa: E402

from sjepa.checkpoint import commit, versions  # noqa: E402
from sjepa.errors import SjepaError  # noqa: E402

SEED = 20


def dependencies() -> dict[str, dict[str, str]]:
    """Version and licence of each package that pyproject.toml names, and what needs it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    users: dict[str, list[str]] = {}
    for user, lines in ({"everything": project["dependencies"]}
                        | project["optional-dependencies"]).items():
        for line in lines:
            users.setdefault(re.match(r"[\w-]+", line)[0], []).append(user)
    return {name: licence(name) | {"needed for": "everything" if "everything" in own
                                   else ", ".join(own)} for name, own in users.items()}


def licence(name: str) -> dict[str, str]:
    """What an installed package states of itself."""
    try:
        stated = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return {"version": "not installed", "licence": "not known"}
    classes = [each.rpartition(" :: ")[2] for each in stated.get_all("Classifier", [])
               if each.startswith("License ::")]
    text = (stated["License"] or "").strip().splitlines()
    files = [path for path in importlib.metadata.files(name) or () if "LICEN" in path.name.upper()]
    text += files[0].read_text().strip().splitlines() if files else []
    named = stated["License-Expression"] or "; ".join(classes) or (text[0] if text else "not known")
    return {"version": stated["Version"], "licence": named[:200]}


def hostile(folder: Path) -> tuple[dict[str, str], list[str]]:
    """The sentence in which each attack ends, and what went wrong."""
    folder.mkdir()
    said, wrong, mark = {}, [], folder / "ran"
    for name, read in attacks(folder, mark).items():
        try:
            with guarded():
                read()
            wrong.append(f"{name}: it was read")
        except SjepaError as error:
            said[name] = str(error).replace(str(folder), "…")[:300]
        except BaseException as error:
            wrong.append(f"{name}: {type(error).__name__} {str(error)[:200]}")
        if mark.exists():
            wrong.append(f"{name}: a command in it was run")
            mark.rmdir()
    return said, wrong


def run(home: Path, long: bool) -> dict:
    """All parts; what went wrong stands in `wrong`."""
    begun = time.perf_counter()
    record = {"id": "faults", "seed": SEED, "long": long, "wrong": []}
    (home / "kills").mkdir()
    kills = kill_all(home / "kills", *((5, SEED, 6) if long else (1, SEED, 2)))
    record["kills"] = kills
    record["wrong"] += [f"{job}: {fault}" for job, row in kills.items() for fault in row["faults"]]
    if long:
        record["faults"] = faults(home / "kills")
        record["faults"]["a process of two is killed"] = lost_process(home / "kills")
    record["hostile"], wrong = hostile(home / "hostile")
    record["wrong"] += wrong
    (home / "mutated").mkdir()
    record["mutated"] = {}
    for name, reader in campaign(home / "mutated", 120_000 if long else 500, SEED).items():
        record["mutated"][name] = {key: reader.counts[key] for key in ("read", "refused")}
        record["wrong"] += [f"{name}: {times} times {fault}"
                            for fault, times in Counter(reader.faults).items()]
    named, changed = commit()
    return record | {"seconds": round(time.perf_counter() - begun), "commit": named,
                     "changed": changed, "versions": versions(), "dependencies": dependencies()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="minutes: also what is slow")
    parser.add_argument("--json", help="where the record goes")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    memory = Path("/dev/shm")
    home = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            record = run(home, args.long)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if args.json:
        Path(args.json).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    files = sum(sum(row.values()) for row in record["mutated"].values())
    struck = sum(row["kills"] for row in record["kills"].values())
    print(f"{struck} kills, {len(record['hostile'])} hostile and {files:,} mutated files in "
          f"{record['seconds']} s; wrong: {len(record['wrong'])}")
    print(*record["wrong"], sep="\n")
    sys.exit(bool(record["wrong"]))


if __name__ == "__main__":
    main()
