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
_NUMBERS = {
    "seed": int, "n": int, "right": int, "peak_bytes": int, "epoch": int, "seconds": float,
    "pretrain_seconds": float, **dict.fromkeys(("value", "low", "high", *MONITORS), float),
}


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
    known, found = _tables()[:2]
    of_run = {name: query.pop(name) for name in list(query)
              if name in RUN_COLUMNS and name not in READING_COLUMNS}
    if of_run:
        chosen = {run["run"] for run in _matching(known, of_run, RUN_COLUMNS)}
        found = [reading for reading in found if reading["run"] in chosen]
    return _matching(found, query, READING_COLUMNS)


def result(**query) -> dict | None:
    """The one reading that a query describes; None: it was not run.

    Raises:
        SjepaError: several match, so that the query has to say more.
    """
    found = readings(**query)
    if len(found) > 1:
        named = ", ".join(sorted({reading["run"] for reading in found})[:6])
        raise SjepaError(f"{len(found)} readings match {_written(query)}: say more of the run, "
                         f"one of {named}")
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
               for row in _curves(*_stamp(RESULTS / "curves.csv")) if row["run"] == run]
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


def _written(query: dict) -> str:
    return ", ".join(f"{name} = {value}" for name, value in query.items())


# ---------------------------------------------------------------- the files


def _stamp(path: Path) -> tuple[Path, int]:
    """A file and the time of its last change, which its cached content is good for."""
    return path, path.stat().st_mtime_ns if path.is_file() else 0


def _tables() -> tuple[list[dict], list[dict], dict[str, dict]]:
    """Runs, readings, and settings by hash: the committed ones, then those of quick runs."""
    known, found, lines = _committed(
        *(_stamp(RESULTS / name) for name in ("runs.csv", "readings.csv", "settings.jsonl")))
    quick = [_quick(*_stamp(path)) for path in sorted(RUNS.glob("quick*/result.json"))]
    if not quick:
        return known, found, lines
    return ([*known, *(run for run, *_ in quick)],
            [*found, *(reading for _, mine, _ in quick for reading in mine)],
            lines | {name: line for *_, mine in quick for name, line in mine.items()})


@functools.lru_cache(maxsize=4)
def _committed(*files: tuple[Path, int]) -> tuple[list[dict], list[dict], dict[str, dict]]:
    (runs_csv, _), (readings_csv, _), (settings, _) = files
    return _read(runs_csv), _read(readings_csv), _read_settings(settings)


@functools.lru_cache(maxsize=4)
def _curves(path: Path, changed: int) -> list[dict]:
    return _read(path)


@functools.lru_cache(maxsize=128)
def _quick(path: Path, changed: int) -> tuple[dict, list[dict], dict[str, dict]]:
    return _lines_of(read_result(path.parent), path)


