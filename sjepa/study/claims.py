"""Chapter 15 in tables: targets, ablations, and the paper's claims with a verdict by one rule.

A claim holds if the whole 95 % interval of its difference lies above its margin on every set of
its test. It is reversed if all of it lies below zero on every set. Anything else was not shown at
this scale: an interval that holds zero, or sets that disagree. The more claims one tests, the
likelier one of them passes by chance: Holm's correction for their number has the last word.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import yaml

from sjepa.config import ROOT, PretrainConfig, make_config
from sjepa.diagnostics import warnings
from sjepa.show.tables import NOT_RUN, Table, written
from sjepa.study.evidence import (
    COLUMNS,
    JUDGES,
    SEEDS,
    Difference,
    ablations,
    cell,
    cell_rows,
    compare,
    fold_cell,
    holm,
    ranking,
    shown,
    values,
)
from sjepa.study.results import curve
from sjepa.study.tables import BAND, PROTOCOLS, cells

NAMES = {"latent": "latent (S-JEPA)"}
HOLDS, REVERSE, NOT_HERE = "holds", "the reverse", "not at this scale"
NEEDS_NTU = "not tested: needs NTU"


# ---------------------------------------------------------------- targets and ablations


def _encoders(protocol: str) -> list[str]:
    every = ("untrained", "classical", "from scratch", "coordinates", "motion", "latent")
    return [what for what in every if cell_rows(what, protocol, "HDM05")]


def target_table(protocol: str, metric: str) -> Table:
    """Every target and baseline of a protocol on every set: mean ± deviation over seeds."""
    return Table(["encoder", *(f"> {column}" for column in COLUMNS)], [
        [NAMES.get(what, what), *(shown(cell(what, protocol, column, metric),
                                        len(cell_rows(what, protocol, column)))
                                  for column in COLUMNS)] for what in _encoders(protocol)])


def difference_table(protocol: str, metric: str) -> Table:
    """S-JEPA minus every other encoder, on every set."""
    return Table(["points", *(f"> {column}" for column in COLUMNS)], [
        [f"latent − {other}", *(compare(cell("latent", protocol, column, metric),
                                        cell(other, protocol, column, metric))
                                for column in COLUMNS)]
        for other in _encoders(protocol) if other != "latent"])


def fold_table() -> Table:
    """Kinder-Gator's five folds: mean ± deviation over folds."""
    heads = {"58 classes": "top1", "42 classes": "top1-coarse", "58, joints": "top1-joints",
             "42, joints": "top1-joints-coarse"}
    return Table(["encoder", *(f"> {head}" for head in heads)], [
        [NAMES.get(what, what),
         *(shown(fold_cell(what, metric), 5, "folds") for metric in heads.values())]
        for what in _encoders("linear")])


def _changes(settings: dict) -> str:
    return ", ".join(f"`{name}` {written(value)}" for name, value in settings.items())


def ablation_table(protocol: str = "linear") -> Table:
    """Each ablation on both sets, beside the baseline's seed 0 and the spread of its seeds.

    Per set: the value; its distance from seed 0 of the baseline; its distance from the mean of the
    baseline's seeds, in their standard deviations.
    """
    base = {column: cell("latent", protocol, column) for column in JUDGES}
    lines = [["**baseline**", "", *(text for column in JUDGES for text in (
        shown(base[column], len(SEEDS)), "", ""))]]
    for name, changed in ablations().items():
        line = [name, _changes(changed)]
        for column in JUDGES:
            made = cell(name, protocol, column).get(0)
            line += _against(made["value"], base[column]) if made else [None, "", ""]
        lines.append(line)
    heads = [f"> {text}" for column in JUDGES for text in (column, "− seed 0", "in sd")]
    return Table(["ablation", "changed", *heads], lines)


def _against(value: float, base: dict[int, dict]) -> list[str]:
    seen = values(base)
    spread = seen.std(ddof=1) if len(seen) > 1 else 0.0
    return [f"{value:.1f}", f"{value - base[0]['value']:+.1f}" if 0 in base else "–",
            f"{(value - seen.mean()) / spread:+.1f}" if spread else "–"]


def effects(protocol: str, column: str) -> dict[str, Difference]:
    """Every ablation that ran, minus the whole method's seeds."""
    whole = cell("latent", protocol, column)
    gaps = {name: compare(cell(name, protocol, column), whole) for name in ablations()}
    return {name: gap for name, gap in gaps.items() if gap}


def beyond(gaps: dict[str, Difference], corrected: bool) -> dict[str, Difference]:
    """The differences that chance would hardly make: of each alone, or of them as a family."""
    chances = [2 * min(gap.chance(), (-gap).chance()) for gap in gaps.values()]
    chances = holm(chances) if corrected else chances
    return {name: gap for (name, gap), chance in zip(gaps.items(), chances, strict=True)
            if chance <= 0.05}


def measured_effect(setting: str) -> str | None:
    """What changing one setting alone did to the linear probe on the two sets; None: not run."""
    said, found = [], [effects("linear", column) for column in JUDGES]
    for name, changed in ablations().items():
        if set(changed) == {setting} and all(name in gaps for gaps in found):
            before = getattr(make_config(PretrainConfig, {"preset": "open"}), setting)
            said.append(f"{written(changed[setting])} for {written(before)}: "
                        + "; ".join(str(gaps[name]) for gaps in found))
    return "<br>".join(said) or None


# ---------------------------------------------------------------- claims


