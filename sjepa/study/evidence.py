"""What the evidence says: cells over seeds, and differences between them with intervals.

A cell of chapter 15's tables is one encoder under one protocol on one set, a reading a seed. Its
runs are found by name, as `sjepa.study.experiments` plans them. `sjepa.study.claims` makes tables
and verdicts of cells.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from sjepa.show.tables import NOT_RUN, percent
from sjepa.study.experiments import Experiment, experiments, grid
from sjepa.study.results import result, settings_of
from sjepa.study.tables import PROTOCOLS, evaluations, main_metric, row_reading

TARGETS = ("latent", "motion", "coordinates")
SEEDS = (0, 1, 2, 3, 4)
#: Seeds of fine-tuning, and of runs on less than the whole pool.
FEWER = SEEDS[:3]
#: Twice the steps of each target, and latents with the paper's network; all else as the targets.
LARGER = ("long", "long-motion", "long-coordinates", "full")
#: Each target without the motion capture; latents on the clips of one set alone.
KINECT = ("kinect", "kinect-motion", "kinect-coordinates")
ALONE = "nwucla-alone"
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


def run_name(what: str, seed: int = 0) -> str:
    """The run of a pretraining: a target, or what was changed of the latents' recipe."""
    return f"open-{what}-seed{seed}" if what in TARGETS or seed else f"open-{what}"


@functools.cache
def ablations() -> dict[str, dict]:
    """What each part is worth: name to the settings that take it away or change it."""
    return grid("ablation")


def cell_rows(what: str, protocol: str, column: str) -> dict[int, Experiment]:
    """The rows behind a cell by seed; empty where nothing of the kind is planned.

    Args:
        what: a target, a name of `ablations`, `LARGER` or `KINECT`, `ALONE`, or of `BASELINES`.
        protocol: `linear`, `knn`, `finetune` or `semi` (10 % of the labels).
        column: of `COLUMNS`.
    """
    label = "semi-10pct" if protocol == "semi" else protocol
    label += f"-{COLUMNS[column][0].split('/')[0]}"
    every, named = experiments("evidence"), {seed: _name(what, seed, label) for seed in SEEDS}
    return {seed: every[name] for seed, name in named.items() if name in every}


def cell(what: str, protocol: str, column: str, metric: str = "") -> dict[int, dict]:
    """The readings of a cell by seed; see `cell_rows`. `metric` is the main one if empty."""
    part, judged = COLUMNS[column]
    found = {seed: _reading(what, row.name, part, (metric or main_metric(row)) + judged)
             for seed, row in cell_rows(what, protocol, column).items()}
    return {seed: reading for seed, reading in found.items() if reading}


def fold_cell(what: str, metric: str) -> dict[int, dict]:
    """The readings of the linear probe on Kinder-Gator's five folds, by fold.

    Args:
        what: a target, `untrained` or `classical`.
        metric: `top1` or `top1-joints`, with `-coarse` after it for the 42 classes.
    """
    found = {fold: _reading(what, _name(what, 0, f"linear-kindergator-fold{fold}"),
                            f"kindergator/fold{fold}", metric) for fold in range(1, 6)}
    return {fold: reading for fold, reading in found.items() if reading}


def _name(what: str, seed: int, label: str) -> str:
    """The evaluation of `what`; baselines are named after the latents' run."""
    run, end = run_name("latent" if what in BASELINES else what, seed), BASELINES.get(what)
    return f"{run}-{label}" + (f"-{end}" if end else "")


def _reading(what: str, run: str, split: str, metric: str) -> dict | None:
    if what == "classical":  # its vectors have no joints to put side by side
        metric = metric.replace("-joints", "")
    return result(run=run, split=split, metric=metric)


def values(found: dict[int, dict]) -> np.ndarray:
    """`[n]` accuracies in percent of a cell, one a seed."""
    return np.array([reading["value"] for reading in found.values()])


def shown(found: dict[int, dict], planned: int = 1, of: str = "seeds") -> str | None:
    """A cell as text: mean ± standard deviation, or one reading and its interval.

    Args:
        found: readings by seed, or by what else they differ in.
        planned: how many there should be; fewer are said.
        of: what they differ in.
    """
    if not found:
        return None
    few = "" if len(found) >= planned else f", {len(found)} of {planned} {of}"
    if len(found) == 1:
        return percent(next(iter(found.values())), after=few)
    seen = values(found)
    return f"{seen.mean():.1f}\N{NBSP}± {seen.std(ddof=1):.1f}{few}"


