"""What came out: the committed results, how runs get into them, and how pages look them up.

Three files in `book/results` hold every number of the book, and `curves.csv` the monitors of
pretrainings. `collect` merges the `result.json` that each run leaves in its own folder into them;
`readings`, `result` and `runs` look up. What a query leaves open has to be unique: twins (another
preset, another seed) are never mixed up silently.
"""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Iterable
from pathlib import Path

from sjepa.checkpoint import read_result, save_atomically, settings_hash, what_counts
from sjepa.config import RESULTS, RUNS
from sjepa.errors import SjepaError
from sjepa.study.experiments import experiments

RUN_COLUMNS = (
    "run", "group", "step", "dataset", "split", "method", "preset", "seed", "pretraining",
    "settings", "commit", "dirty", "device", "seconds", "pretrain_device", "pretrain_seconds",
    "peak_bytes", "started", "versions", "clips",
)
READING_COLUMNS = (
    "run", "dataset", "split", "protocol", "method", "preset", "seed", "metric", "value", "low",
    "high", "n", "right",
)
#: Readings of a pretraining's history that are kept, to four digits.
MONITORS = (
    "loss", "entropy", "kl", "top_channel", "std_tokens", "std_clips", "position_share", "rank",
    "center_norm", "momentum",
)
CURVE_COLUMNS = ("run", "epoch", *MONITORS)


# ---------------------------------------------------------------- look-ups


def runs(**query) -> list[dict]:
    """The runs that a query describes, by name.

    Args:
        query: columns of `runs.csv` to a value, or to a tuple of values that are all right.
    """
    return _matching(_tables()[0], query, RUN_COLUMNS)


def readings(**query) -> list[dict]:
    """The readings that a query describes, in percent, with `n` test clips and `right` of them.

    Args:
        query: columns of `readings.csv`, and those of `runs.csv` for the run behind a reading.
    """
    found = _tables()[1]
    of_run = {name: query.pop(name) for name in list(query)
              if name in RUN_COLUMNS and name not in READING_COLUMNS}
    if of_run:
        chosen = {run["run"] for run in runs(**of_run)}
        found = [reading for reading in found if reading["run"] in chosen]
    return _matching(found, query, READING_COLUMNS)


def result(**query) -> dict | None:
    """The one reading that a query describes; None: it was not run.

    Raises:
        SjepaError: several match, so that the query has to say more.
    """
    found = readings(**query)
    if len(found) > 1:
        asked = ", ".join(f"{name} = {value}" for name, value in query.items())
        named = ", ".join(sorted({reading["run"] for reading in found})[:6])
        raise SjepaError(f"{len(found)} readings match {asked}: say more of the run, one of "
                         f"{named}")
    return found[0] if found else None


def settings_of(run: str) -> dict | None:
    """Every setting of a run that counts; those of the pretraining behind it as `pretraining`.

    None: there is no such run.
    """
    lines, found = _tables()[2], runs(run=run)
    if not found:
        return None
    line = lines[found[0]["settings"]]
    behind = lines.get(line["pretraining"])
    return line["settings"] | {"pretraining": behind and behind["settings"]}


def curve(run: str) -> dict | None:
    """The monitors of a pretraining with its `dim`, `device` and `seconds`; None: not run.

    Returns:
        Besides these `run` and `history`, a mapping an epoch without what was not read.
    """
    history = [{name: value for name, value in row.items() if name != "run" and value is not None}
               for row in _committed("curves.csv") if row["run"] == run]
    if not history:
        return None
    (line,) = runs(run=run)
    return {"run": run, "dim": settings_of(run)["dim"], "device": line["device"],
            "seconds": line["seconds"], "history": history}


def _matching(rows: list[dict], query: dict, known: tuple[str, ...]) -> list[dict]:
    if unknown := set(query) - set(known):
        raise SjepaError(f"no column {', '.join(sorted(unknown))} in the results: there are "
                         f"{', '.join(known)}")
    wanted = {name: value if isinstance(value, tuple) else (value,)
              for name, value in query.items()}
    return [row for row in rows if all(row[name] in value for name, value in wanted.items())]