@dataclass(frozen=True)
class Finding:
    """A line of the claims table.

    Attributes:
        alone: the verdict of this claim by itself.
        verdict: the verdict after the correction for the number of claims.
    """

    claim: str
    where: str
    test: str
    result: str
    alone: str
    verdict: str


def read_claims() -> list[dict]:
    """The claims of `book/claims.yaml`, with what the file leaves out."""
    plain = {"by": "linear", "on": JUDGES, "margin": 0.0}
    return [plain | claim for claim in yaml.safe_load((ROOT / "book/claims.yaml").read_text())]


def verdict(above: float, below: float, factor: float = 1.0) -> str:
    """The rule: see the head of this module.

    Args:
        above: chance of the observed lead on the set where it is least sure.
        below: likewise of the observed deficit.
        factor: by which the correction for several claims raises them.
    """
    if min(above, below) * factor > 0.025:
        return NOT_HERE
    return HOLDS if above < below else REVERSE


def chances(gaps: list[Difference], margin: float = 0.0) -> tuple[float, float]:
    """A claim's two chances: that of a lead, and of a deficit, where it is least sure."""
    return (max(gap.chance(above=margin) for gap in gaps), max((-gap).chance() for gap in gaps))


def judged() -> list[Finding]:
    """What the readings say to each claim of the file."""
    found, family = [], {}
    for claim in read_claims():
        gaps = [compare(*(cell(claim[side], claim["by"], column) for side in ("better", "worse")))
                for column in claim["on"]]
        text = "; ".join(f"{column}: {gap or NOT_RUN}"
                         for column, gap in zip(claim["on"], gaps, strict=True))
        test = f"{claim['better']} − {claim['worse']}, {PROTOCOLS[claim['by']].lower()}"
        if None not in gaps:
            family[len(found)] = chances(gaps, claim["margin"])
        found.append([claim["says"], claim["where"], test, text, NOT_RUN, NOT_RUN])
    corrected = holm([min(pair) for pair in family.values()])
    for (at, pair), raised in zip(family.items(), corrected, strict=True):
        found[at][4:] = verdict(*pair), verdict(*pair, raised / min(pair) if min(pair) else 1.0)
    return [Finding(*line) for line in found]


def ema_finding() -> Finding:
    """Whether the target collapses without EMA: read from the monitors, not from an accuracy."""
    said, ends = {}, []
    for name in ("no-ema", "latent-seed0"):
        if found := curve(f"open-{name}"):
            last = found["history"][-1]
            said[name] = warnings(last, found["dim"])
            ending = ", ".join(f"{key.replace('_', ' ')} {last[key]:.3g}" for key in (
                "entropy", "std_clips", "position_share", "rank") if key in last)
            ends.append(f"{name}: {'; '.join(said[name]) or 'no warning'} ({ending})")
    ruling = NOT_RUN
    if len(said) == 2:
        ruling = HOLDS if said["no-ema"] and not said["latent-seed0"] else NOT_HERE
    return Finding("without EMA the target collapses", "table 5 (readers): collapse",
                   "warnings of the collapse monitors at the end", "<br>".join(ends) or NOT_RUN,
                   ruling, ruling)


def ntu_findings() -> list[Finding]:
    """The paper's own cells, a line a protocol."""
    found = []
    for protocol, lines in itertools.groupby(cells(), key=lambda line: line[0]):
        mine = list(lines)
        near = [abs(reading["value"] - says) <= BAND for *_, says, reading in mine if reading]
        _, label, says, _ = mine[0]
        more = f" and {len(mine) - 1} more" if len(mine) > 1 else ""
        ruling = (HOLDS if all(near) else NOT_HERE) if near else NEEDS_NTU
        found.append(Finding(
            f"{protocol}: {says:.1f} on {label}{more}", "tables and page; see Results",
            f"the same cells, within {BAND:g}",
            f"{sum(near)} of {len(near)}" if near else NOT_RUN, ruling, ruling))
    return found


def claims() -> list[Finding]:
    """The claims: those of the file, with that of the EMA after the first two, and the cells."""
    found = judged()
    return [*found[:2], ema_finding(), *found[2:], *ntu_findings()]


def claims_table(findings: list[Finding]) -> Table:
    """The findings as a table."""
    return Table(["claim", "where", "our test", "result, points", "by itself", "verdict"],
                 [[f.claim, f.where, f.test, f.result, f.alone, f"**{f.verdict}**"]
                  for f in findings])


def surprises() -> list[str]:
    """What did not come out as the paper has it, a sentence each.

    Claims that were reversed, ablations that beat the whole method on both sets, orders of the
    targets that do not start with latents.
    """
    said = [f"The reverse of “{f.claim}”: {f.result}." for f in claims() if f.verdict == REVERSE]
    one, other = (effects("linear", column) for column in JUDGES)
    sure = [set(beyond(gaps, corrected=True)) for gaps in (one, other)]
    for name, changed in ablations().items():
        if name in one and name in other and min(one[name].mean, other[name].mean) > 0:
            how = "beyond" if name in sure[0] & sure[1] else "within"
            said.append(f"*{name}* ({_changes(changed)}) read higher than the whole method "
                        f"on both sets, {how} the spread of its seeds: {one[name]} and "
                        f"{other[name]} points.")
    for protocol in ("linear", "knn"):
        for column in JUDGES:
            order = ranking(protocol, column)
            if order and order[0] != "latent":
                said.append(f"{PROTOCOLS[protocol]}, {column}: {', then '.join(order)}.")
    return said
