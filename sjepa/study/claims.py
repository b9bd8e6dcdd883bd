"""Chapter 15's targets, ablations, and the paper's claims with a verdict by one rule.

A claim holds if the whole 95 % interval of its difference, in the mean over its judges, lies above
zero. It is reversed if all of it lies below; else it was not shown at this scale. The more claims
one tests, the likelier one passes by chance: Holm's correction for their number has the last word.
"""

import functools
import itertools
from dataclasses import dataclass

import numpy as np
import yaml

from sjepa.config import ROOT, PretrainConfig, make_config
from sjepa.diagnostics import warnings
from sjepa.show.tables import NOT_RUN, Table, written
from sjepa.study.evidence import JUDGES, MEAN, MEANS, TWO, Difference, cell, cell_rows, gain, shown
from sjepa.study.experiments import FILE
from sjepa.study.results import curve
from sjepa.study.tables import BAND, cells

#: Encoders of the tables, as `cell` names them, with their titles.
ENCODERS = {"untrained": "untrained", "classical": "classical", "from scratch": "from scratch",
            "pool-coordinates": "coordinates", "pool-motion": "motion",
            "pool-mse": "latent, squared error", "pool-latent": "latent (S-JEPA)"}
HOLDS, REVERSE, NOT_HERE = "holds", "the reverse", "not at this scale"
NEEDS_NTU = "not tested: needs NTU"


def target_table(how: str) -> Table:
    """Every judge, and the mean, of every target and baseline: mean ± deviation over seeds."""
    planned = {what: len(cell_rows(what, how, "KARD")) for what in ENCODERS}
    encoders = [what for what, seeds in planned.items() if seeds]
    return Table(["judge", *(f"> {ENCODERS[what]}" for what in encoders)], [
        [f"**{MEAN}**" if judge == MEAN else judge,
         *(shown(cell(what, how, judge), planned[what]) for what in encoders)]
        for judge in (MEAN, *JUDGES)])


@functools.cache
def ablations() -> dict[str, dict]:
    """What each part is worth: name to the settings that take it away or change it."""
    _, entry = yaml.safe_load(FILE.read_text())["parts"]["rows"]
    return entry["for"]["part"]


def changes(name: str) -> str:
    """The settings of an ablation in words."""
    return ", ".join(f"`{key}` {written(value)}" for key, value in ablations()[name].items())


def effects() -> dict[str, Difference]:
    """Every ablation that ran, minus the whole method's seeds: linear probes, its two judges."""
    gaps = {name: gain(f"parts-{name}", "parts-latent", judge=TWO) for name in ablations()}
    return {name: gap for name, gap in gaps.items() if gap}


def beyond(gaps: dict[str, Difference], corrected: bool) -> dict[str, Difference]:
    """The differences that chance would hardly make: of each alone, or of them as a family."""
    ruled = verdicts(list(gaps.values()))
    return {name: gap for (name, gap), ruling in zip(gaps.items(), ruled, strict=True)
            if ruling[corrected] != NOT_HERE}


def measured_effect(setting: str) -> str | None:
    """What changing one setting alone did to the mean of two linear probes; None: not run."""
    said, found = [], effects()
    for name, changed in ablations().items():
        if set(changed) == {setting} and name in found:
            before = getattr(make_config(PretrainConfig, {"preset": "open"}), setting)
            said.append(f"{written(changed[setting])} for {written(before)}: {found[name]}")
    return "<br>".join(said) or None


@dataclass
class Finding:
    """A line of the claims table: its verdict `alone`, and corrected for the number of claims."""

    claim: str
    where: str
    test: str
    result: str
    alone: str = NOT_RUN
    verdict: str = NOT_RUN
    gap: Difference | None = None


def _short(what: str) -> str:
    return what.removeprefix("pool-").removeprefix("parts-")


