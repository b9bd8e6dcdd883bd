"""What the evidence says: cells over seeds, and differences between them with intervals.

A cell of chapter 15's tables is one encoder under one protocol on one set, a reading a seed (or a
fold). Its runs are found by name, as `sjepa.study.experiments` plans them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from sjepa.show.tables import NOT_RUN, percent
from sjepa.study.experiments import Experiment, experiments
from sjepa.study.results import result, settings_of
from sjepa.study.tables import main_metric

TARGETS = ("latent", "motion", "coordinates")
SEEDS = (0, 1, 2, 3, 4)
#: Column of a table to the test clips that it is about, and what judges the predictions on them.
COLUMNS = {
    "Kinder-Gator 58": ("kindergator/xsub", ""),
    "Kinder-Gator 42": ("kindergator/xsub", "-coarse"),
    "NW-UCLA clean": ("nwucla/xview-clean", ""),
    "NW-UCLA all": ("nwucla/xview", ""),
    "HDM05": ("hdm05/xsub", ""),
}
#: Seed 0 on the five folds of Kinder-Gator, which stand where other cells have seeds.
FOLDS = "Kinder-Gator folds"
#: The columns that a verdict needs; both sets are in the pool, their test clips are not.
JUDGES = ("Kinder-Gator 58", "NW-UCLA clean")
#: What takes the place of a pretrained encoder, as tables and as rows name it.
BASELINES = {"untrained": "random", "classical": "classical", "from scratch": "scratch"}


def run_name(what: str, seed: int = 0) -> str:
    """The run of a pretraining: a target, or what was changed of the latents' recipe."""
    return f"open-{what}-seed{seed}" if what in TARGETS or seed else f"open-{what}"


def cell_rows(what: str, protocol: str, column: str) -> dict[int, Experiment]:
    """The rows behind a cell by seed, or by fold; empty where nothing of the kind is planned.

    Args:
        what: a target, what was changed of the latents' recipe, or a name of `BASELINES`.
        protocol: `linear`, `knn`, `finetune` or `semi` (10 % of the labels).
        column: of `COLUMNS`, or `FOLDS`.
    """
    label = "semi-10pct" if protocol == "semi" else protocol
    if column == FOLDS:
        ends = {fold: (0, f"{label}-kindergator-fold{fold}") for fold in range(1, 6)}
    else:
        ends = {seed: (seed, f"{label}-{COLUMNS[column][0].split('/')[0]}") for seed in SEEDS}
    every = experiments("evidence")
    own, twin = ("latent", f"-{BASELINES[what]}") if what in BASELINES else (what, "")
    named = {at: f"{run_name(own, seed)}-{end}{twin}" for at, (seed, end) in ends.items()}
    return {at: every[name] for at, name in named.items() if name in every}


def cell(what: str, protocol: str, column: str, metric: str = "") -> dict[int, dict]:
    """The readings of a cell by seed, or by fold; `metric` is the rows' main one if empty."""
    if what == "classical":  # its vectors have no joints to put side by side
        metric = metric.replace("-joints", "")
    found = {}
    for at, row in cell_rows(what, protocol, column).items():
        part, judged = COLUMNS.get(column, (row.params["split"], ""))
        found[at] = result(run=row.name, split=part, metric=(metric or main_metric(row)) + judged)
    return {at: reading for at, reading in found.items() if reading}


def values(found: dict[int, dict]) -> np.ndarray:
    """`[n]` accuracies in percent of a cell, one a seed."""
    return np.array([reading["value"] for reading in found.values()])


def shown(found: dict[int, dict], planned: int = 1, of: str = "seeds") -> str | None:
    """A cell as text: mean ± deviation, or one reading; fewer than `planned` are said."""
    few = "" if len(found) >= planned else f", {len(found)} of {planned} {of}"
    if len(found) < 2:
        return percent(*found.values(), after=few) if found else None
    seen = values(found)
    return f"{seen.mean():.1f}\N{NBSP}± {seen.std(ddof=1):.1f}{few}"


@dataclass(frozen=True)
class Difference:
    """Points between two cells, their standard error, and the degrees of freedom behind it.

    These are infinite where the error comes from test clips.
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

    The interval of two seeds or more on both sides is that of the differences seed by seed (t,
    n - 1 degrees). Of seeds against the classical features, which have none, it is the seeds'
    spread; against one run, as if that run spread as the seeds do (their deviation times root of
    1 + 1/n). All these say what another seed may do on these clips, and nothing of other clips.
    One run against one says the reverse: the readings' own intervals.
    """
    if not one or not other:
        return None
    both = sorted(set(one) & set(other))
    if len(both) > 1:
        gaps = np.array([one[seed]["value"] - other[seed]["value"] for seed in both])
        return _spread(gaps.mean(), gaps, 1 / len(gaps))
    mean = float(values(one).mean() - values(other).mean())
    if len(one) == len(other) == 1:
        return _apart(mean, *one.values(), *other.values())
    many, (single, *_) = sorted((list(one.values()), list(other.values())), key=len, reverse=True)
    share = 1 / len(many) + (0 if single["method"] == "classical" else 1)
    return _spread(mean, np.array([reading["value"] for reading in many]), share)


def _spread(mean: float, seen: np.ndarray, share: float) -> Difference:
    return Difference(float(mean), float(seen.std(ddof=1) * share**0.5), len(seen) - 1)


def _apart(mean: float, *pair: dict) -> Difference:
    """Two readings by the widths of their intervals (Welch); Student's if of labelled subsets."""
    variances, spent = [], 0.0
    for reading in pair:
        degrees = settings_of(reading["run"]).get("subsets", 1) - 1 or math.inf
        half = (reading["high"] - reading["low"]) / 2
        variances.append((half / student.ppf(0.975, degrees)) ** 2)
        spent += variances[-1] ** 2 / degrees
    total = float(sum(variances))
    return Difference(mean, total**0.5, total**2 / spent if spent else math.inf)


def lead(one: dict | None, other: dict | None) -> str:
    """How a reading stands to another: ahead or behind, if the interval leaves zero out."""
    if not one or not other:
        return NOT_RUN
    gap = compare({0: one}, {0: other})
    if gap.low <= 0 <= gap.high:
        return f"not told apart ({gap} points)"
    return f"{'ahead' if gap.mean > 0 else 'behind'} by {abs(gap.mean):.1f} points"


def holm(chances: list[float]) -> list[float]:
    """Chances of a family of tests after Holm's correction for their number."""
    adjusted, worst = [0.0] * len(chances), 0.0
    for rank, at in enumerate(np.argsort(chances, kind="stable")):
        worst = max(worst, min(1.0, chances[at] * (len(chances) - rank)))
        adjusted[at] = worst
    return adjusted