# ---------------------------------------------------------------- the files


def _tables() -> tuple[list[dict], list[dict], dict[str, dict]]:
    """Runs, readings, and settings by hash: the committed ones, then those of quick runs."""
    known, found = _committed("runs.csv"), _committed("readings.csv")
    lines = _committed("settings.jsonl")
    for path in sorted(RUNS.glob("quick*/result.json")):
        run, mine, settings = _quick(path, path.stat().st_mtime_ns)
        known, found, lines = [*known, run], found + mine, lines | settings
    return known, found, lines


def _committed(name: str) -> list[dict] | dict[str, dict]:
    path = RESULTS / name
    return _read(path, path.stat().st_mtime_ns if path.is_file() else 0)


@functools.lru_cache(maxsize=64)
def _quick(path: Path, changed: int) -> tuple[dict, list[dict], dict[str, dict]]:
    return _lines_of(read_result(path.parent), path)


@functools.lru_cache(maxsize=16)
def _read(path: Path, changed: int = 0) -> list[dict] | dict[str, dict]:
    """The rows of a CSV file, or the lines of a JSONL file by their hash; once for each change."""
    text = path.read_text() if path.is_file() else ""
    try:
        if path.suffix == ".jsonl":
            return {line["hash"]: line for line in map(json.loads, text.splitlines())}
        return [{name: _value(name, cell) for name, cell in row.items()}
                for row in csv.DictReader(text.splitlines(), strict=True)]
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise SjepaError(f"{path} is damaged ({error}): take it from git again") from error


def _value(name: str, text: str):
    """A cell's value; an empty one is None, `clips` a pair of counts, `dirty` a bool."""
    if text == "":
        return None
    if name in ("seed", "n", "right", "peak_bytes", "epoch"):
        return int(text)
    if name in ("value", "low", "high", "seconds", "pretrain_seconds", *MONITORS):
        return float(text)
    if name == "clips":
        return tuple(int(count) for count in text.split("/"))
    return text == "yes" if name == "dirty" else text


