"""What came out: the committed results, how runs get into them, and how pages look them up.

Three files in `book/results` hold every number of the book, and `curves.csv` the monitors of
pretrainings. `collect` merges the `result.json` of runs into them. What a query leaves open has to
be unique: twins (another preset, another seed) are never mixed up silently.
"""

import csv
import functools
import json
from collections.abc import Iterable
from pathlib import Path

import yaml

from sjepa.checkpoint import read_result, run_hash, save_atomically, what_counts
from sjepa.config import RESULTS, RUNS
from sjepa.errors import SjepaError
from sjepa.protocols.encoders import WEIGHTS
from sjepa.study.experiments import experiments

#: The quick runs that come with the package: results, and the pretraining's encoder and history.
SHIPPED = WEIGHTS / "quick"
#: Columns of each table, those by which it is sorted, and what a column's text stands for.
SHAPE = yaml.safe_load(Path(__file__).with_name("results.yaml").read_text())
RUN_COLUMNS, READING_COLUMNS, CURVE_COLUMNS = (
    SHAPE["columns"][name].split() for name in ("runs.csv", "readings.csv", "curves.csv"))
MONITORS = CURVE_COLUMNS[2:]  # readings of a pretraining's history, kept to four digits
SETTINGS = "settings.jsonl"
TYPES = {name: kind for kind, names in (
    (int, SHAPE["int"]), (float, SHAPE["float"]), (lambda text: text == "yes", "dirty"),
    (lambda text: tuple(map(int, text.split("/"))), "clips")) for name in names.split()}


def runs(**query) -> list[dict]:
    """The runs that a query describes: columns of `runs.csv` to a value, or to a tuple of them."""
    return _matching(_rows("runs.csv", query.get("run")), query, RUN_COLUMNS)


def readings(**query) -> list[dict]:
    """The readings, in percent, that columns of `readings.csv`, or of their run, describe."""
    found = _rows("readings.csv", query.get("run"))
    of_run = {name: query.pop(name) for name in set(query) & set(RUN_COLUMNS)
              if name not in READING_COLUMNS}
    if of_run:
        chosen = {run["run"] for run in runs(**of_run)}
        found = [reading for reading in found if reading["run"] in chosen]
    return _matching(found, query, READING_COLUMNS)


def result(**query) -> dict | None:
    """The one reading that a query describes; None: not run; SjepaError: several match."""
    found = readings(**query)
    if len(found) > 1:
        asked = ", ".join(f"{name} = {value}" for name, value in query.items())
        named = ", ".join(sorted({reading["run"] for reading in found})[:6])
        raise SjepaError(f"{len(found)} readings match {asked}: say more of the run, one of "
                         f"{named}")
    return found[0] if found else None


def settings_of(run: str) -> dict | None:
    """Every setting of a run that counts, and as `pretraining` those behind it; None: not run."""
    found, lines = runs(run=run), {line["hash"]: line for line in _rows(SETTINGS)}
    if not found:
        return None
    line = lines[found[0]["settings"]]
    behind = lines.get(line["pretraining"])
    return line["settings"] | {"pretraining": behind and behind["settings"]}


def curve(run: str) -> dict | None:
    """A pretraining's `run`, `dim`, `device`, `seconds` and `history` by epoch; None: not run."""
    history = [{name: value for name, value in row.items() if name != "run" and value is not None}
               for row in _rows("curves.csv", run) if row["run"] == run]
    if not history:
        return None
    (line,) = runs(run=run)
    return {"run": run, "dim": settings_of(run)["dim"], "device": line["device"],
            "seconds": line["seconds"], "history": history}


def _matching(rows: list[dict], query: dict, known: list[str]) -> list[dict]:
    if unknown := set(query) - set(known):
        raise SjepaError(f"no column {', '.join(sorted(unknown))} in the results: there are "
                         f"{', '.join(known)}")
    wanted = {name: its if isinstance(its, tuple) else (its,) for name, its in query.items()}
    return [row for row in rows if all(row[name] in its for name, its in wanted.items())]


def _rows(name: str, run=None) -> list[dict]:
    """The rows of a committed file, then those of quick runs: made here, or the package's.

    Those of one `run`, if it is a name, without a look at all others: tables ask for thousands.
    """
    if isinstance(run, str) and not run.startswith("quick"):
        return _read(RESULTS / name, by_run=True).get(run, [])
    quick = (sorted(home.glob("quick*/result.json")) for home in (RUNS, SHIPPED))
    return sum((_read(path)[name] for path in next(filter(None, quick), [])), _read(RESULTS / name))


def _read(path: Path, by_run: bool = False) -> list[dict] | dict[str, list[dict]]:
    """A file's rows, those of a run's result by the file they belong into; once for each change."""
    return _parsed(path, path.stat().st_mtime_ns if path.is_file() else 0, by_run)