def _read(path: Path) -> list[dict]:
    """The rows of a CSV file; an empty cell is None, `clips` a pair, `dirty` a bool."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        try:
            return [{name: _value(name, text) for name, text in row.items()}
                    for row in csv.DictReader(file, strict=True)]
        except (ValueError, AttributeError, TypeError, csv.Error) as error:
            raise SjepaError(f"{path} is damaged ({error}): take it from git again") from error


def _value(name: str, text: str):
    if text == "":
        return None
    if name == "dirty":
        return text == "yes"
    if name == "clips":
        return tuple(int(count) for count in text.split("/"))
    return _NUMBERS.get(name, str)(text)


def _text(name: str, value) -> str:
    if value is None:
        return ""
    if name == "dirty":
        return "yes" if value else "no"
    return "/".join(map(str, value)) if name == "clips" else str(value)


def _read_settings(path: Path) -> dict[str, dict]:
    """The lines of `settings.jsonl` by their hash."""
    if not path.is_file():
        return {}
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return {line["hash"]: line for line in lines}
    except (ValueError, KeyError, TypeError) as error:
        raise SjepaError(f"{path} is damaged ({error}): take it from git again") from error


def _write_csv(path: Path, columns: tuple[str, ...], rows: list[dict]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows([_text(name, row.get(name)) for name in columns] for row in rows)


# ---------------------------------------------------------------- collecting


def collect(folders: list[str | Path] = (), replace: bool = False) -> list[str]:
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
    fresh: dict[str, tuple] = {}
    for path in _result_files(folders or [RUNS]):
        run, mine, lines = _lines_of(read_result(path.parent), path)
        name = run["run"]
        if name in fresh:
            same = fresh[name][0]["settings"] == run["settings"]
            raise SjepaError(f"{path} and {fresh[name][3]} are both of the run {name}, "
                             f"{'twice' if same else 'with other settings'}: collect one of them")
        fresh[name] = run, mine, lines, path, _history(path.with_name("history.csv"), name)
    old = {row["run"]: row for row in _read(RESULTS / "runs.csv")}
    for name, (run, *_, path, _) in fresh.items():
        if name in old and old[name]["settings"] != run["settings"] and not replace:
            raise SjepaError(f"{path}: the results hold a run {name} with other settings: give "
                             "yours another out, or say --replace")
    _merge(fresh, old)
    return sorted(fresh)


def _result_files(folders) -> list[Path]:
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
    behind = made.get("pretraining") or {}
    try:
        stage = made["stages"].get("pretrain" if made["step"] == "pretrain" else "evaluate", {})
        before = behind.get("stage") or made["stages"].get("pretrain", {})
        before = {} if made["step"] == "pretrain" else before
        clips = made.get("clips") or {}
        run = {name: made.get(name) for name in RUN_COLUMNS} | {
            "group": _groups().get(made["run"], "own"), "pretraining": behind.get("run"),
            "settings": made["hash"], "device": stage.get("device"),
            "seconds": _rounded(stage.get("seconds")), "pretrain_device": before.get("device"),
            "pretrain_seconds": _rounded(before.get("seconds")),
            "peak_bytes": stage.get("peak_bytes"), "started": made.get("started"),
            "versions": "; ".join(f"{k} {v}" for k, v in made["versions"].items()),
            "clips": (clips["train"], clips["test"]) if clips.get("train") else None,
        }
        mine = [{name: (each | {"run": made["run"]}).get(name, made.get(name))
                 for name in READING_COLUMNS}
                | {name: _rounded(each[name]) for name in ("value", "low", "high")}
                for each in made.get("readings", [])]
        if any(each["metric"] is None or each["split"] is None for each in mine):
            raise KeyError("a reading without split or metric")
        lines = {made["hash"]: _settings_line(made["hash"], made["step"], made["settings"], None)}
        if behind:
            first = settings_hash(behind["settings"] | {"step": "pretrain",
                                                        "behind": settings_hash({})})
            lines[first] = _settings_line(first, "pretrain", behind["settings"], None)
            lines[made["hash"]]["pretraining"] = first
    except (KeyError, TypeError, AttributeError) as error:
        raise SjepaError(f"{path} is damaged ({error}): run it again") from error
    return run, mine, lines


def _settings_line(name: str, step: str, settings: dict, behind: str | None) -> dict:
    return {"hash": name, "step": step, "pretraining": behind, "settings": what_counts(settings)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 2)


@functools.cache
def _groups() -> dict[str, str]:
    """The group of every planned run."""
    return {row.run: row.group for row in experiments().values()}


def _history(path: Path, run: str) -> list[dict]:
    """A pretraining's monitors as lines of `curves.csv`; none where it left no history."""
    rows = []
    for row in _read(path):
        kept = {name: float(f"{row[name]:.4g}") for name in MONITORS if row.get(name) is not None}
        rows.append({"run": run, "epoch": row["epoch"]} | kept)
    return rows


def _merge(fresh: dict[str, tuple], old: dict[str, dict]) -> None:
    """Put fresh runs in the place of old ones of the same name, and write the files."""
    known = sorted((old | {name: each[0] for name, each in fresh.items()}).values(),
                   key=lambda row: row["run"])
    found, histories = (
        [row for row in _read(RESULTS / name) if row["run"] not in fresh]
        for name in ("readings.csv", "curves.csv"))
    lines = _read_settings(RESULTS / "settings.jsonl")
    for _, mine, settings, _, history in fresh.values():
        found += mine
        histories += history
        lines |= settings
    used = {row["settings"] for row in known}
    used |= {lines[name]["pretraining"] for name in used}
    found.sort(key=lambda row: [row[name] for name in ("run", "split", "protocol", "metric")])
    histories.sort(key=lambda row: (row["run"], row["epoch"]))
    RESULTS.mkdir(parents=True, exist_ok=True)
    _write_all({
        "runs.csv": lambda path: _write_csv(path, RUN_COLUMNS, known),
        "readings.csv": lambda path: _write_csv(path, READING_COLUMNS, found),
        "curves.csv": lambda path: _write_csv(path, CURVE_COLUMNS, histories),
        "settings.jsonl": lambda path: path.write_text("".join(
            json.dumps(lines[name], sort_keys=True) + "\n" for name in sorted(used - {None}))),
    })


def _write_all(files: dict) -> None:
    """Write every file beside its place, and only then put all of them there."""
    (name, write), *others = files.items()

    def then_the_others(path: Path) -> None:
        write(path)
        if others:
            _write_all(dict(others))

    save_atomically(then_the_others, RESULTS / name)
