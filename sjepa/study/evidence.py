"""What the evidence rows found: cells over seeds, differences with intervals, monitors over time.

Everything is read from rows, records and curves. `sjepa.study.claims` makes tables and verdicts of it.
`python -m sjepa.study.evidence curves` copies the monitors of finished pretrainings beside the records.
"""

from __future__ import annotations

import argparse
import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sjepa.checkpoint import same_settings, save_atomically
from sjepa.config import RESULTS, RUNS, PretrainConfig, make_config
from sjepa.errors import SjepaError, main_with_errors
from sjepa.show.tables import percent
from sjepa.study.row import Row
from sjepa.study.rows import rows
from sjepa.study.rows_evidence import FOLDS, SEEDS, TARGETS, run_name
from sjepa.study.tables import PROTOCOLS, evaluations, expected_id, row_record

#: Column of a table to the test clips that it is about, and what judges the predictions on them.
COLUMNS = {
    "Kinder-Gator 58": ("kindergator/xsub", ""),
    "Kinder-Gator 42": ("kindergator/xsub", "-coarse"),
    "NW-UCLA clean": ("nwucla/xview-clean", ""),
    "NW-UCLA all": ("nwucla/xview", ""),
    "HDM05": ("hdm05/xsub", ""),
}
#: The columns that a verdict needs; both sets are in the pool, their test clips are not.
JUDGES = ("Kinder-Gator 58", "NW-UCLA clean")
#: What takes the place of a pretrained encoder, as tables and as rows name it.
BASELINES = {"untrained": "random", "classical": "classical", "from scratch": "scratch"}
CURVES = RESULTS / "curves"
READINGS = ("loss", "entropy", "kl", "top_channel", "std_tokens", "std_clips", "position_share",
            "rank", "center_norm", "momentum")
#: 97.5 % points of Student's t with 1 to 10 degrees of freedom; with more, that of 10 is wide.
T_POINTS = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@functools.cache
def _rows() -> dict[str, Row]:
    return rows("evidence")


def cell_rows(what: str, protocol: str, column: str) -> dict[int, Row]:
    """The rows behind a cell by seed; empty where nothing of the kind is planned.

    Args:
        what: a target, a name of `ABLATIONS`, `LARGER` or `KINECT`, `ALONE`, or of `BASELINES`.
        protocol: `linear`, `knn`, `finetune` or `semi` (10 % of the labels).
        column: of `COLUMNS`.
    """
    part, end = COLUMNS[column][0], BASELINES.get(what, "")
    label = "semi-10pct" if protocol == "semi" else protocol
    found = {}
    for seed in SEEDS:
        run = run_name("latent" if what in BASELINES else what, seed)
        row = _rows().get(f"{run}-{label}-{part.split('/')[0]}" + (f"-{end}" if end else ""))
        if row and row not in found.values():
            found[seed] = row
    return found


def cell(what: str, protocol: str, column: str, records: list[dict],
         metric: str = "") -> dict[int, dict]:
    """The records of a cell by seed; see `cell_rows`. `metric` is the protocol's main one if empty.
    """
    part, judged = COLUMNS[column]
    if what == "classical":  # its vectors have no joints to put side by side
        metric = metric.replace("-joints", "")
    named, found = {record["id"]: record for record in records}, {}
    for seed, row in cell_rows(what, protocol, column).items():
        record = named.get(expected_id(row, part, (metric or row.main_metric) + judged))
        if record:
            found[seed] = record
    return found


def fold_cell(what: str, metric: str, records: list[dict]) -> dict[int, dict]:
    """The records of the linear probe on Kinder-Gator's five folds, by fold.

    Args:
        what: a target, `untrained` or `classical`.
        metric: `top1` or `top1-joints`, with `-coarse` after it for the 42 classes.
        records: where to look.
    """
    run, end = run_name("latent" if what in BASELINES else what), BASELINES.get(what, "")
    named, found = {record["id"]: record for record in records}, {}
    for number, fold in enumerate(FOLDS, 1):
        row = _rows()[f"{run}-linear-{fold.replace('/', '-')}" + (f"-{end}" if end else "")]
        record = named.get(expected_id(row, fold, metric))
        if record:
            found[number] = record
    return found


def values(found: dict[int, dict]) -> np.ndarray:
    """`[n]` accuracies in percent of a cell, one a seed."""
    return np.array([record["value"] for record in found.values()])


def shown(found: dict[int, dict], planned: int = 1, of: str = "seeds") -> str | None:
    """A cell as text: mean ± standard deviation, or a record and its interval.

    Args:
        found: records by seed, or by what else they differ in.
        planned: how many there should be; fewer are said.
        of: what they differ in.
    """
    if not found:
        return None
    few = "" if len(found) >= planned else f", {len(found)} of {planned} {of}"
    if len(found) == 1:
        return percent(next(iter(found.values()))) + few
    seen = values(found)
    return f"{seen.mean():.1f} ± {seen.std(ddof=1):.1f}{few}".replace(" ±", "\N{NBSP}±")