def read_claims() -> list[dict]:
    """The claims of `book/claims.yaml`, with what the file leaves out."""
    plain = {"by": "linear", "on": MEAN}
    return [plain | claim for claim in yaml.safe_load((ROOT / "book/claims.yaml").read_text())]


def holm(chances: list[float]) -> list[float]:
    """Chances of a family of tests after Holm's correction for their number."""
    adjusted, worst = [0.0] * len(chances), 0.0
    for rank, at in enumerate(np.argsort(chances, kind="stable")):
        worst = max(worst, min(1.0, chances[at] * (len(chances) - rank)))
        adjusted[at] = worst
    return adjusted


def verdicts(family: list[Difference]) -> list[tuple[str, str]]:
    """For each of a family its verdict by itself, and corrected for their number."""
    alone = [gap.chance() for gap in family]
    return [tuple((HOLDS if gap.mean > 0 else REVERSE) if chance <= 0.025 else NOT_HERE
                  for chance in both)
            for gap, *both in zip(family, alone, holm(alone), strict=True)]


def claims() -> list[Finding]:
    """What came out of each claim of the file, and of the paper's own cells."""
    found = []
    for claim in read_claims():
        if claim["by"] == "monitors":
            found.append(_collapse(claim))
            continue
        sides, judges = (claim["better"], claim["worse"], claim["by"]), MEANS[claim["on"]]
        gap, text = gain(*sides, claim["on"]), NOT_RUN
        if gap:
            ahead = [each.mean > 0 for judge in judges if (each := gain(*sides, judge))]
            text = f"{gap}; ahead on {sum(ahead)} of {len(judges)}"
        test = f"{_short(claim['better'])} − {_short(claim['worse'])}, {claim['by']}"
        found.append(Finding(claim["says"], claim["where"], test, text, gap=gap))
    tested = [each for each in found if each.gap]
    for each, rulings in zip(tested, verdicts([each.gap for each in tested]), strict=True):
        each.alone, each.verdict = rulings
    return [*found, *_cells()]


def _collapse(claim: dict) -> Finding:
    """Whether the worse run collapses and the better does not: read from the monitors."""
    said, ends = [], []
    for name in (claim["worse"], claim["better"]):
        if found := curve(f"{name}-seed0"):
            last = found["history"][-1]
            said.append(warnings(last, found["dim"]))
            ending = ", ".join(f"{key.replace('_', ' ')} {last[key]:.3g}" for key in (
                "entropy", "std_clips", "position_share", "rank") if key in last)
            ends.append(f"{_short(name)}: {'; '.join(said[-1]) or 'no warning'} ({ending})")
    ruling = NOT_RUN if len(said) < 2 else HOLDS if said[0] and not said[1] else NOT_HERE
    return Finding(claim["says"], claim["where"], "warnings of the collapse monitors at the end",
                   "<br>".join(ends) or NOT_RUN, ruling, ruling)


def _cells() -> list[Finding]:
    """The paper's own cells, a line a protocol."""
    found = []
    for protocol, lines in itertools.groupby(cells(), key=lambda line: line[0]):
        (_, label, says, _), *_ = mine = list(lines)
        near = [abs(reading["value"] - paper) <= BAND for *_, paper, reading in mine if reading]
        more = f" and {len(mine) - 1} more" if len(mine) > 1 else ""
        ruling = (HOLDS if all(near) else NOT_HERE) if near else NEEDS_NTU
        found.append(Finding(
            f"{protocol}: {says:.1f} on {label}{more}", "the paper's tables and the authors' page",
            f"the same cells, within {BAND:g}",
            f"{sum(near)} of {len(near)}" if near else NOT_RUN, ruling, ruling))
    return found


def claims_table(findings: list[Finding]) -> Table:
    """The findings as a table."""
    return Table(["claim", "verdict", "result, points", "where", "our test", "by itself"],
                 [[f.claim, f"**{f.verdict}**", f.result, f.where, f.test, f.alone]
                  for f in findings])
