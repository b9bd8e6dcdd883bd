"""What the evidence says: ten judges, their mean as one measure, and differences with intervals.

One set with a few hundred test clips cannot tell encoders apart whose seeds spread by some points.
Ten can, if each counts the same. Runs are found by their names in `experiments.yaml`.
"""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from sjepa.datasets.sources import pool
from sjepa.show.tables import NOT_RUN, percent
from sjepa.study.experiments import Experiment, experiments
from sjepa.study.results import result, settings_of

#: Title of a judge to its test clips; of NW-UCLA those that are no copies of training clips.
JUDGES = {
    "Kinder-Gator": "kindergator/xsub", "NW-UCLA": "nwucla/xview-clean",
    "ISL": "islkinect/xsub", "ISL turned": "islkinect/xview13", "WMFT": "wmft/xsub",
    "UI-PRMD": "uiprmd/xsub-kinect", "Vicon to Kinect": "uiprmd/vicon-kinect",
    "KARD": "kard/xsub", "MSR Daily": "msrdaily/xsub", "gait": "gait/xsub",
}
MEAN, UNMET, NEW, TWO = "mean of ten", "mean of seven", "mean of the left out", "mean of two"


def _of(sets: Container[str]) -> tuple[str, ...]:
    return tuple(judge for judge, split in JUDGES.items() if split.partition("/")[0] in sets)


#: Means of judges. The second have sets that the public pool lacks, so the encoder `public-latent`
#: has not met them; the third are new to the runs `new-…`, whose pool lacks their sets; the fourth
#: judge the runs `parts-…`, single parts of the method on a smaller pool.
MEANS = {MEAN: tuple(JUDGES), UNMET: _of(set(pool.MEMBERS) - set(pool.PUBLIC)),
         NEW: _of(pool.NEW), TWO: ("Kinder-Gator", "NW-UCLA")}
#: What a judge reads of an encoder, as rows name it, and the metric that counts.
HOW = {"linear": "top1", "knn": "top1-k1", "few": "top1-10pct", "finetune": "top1"}
SEEDS = (0, 1, 2, 3, 4)
TARGETS = ("latent", "motion", "coordinates")
#: What has no pretraining: the run whose shape it takes, and the end of its rows' names.
BASELINES = {"untrained": ("pool-latent", "-random"),
             "from scratch": ("pool-latent", "-scratch")}


def cell_rows(what: str, how: str, judge: str) -> dict[int, Experiment]:
    """The rows behind a cell by seed; empty where nothing of the kind is planned.

    `what` is a run's name without its seed, `classical`, or one of `BASELINES`; `how` is of `HOW`.
    """
    end = f"{how}-{JUDGES[judge].removesuffix('-clean').replace('/', '-')}"
    own, twin = BASELINES.get(what, (what, ""))
    named = {0: f"pool-classical-{end}"} if what == "classical" else {
        seed: f"{own}-seed{seed}-{end}{twin}" for seed in SEEDS}
    every = experiments()
    return {seed: every[name] for seed, name in named.items() if name in every}


def cell(what: str, how: str = "linear", judge: str = MEAN) -> dict[int, dict]:
    """The readings of a cell by seed; of a mean those of seeds that all its judges have read.

    A mean has an interval as if its readings were independent, and is of no one run.
    """
    if judge in MEANS:
        every, found = [cell(what, how, each) for each in MEANS[judge]], {}
        for seed in sorted(set(every[0]).intersection(*every)):
            of = [each[seed] for each in every]
            value = sum(each["value"] for each in of) / len(of)
            half = sum(((each["high"] - each["low"]) / 2) ** 2 for each in of) ** 0.5 / len(of)
            found[seed] = {"method": of[0]["method"], "value": value, "low": value - half,
                           "high": value + half, "of": of}
        return found
    found = {seed: result(run=row.name, split=JUDGES[judge], metric=HOW[how])
             for seed, row in cell_rows(what, how, judge).items()}
    return {seed: reading for seed, reading in found.items() if reading}