@dataclass(frozen=True)
class Difference:
    """Points between two cells, with a 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.1f} [{self.low:+.1f},\N{NBSP}{self.high:+.1f}]"


def t_point(degrees: int) -> float:
    """97.5 % point of Student's t."""
    return T_POINTS[min(degrees, len(T_POINTS)) - 1]


def compare(one: dict[int, dict], other: dict[int, dict]) -> Difference | None:
    """`one` minus `other` over the same test clips, or None where a side has no record.

    What the interval is made of depends on what there is:

    - two seeds or more on both sides: the differences seed by seed (t, n - 1 degrees);
    - seeds against the classical features, which have none: the seeds' spread (likewise);
    - seeds against one run: as if that run spread as the seeds do, so that a further seed would
      fall inside (t times the deviation times root of 1 + 1/n);
    - one run against one: the records' own intervals, as if the test clips were others.

    The first three say what another seed may do on these clips, and nothing of other clips; the
    last says the reverse.
    """
    if not one or not other:
        return None
    both = sorted(set(one) & set(other))
    if len(both) > 1:
        gaps = np.array([one[seed]["value"] - other[seed]["value"] for seed in both])
        return _interval(gaps.mean(), gaps, 1 / len(gaps))
    mean = values(one).mean() - values(other).mean()
    if len(one) == len(other) == 1:
        return _apart(mean, *one.values(), *other.values())
    many, single = (one, other) if len(one) > len(other) else (other, one)
    fixed = next(iter(single.values()))["method"] == "classical"
    return _interval(mean, values(many), 1 / len(many) + (0 if fixed else 1))


def _interval(mean: float, seen: np.ndarray, share: float) -> Difference:
    half = t_point(len(seen) - 1) * seen.std(ddof=1) * share**0.5
    return Difference(float(mean), float(mean - half), float(mean + half))


def _apart(mean: float, *pair: dict) -> Difference:
    """Two records as if independent; with few labels their intervals hold one deviation."""
    variance, subsets = 0.0, len(pair[0]["seeds"])
    for record in pair:
        half = (record["interval"][1] - record["interval"][0]) / 2
        variance += half**2 / (subsets if subsets > 1 else 1.96**2)
    half = (t_point(2 * subsets - 2) if subsets > 1 else 1.96) * variance**0.5
    return Difference(float(mean), float(mean - half), float(mean + half))


def ranking(protocol: str, column: str, records: list[dict]) -> list[str]:
    """The targets from the best mean to the worst; empty unless all were run."""
    found = {target: cell(target, protocol, column, records) for target in TARGETS}
    if not all(found.values()):
        return []
    return sorted(TARGETS, key=lambda target: -values(found[target]).mean())


def missing(records: list[dict]) -> list[Row]:
    """The evidence evaluations that have no record."""
    return [row for step in PROTOCOLS for row in evaluations(step, "evidence")
            if row_record(row, records) is None]


def collect_curves(runs: Path = RUNS, out: Path = CURVES) -> list[str]:
    """Copy each finished evidence pretraining's readings, to 4 digits, as `out/RUN.json`.

    Raises:
        SjepaError: a run of other settings than its row's, or a file that is damaged.
    """
    made = []
    for row in _rows().values():
        if row.step != "pretrain":
            continue
        run = Path(row.params["out"]).name
        path = Path(runs) / run / "run.json"
        if not path.is_file():
            continue
        try:
            facts = json.loads(path.read_text())
            history = [{name: float(f"{line[name]:.4g}") for name in READINGS if name in line}
                       | {"epoch": line["epoch"]} for line in facts["history"]]
            spent = {"device": facts["device"], "hours": round(facts["hours"], 4)}
        except (ValueError, KeyError, TypeError) as error:
            raise SjepaError(f"{path} is damaged ({error}): pretrain again") from error
        config = make_config(PretrainConfig, row.params)
        same_settings(facts["config"], config, path.parent)
        made.append(run)
        _write(Path(out) / f"{run}.json",
               {"run": run, "dim": config.dim} | spent | {"history": history})
    return made


def _write(path: Path, curve: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_atomically(lambda p: p.write_text(json.dumps(curve, indent=1) + "\n"), path)


def read_curve(run: str, folder: Path = CURVES) -> dict | None:
    """What was collected of the pretraining `run`, with its device and hours; or None."""
    path = Path(folder) / f"{run}.json"
    return json.loads(path.read_text()) if path.is_file() else None


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sjepa.study.evidence", description=__doc__)
    parser.add_argument("what", choices=["curves"], help="copy the monitors to book/results/curves")
    parser.add_argument("--runs", default=RUNS, help="folder of the runs")
    parser.add_argument("--out", default=CURVES, help="folder of the curves")
    args = parser.parse_args(argv)
    made = collect_curves(args.runs, args.out)
    print(f"{len(made)} curves in {args.out}: {', '.join(made) or 'no finished run found'}")


if __name__ == "__main__":
    main_with_errors(main)