def _text(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "/".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else value


def _write_csv(path: Path, columns: tuple[str, ...], rows: list[dict]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows([_text(row.get(name)) for name in columns] for row in rows)


# ---------------------------------------------------------------- collecting


def collect(folders: Iterable[str | Path] = (), replace: bool = False) -> list[str]:
    """Merge the results of runs into the committed files: all of them, or nothing.

    Args:
        folders: of runs, or folders with runs in them; none: `runs/`. Quick runs are left out.
        replace: a run of the same name and other settings gives way.

    Returns:
        The names of the runs that were merged.

    Raises:
        SjepaError: no result in a folder, a damaged one, or a run's name that stands for other
            settings already.
    """
    old, fresh = {row["run"]: row for row in _committed("runs.csv")}, {}
    for path in _result_files(folders or [RUNS]):
        run, mine, lines = _lines_of(read_result(path.parent), path)
        name = run["run"]
        if name in fresh:
            same = fresh[name][0]["settings"] == run["settings"]
            raise SjepaError(f"{path} and {fresh[name][3]} are both of the run {name}, "
                             f"{'twice' if same else 'with other settings'}: collect one of them")
        if name in old and old[name]["settings"] != run["settings"] and not replace:
            raise SjepaError(f"{path}: the results hold a run {name} with other settings: give "
                             "yours another out, or say --replace")
        fresh[name] = run, mine, lines, path, _history(path.with_name("history.csv"), name)
    _merge(fresh, old)
    return sorted(fresh)


def _result_files(folders: Iterable[str | Path]) -> list[Path]:
    found = []
    for folder in map(Path, folders):
        made = sorted(path for path in folder.rglob("result.json") if not any(
            part.startswith("quick") for part in (folder.name, *path.relative_to(folder).parts)))
        if not made:
            raise SjepaError(f"{folder} holds no finished run (result.json) but perhaps quick "
                             "ones, which are not collected: give a run's folder")
        found += [path for path in made if path not in found]
    return found


def _lines_of(made: dict, path: Path) -> tuple[dict, list[dict], dict[str, dict]]:
    """A result as lines of the three files: its run, its readings, its settings by hash."""
    try:
        own, behind = made["step"] == "pretrain", made.get("pretraining") or {}
        stage = made["stages"]["pretrain" if own else "evaluate"]
        before, clips = behind.get("stage") or {}, made.get("clips") or {}
        groups = {row.run: row.group for row in experiments().values()}
        run = {name: made.get(name) for name in RUN_COLUMNS} | {
            "group": groups.get(made["run"], "own"), "pretraining": behind.get("run"),
            "settings": made["hash"], "device": stage["device"], "seconds": stage["seconds"],
            "pretrain_device": before.get("device"), "pretrain_seconds": before.get("seconds"),
            "peak_bytes": stage["peak_bytes"],
            "versions": "; ".join(f"{name} {its}" for name, its in made["versions"].items()),
            "clips": (clips["train"], clips.get("test", 0)) if clips else None,
        }
        mine = [{name: made.get(name) for name in READING_COLUMNS}
                | {name: each[name] for name in READING_COLUMNS[2:]} for each in made["readings"]]
        lines = {made["hash"]: _line(made["hash"], made["step"], made["settings"])}
        if behind:
            step = {"step": "pretrain", "behind": settings_hash({})}
            first = settings_hash(behind["settings"] | step)
            lines[first] = _line(first, "pretrain", behind["settings"])
            lines[made["hash"]]["pretraining"] = first
    except (KeyError, TypeError, AttributeError) as error:
        raise SjepaError(f"{path} is damaged ({error}): run it again") from error
    return run, mine, lines


def _line(name: str, step: str, settings: dict) -> dict:
    return {"hash": name, "step": step, "pretraining": None, "settings": what_counts(settings)}


def _history(path: Path, run: str) -> list[dict]:
    """A pretraining's monitors as lines of `curves.csv`; none where it left no history."""
    rows = _read(path, path.stat().st_mtime_ns) if path.is_file() else []
    return [{"run": run, "epoch": row["epoch"]} | {
        name: float(f"{row[name]:.4g}") for name in MONITORS if row.get(name) is not None}
        for row in rows]


def _merge(fresh: dict[str, tuple], old: dict[str, dict]) -> None:
    """Put fresh runs in the place of old ones of the same name, and write the files."""
    known = old | {name: each[0] for name, each in fresh.items()}
    found, histories = ([row for row in _committed(name) if row["run"] not in fresh]
                        for name in ("readings.csv", "curves.csv"))
    lines = dict(_committed("settings.jsonl"))
    for _, mine, settings, _, history in fresh.values():
        found, histories, lines = found + mine, histories + history, lines | settings
    used = {row["settings"] for row in known.values()}
    used |= {lines[name]["pretraining"] for name in used} - {None}
    found.sort(key=lambda row: [row[name] for name in ("run", "split", "protocol", "metric")])
    histories.sort(key=lambda row: (row["run"], row["epoch"]))
    RESULTS.mkdir(parents=True, exist_ok=True)
    _write_all({
        "runs.csv": lambda path: _write_csv(path, RUN_COLUMNS, [known[k] for k in sorted(known)]),
        "readings.csv": lambda path: _write_csv(path, READING_COLUMNS, found),
        "curves.csv": lambda path: _write_csv(path, CURVE_COLUMNS, histories),
        "settings.jsonl": lambda path: path.write_text("".join(
            json.dumps(lines[name], sort_keys=True) + "\n" for name in sorted(used))),
    })


def _write_all(files: dict) -> None:
    """Write every file beside its place, and only then put all of them there."""
    (name, write), *others = files.items()

    def then_the_others(path: Path) -> None:
        write(path)
        if others:
            _write_all(dict(others))

    save_atomically(then_the_others, RESULTS / name)