def gain(one: str, other: str, how: str = "linear", judge: str = MEAN) -> Difference | None:
    """`one` minus `other` in points; None where a side was not run.

    As `compare` does, but a lone trained run against untrained encoders, which spread less, is
    taken to spread as the seeds of `pool-latent` do.
    """
    sides = cell(one, how, judge), cell(other, how, judge)
    gap, trained = compare(*sides), cell("pool-latent", how, judge)
    if gap and other == "untrained" and len(sides[0]) == 1 < len(sides[1]) and len(trained) > 1:
        return _spread(gap.mean, values(trained), 1 + 1 / len(trained))
    return gap


def resolution(what: str, how: str = "linear", judge: str = MEAN) -> float | None:
    """How small a difference five seeds can tell, in points: half of its 95 % interval.

    As if another method's seeds spread like these; None with fewer than three.
    """
    seen = values(cell(what, how, judge))
    if len(seen) < 3:
        return None
    return float(student.ppf(0.975, len(SEEDS) - 1) * seen.std(ddof=1) * (2 / len(SEEDS)) ** 0.5)


def values(found: dict[int, dict]) -> np.ndarray:
    """`[n]` accuracies in percent of a cell, one a seed."""
    return np.array([reading["value"] for reading in found.values()])


def shown(found: dict[int, dict], planned: int = 1) -> str | None:
    """A cell as text: mean ± deviation, or one reading; fewer than `planned` are said."""
    few = "" if len(found) >= planned else f", {len(found)} of {planned} seeds"
    if len(found) < 2:
        return percent(*found.values(), after=few) if found else None
    seen = values(found)
    return f"{seen.mean():.1f}\N{NBSP}± {seen.std(ddof=1):.1f}{few}"


@dataclass(frozen=True)
class Difference:
    """Points between two cells, with the 95 % interval from `low` to `high`.

    Their standard error has so many degrees of freedom: infinitely many if it is of test clips.
    """

    mean: float
    error: float
    degrees: float = math.inf

    @property
    def low(self) -> float:
        return self.mean - float(student.ppf(0.975, self.degrees)) * self.error

    @property
    def high(self) -> float:
        return 2 * self.mean - self.low

    def chance(self) -> float:
        """Probability of so large a lead, or deficit, or a larger one, if there is none."""
        return float(student.sf(abs(self.mean) / max(self.error, 1e-9), self.degrees))

    def __str__(self) -> str:
        return f"{self.mean:+.1f} [{self.low:+.1f},\N{NBSP}{self.high:+.1f}]"


def compare(one: dict[int, dict], other: dict[int, dict]) -> Difference | None:
    """`one` minus `other` over the same test clips, or None where a side has no reading.

    The interval of two seeds or more on both sides is that of the differences seed by seed (t,
    n - 1 degrees). Of seeds against the classical features, which have none, it is the seeds'
    spread; against one run, as if that run spread as they do. All these say what another seed may
    do on these clips. One run against one says it of other clips: by the readings' own intervals.
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
    total, spent = 0.0, 0.0
    for reading in pair:
        (own, *_) = reading.get("of", [reading])  # those of a mean are made alike
        settings = settings_of(own["run"])
        degrees = (settings["subsets"] if settings.get("share", 1) < 1 else 1) - 1 or math.inf
        half = (reading["high"] - reading["low"]) / 2
        variance = float(half / student.ppf(0.975, degrees)) ** 2
        total += variance
        spent += variance**2 / degrees
    return Difference(mean, total**0.5, total**2 / spent if spent else math.inf)


def phrase(gap: Difference | None, more: str, less: str, unclear: str) -> str:
    """The words that fit a difference's interval."""
    if gap is None:
        return NOT_RUN
    return more if gap.low > 0 else less if gap.high < 0 else unclear


def lead(one: dict | None, other: dict | None) -> str:
    """How a reading stands to another: ahead or behind, if the interval leaves zero out."""
    if not one or not other:
        return NOT_RUN
    gap = compare({0: one}, {0: other})
    points = f"by {abs(gap.mean):.1f} points"
    return phrase(gap, f"ahead {points}", f"behind {points}",
                  f"not clearly different ({gap} points)")