@functools.lru_cache(maxsize=64)
def _parsed(path: Path, changed: int, by_run: bool) -> list[dict] | dict[str, list[dict]]:
    if path.name == "result.json":
        return _rows_of(path)
    if by_run:
        found: dict[str, list[dict]] = {}
        for row in _parsed(path, changed, False):
            found.setdefault(row["run"], []).append(row)
        return found
    try:
        text = path.read_text() if path.is_file() else ""
        if path.suffix == ".jsonl":
            return [{"hash": line["hash"]} | line for line in map(json.loads, text.splitlines())]
        return [{name: TYPES.get(name, str)(cell) if cell else None for name, cell in row.items()}
                for row in csv.DictReader(text.splitlines(), strict=True)]
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        what = "take it from git again" if path.parent == RESULTS else "run it again"
        raise SjepaError(f"{path} is damaged ({error}): {what}") from error


def _text(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "/".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else value


def _write_csv(path: Path, columns: list[str], rows: list[dict]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows([_text(row.get(name)) for name in columns] for row in rows)


def collect(folders: Iterable[str | Path] = (), replace: bool = False) -> list[str]:
    """Merge the results of runs into the committed files: all of them, or nothing.

    Args:
        folders: of runs, or folders with runs in them; none: `runs/`. Quick runs are left out.
        replace: a run of the same name and other settings gives way.

    Raises:
        SjepaError: a folder without a result, a damaged one, or a name of other settings.
    """
    old = {row["run"]: row["settings"] for row in _read(RESULTS / "runs.csv")}
    fresh, places = {}, {}
    for path in _result_files(folders or [RUNS]):
        made = _rows_of(path)
        (run,) = made["runs.csv"]
        name, settings = run["run"], run["settings"]
        if name in fresh:
            raise SjepaError(f"{path} and {places[name]} are both of the run {name}: collect one "
                             "of them")
        if old.get(name, settings) != settings and not replace:
            raise SjepaError(f"{path}: the results hold a run {name} with other settings: give "
                             "yours another out, or say --replace")
        fresh[name], places[name] = made, path
    _merge(fresh)
    return sorted(fresh)


def _result_files(folders: Iterable[str | Path]) -> list[Path]:
    found = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise SjepaError(f"there is no folder {folder}: give that of a run, or one with runs "
                             "in it")
        made = sorted(path for path in folder.rglob("result.json") if not any(
            part.startswith("quick") for part in (folder.name, *path.relative_to(folder).parts)))
        if not made:
            raise SjepaError(f"{folder} holds no finished run (result.json) but perhaps quick "
                             "ones, which are not collected: give a run's folder")
        found += [path for path in made if path not in found]
    return found


def _rows_of(path: Path) -> dict[str, list[dict]]:
    """A run's result and its history as rows of the files."""
    made = read_result(path.parent)
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
        first = run_hash("pretrain", behind["settings"]) if behind else None
        lines = [{"hash": made["hash"], "step": made["step"], "pretraining": first,
                  "settings": what_counts(made["settings"])}]
        if behind:
            lines.append({"hash": first, "step": "pretrain", "pretraining": None,
                          "settings": what_counts(behind["settings"])})
        history = [{"run": made["run"], "epoch": row["epoch"]} | {
            name: float(f"{row[name]:.4g}") for name in MONITORS if row.get(name) is not None}
            for row in _read(path.with_name("history.csv"))] if own else []
        for row in (run, *mine):
            _check_cells(row)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise SjepaError(f"{path} is damaged ({error}): run it again") from error
    return {"runs.csv": [run], "readings.csv": mine, "curves.csv": history, SETTINGS: lines}


def _check_cells(row: dict) -> None:
    """A `ValueError` names a cell that would not be read as it is written."""
    for name, cell in row.items():
        if cell is None:
            same = name not in ("run", "settings")
        else:
            same = TYPES.get(name, str)(_text(cell)) == cell and len(str(cell).splitlines()) == 1
        if not same:
            raise ValueError(f"{name} is {cell!r}")


def _merge(fresh: dict[str, dict[str, list[dict]]]) -> None:
    """Put fresh runs in the place of old ones of the same name, and write the files."""
    rows = {}
    for name in (*SHAPE["columns"], SETTINGS):
        kept = [row for row in _read(RESULTS / name) if row.get("run") not in fresh]
        rows[name] = sum((made[name] for made in fresh.values()), kept)
    lines = {line["hash"]: line for line in rows[SETTINGS]}
    used = {row["settings"] for row in rows["runs.csv"]}
    used |= {lines[name]["pretraining"] for name in used} - {None}
    text = "".join(json.dumps(lines[name], sort_keys=True) + "\n" for name in sorted(used))
    writers = {SETTINGS: lambda path: path.write_text(text)}
    for name, columns in SHAPE["columns"].items():
        rows[name].sort(key=lambda row: [row.get(column) for column in SHAPE["sorted"]])
        writers[name] = functools.partial(_write_csv, columns=columns.split(), rows=rows[name])
    _write_all(list(writers.items()))


def _write_all(writers: list[tuple]) -> None:
    """Write every file beside its place, and only then put all of them there."""
    (name, write), *others = writers

    def then_the_others(path: Path) -> None:
        write(path)
        if others:
            _write_all(others)

    save_atomically(then_the_others, RESULTS / name)