@dataclass(frozen=True)
class Difference:
    """Points between two cells.

    Attributes:
        mean: of the difference.
        error: its standard error.
        degrees: of freedom behind the error; infinite where it comes from test clips.
    """

    mean: float
    error: float
    degrees: float = math.inf

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.mean - float(student.ppf(0.975, self.degrees)) * self.error

    @property
    def high(self) -> float:
        """Upper end of it."""
        return 2 * self.mean - self.low

    def chance(self, above: float = 0.0) -> float:
        """Probability of so large a difference, or a larger one, if the true one is `above`."""
        if not self.error:
            return 0.0 if self.mean > above else 1.0
        return float(student.sf((self.mean - above) / self.error, self.degrees))

    def __neg__(self) -> Difference:
        return Difference(-self.mean, self.error, self.degrees)

    def __str__(self) -> str:
        return f"{self.mean:+.1f} [{self.low:+.1f},\N{NBSP}{self.high:+.1f}]"


def compare(one: dict[int, dict], other: dict[int, dict]) -> Difference | None:
    """`one` minus `other` over the same test clips, or None where a side has no reading.

    What the interval is made of depends on what there is:

    - two seeds or more on both sides: the differences seed by seed (t, n - 1 degrees);
    - seeds against the classical features, which have none: the seeds' spread (likewise);
    - seeds against one run: as if that run spread as the seeds do, so that a further seed would
      fall inside (the deviation times root of 1 + 1/n);
    - one run against one: the readings' own intervals, as if the test clips were others.

    The first three say what another seed may do on these clips, and nothing of other clips; the
    last says the reverse.
    """
    if not one or not other:
        return None
    both = sorted(set(one) & set(other))
    if len(both) > 1:
        gaps = np.array([one[seed]["value"] - other[seed]["value"] for seed in both])
        return _difference(gaps.mean(), gaps, 1 / len(gaps))
    mean = float(values(one).mean() - values(other).mean())
    if len(one) == len(other) == 1:
        return _apart(mean, *one.values(), *other.values())
    many, single = (one, other) if len(one) > len(other) else (other, one)
    fixed = next(iter(single.values()))["method"] == "classical"
    return _difference(mean, values(many), 1 / len(many) + (0 if fixed else 1))


def _difference(mean: float, seen: np.ndarray, share: float) -> Difference:
    return Difference(float(mean), float(seen.std(ddof=1) * share**0.5), len(seen) - 1)


def _apart(mean: float, *pair: dict) -> Difference:
    """Two readings as if independent, by the widths of their intervals (Welch's degrees).

    That of several labelled subsets is Student's over them, that of one run is the test clips'.
    """
    variances, spent = [], 0.0
    for reading in pair:
        degrees = settings_of(reading["run"]).get("subsets", 1) - 1 or math.inf
        half = (reading["high"] - reading["low"]) / 2
        variances.append((half / student.ppf(0.975, degrees)) ** 2)
        spent += variances[-1] ** 2 / degrees
    total = float(sum(variances))
    return Difference(mean, total**0.5, total**2 / spent if spent else math.inf)


def lead(one: dict | None, other: dict | None) -> str:
    """How a reading stands to another, as the end of a sentence about the first.

    Ahead or behind, if the interval of the difference leaves zero out.
    """
    if not one or not other:
        return NOT_RUN
    gap = compare({0: one}, {0: other})
    size = f"by {abs(gap.mean):.1f} points"
    if gap.low <= 0 <= gap.high:
        return f"not told apart ({gap} points)"
    return f"ahead {size}" if gap.mean > 0 else f"behind {size}"


def holm(chances: list[float]) -> list[float]:
    """Chances of a family of tests after Holm's correction for their number."""
    adjusted, worst = [0.0] * len(chances), 0.0
    for rank, at in enumerate(np.argsort(chances, kind="stable")):
        worst = max(worst, min(1.0, chances[at] * (len(chances) - rank)))
        adjusted[at] = worst
    return adjusted


def ranking(protocol: str, column: str) -> list[str]:
    """The targets from the best mean to the worst; empty unless all were run."""
    found = {target: cell(target, protocol, column) for target in TARGETS}
    if not all(found.values()):
        return []
    return sorted(TARGETS, key=lambda target: -values(found[target]).mean())


def missing() -> list[Experiment]:
    """The evidence evaluations that were not run."""
    return [row for step in PROTOCOLS for row in evaluations(step, "evidence")
            if row_reading(row) is None]
