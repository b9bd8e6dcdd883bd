"""Chapter 15 in tables: targets, ablations, and the paper's claims with a verdict by one rule.

A claim holds if the whole 95 % interval of its difference lies above its margin on every set of
its test. It is reversed if all of it lies below zero on every set. Anything else was not shown at
this scale: an interval that holds zero, or sets that disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

from sjepa.config import PretrainConfig, make_config, written
from sjepa.diagnostics import warnings
from sjepa.show.tables import NOT_RUN, Table
from sjepa.study.evidence import (
    BASELINES,
    COLUMNS,
    CURVES,
    JUDGES,
    Difference,
    cell,
    cell_rows,
    compare,
    fold_cell,
    ranking,
    read_curve,
    shown,
    values,
)
from sjepa.study.rows_evidence import ABLATIONS, SEEDS
from sjepa.study.tables import BAND, PROTOCOLS, cells

NAMES = {"latent": "latent (S-JEPA)"}
HOLDS, REVERSE, NOT_HERE = "holds", "the reverse", "not at this scale"
NEEDS_NTU = "not tested: needs NTU"


def target_table(protocol: str, metric: str, records: list[dict]) -> Table:
    """Every target and baseline of a protocol on every set: mean ± deviation over seeds."""
    lines = []
    for what in ("untrained", "classical", "from scratch", "coordinates", "motion", "latent"):
        if planned := len(cell_rows(what, protocol, "HDM05")):
            lines.append([NAMES.get(what, what),
                          *(shown(cell(what, protocol, column, records, metric), planned)
                            for column in COLUMNS)])
    return Table(["encoder", *(f"> {column}" for column in COLUMNS)], lines)


def difference_table(protocol: str, metric: str, records: list[dict]) -> Table:
    """S-JEPA minus every other encoder, on every set."""
    others = [w for w in ("coordinates", "motion", *BASELINES) if cell_rows(w, protocol, "HDM05")]
    lines = [[f"latent − {other}", *(compare(*(cell(w, protocol, column, records, metric)
                                              for w in ("latent", other))) for column in COLUMNS)]
             for other in others]
    return Table(["points", *(f"> {column}" for column in COLUMNS)], lines)


def fold_table(records: list[dict]) -> Table:
    """Kinder-Gator's five folds: mean ± deviation over folds."""
    heads = {"58 classes": "top1", "42 classes": "top1-coarse", "58, joints": "top1-joints",
             "42, joints": "top1-joints-coarse"}
    lines = []
    for what in ("untrained", "classical", "coordinates", "motion", "latent"):
        metrics = (m.replace("-joints", "") if what == "classical" else m for m in heads.values())
        lines.append([NAMES.get(what, what),
                      *(shown(fold_cell(what, metric, records), 5, "folds") for metric in metrics)])
    return Table(["encoder", *(f"> {head}" for head in heads)], lines)


def settings_text(changed: dict) -> str:
    """`name value` of each changed setting; a huge mask temperature is a random mask."""
    return ", ".join(f"`{name}` {written(value)}" for name, value in changed.items())


def ablation_table(records: list[dict], protocol: str = "linear") -> Table:
    """Each ablation on both sets, beside the baseline's seed 0 and the spread of its seeds.

    Per set: the value; its distance from seed 0 of the baseline; its distance from the mean of the
    baseline's seeds, in their standard deviations.
    """
    base = {column: cell("latent", protocol, column, records) for column in JUDGES}
    lines = [["**baseline**", "", *(text for column in JUDGES for text in (
        shown(base[column], len(SEEDS)), "", ""))]]
    for name, changed in ABLATIONS.items():
        line = [name, settings_text(changed)]
        for column in JUDGES:
            made = cell(name, protocol, column, records).get(0)
            line += _against(made, base[column]) if made else [None, "", ""]
        lines.append(line)
    heads = [f"> {text}" for column in JUDGES for text in (column, "− seed 0", "in sd")]
    return Table(["ablation", "changed", *heads], lines)


def _against(made: dict, base: dict[int, dict]) -> list[str]:
    value, spread = made["value"], values(base)
    from_first = f"{value - base[0]['value']:+.1f}" if 0 in base else "–"
    deviation = spread.std(ddof=1) if len(spread) > 1 else 0.0
    in_sd = f"{(value - spread.mean()) / deviation:+.1f}" if deviation else "–"
    return [f"{value:.1f}", from_first, in_sd]


def measured_effect(setting: str, records: list[dict]) -> str | None:
    """What changing one setting alone did to the linear probe on the two sets; None: not run."""
    said = []
    for name, changed in ABLATIONS.items():
        gaps = [compare(cell(name, "linear", column, records),
                        cell("latent", "linear", column, records)) for column in JUDGES]
        if set(changed) == {setting} and None not in gaps:
            before = getattr(make_config(PretrainConfig, {"preset": "open"}), setting)
            said.append(f"{written(changed[setting])} for {written(before)}: {gaps[0]}; {gaps[1]}")
    return "<br>".join(said) or None


@dataclass(frozen=True)
class Claim:
    """A claim that one encoder is better than another, and how it is tested.

    Attributes:
        says: the claim.
        where: the paper makes it, and with which figure.
        one, other: what `sjepa.study.evidence.cell` takes; `one` is the better by the claim.
        protocol: by which they are judged.
        sets: columns that have to agree.
        margin: points by which `one` has to lead.
    """

    says: str
    where: str
    one: str
    other: str
    protocol: str = "linear"
    sets: tuple[str, ...] = JUDGES
    margin: float = 0.0


_TABLE1 = "table 1, NTU60 XSub"
#: Figures: the authors' page; where readers of the PDF or MAMP's paper are the source, it says so.
CLAIMS = (
    Claim("latents beat coordinates", f"{_TABLE1}: 85.3, SkeletonMAE 74.8", "latent",
          "coordinates"),
    Claim("latents beat motion", f"{_TABLE1}: 85.3, MAMP 84.9", "latent", "motion"),
    Claim("mask the target's output, not its input", "table 6 (readers): +7.2", "latent",
          "input-masked"),
    Claim("cross-entropy beats a squared error", "table 5 (readers): +1.6, centred",
          "latent", "mse"),
    Claim("centring helps", "table 5 (readers): +0.8", "latent", "no-centring"),
    Claim("sharpening helps", "named as a part (authors); no figure", "latent", "no-sharpening"),
    Claim("geometric views help", "table 5 (readers): +0.7", "latent", "no-views"),
    Claim("motion-aware masks beat random ones", "MAMP's paper, its own target: 84.9, 83.7",
          "latent", "random-masks"),
    Claim("pretraining beats labels alone", "readers: +10.0 on NTU60 XSub", "latent",
          "from scratch", "finetune"),
    Claim("fine-tuned, latents beat motion", "table 2, NTU60 XSub: 93.1, MAMP 93.1", "latent",
          "motion", "finetune"),
    Claim("with 10 % of the labels, latents beat motion", "GFP, NTU60 XSub: 88.4, MAMP 88.0",
          "latent", "motion", "semi"),
    Claim("features transfer to another set", "NTU120 to PKU-MMD II: 74.2 (authors)", "latent",
          "from scratch", "finetune", ("HDM05",)),
    Claim("20 points above untrained", "our aim, not the paper's", "latent", "untrained",
          margin=20.0),
    Claim("above the classical features", "our aim, not the paper's", "latent", "classical"),
)


@dataclass(frozen=True)
class Finding:
    """A line of the claims table."""

    claim: str
    where: str
    test: str
    result: str
    verdict: str


def verdict(gaps: list[Difference | None], margin: float = 0.0) -> str:
    """The rule: see the head of this module."""
    if None in gaps:
        return NOT_RUN
    if all(gap.low > margin for gap in gaps):
        return HOLDS
    return REVERSE if all(gap.high < 0 for gap in gaps) else NOT_HERE


def judge(claim: Claim, records: list[dict]) -> Finding:
    """What the records say to a claim."""
    gaps = [compare(*(cell(what, claim.protocol, column, records)
                      for what in (claim.one, claim.other))) for column in claim.sets]
    text = "; ".join(f"{column}: {NOT_RUN if gap is None else gap}"
                     for column, gap in zip(claim.sets, gaps, strict=True))
    test = f"{claim.one} − {claim.other}, {PROTOCOLS[claim.protocol].lower()}"
    return Finding(claim.says, claim.where, test, text, verdict(gaps, claim.margin))


def ema_finding(folder=CURVES) -> Finding:
    """Whether the target collapses without EMA: read from the monitors, not from an accuracy."""
    found = {name: read_curve(f"open-{name}", folder) for name in ("no-ema", "latent-seed0")}
    said, ends = {}, []
    for name, curve in found.items():
        if curve:
            last = curve["history"][-1]
            said[name] = warnings(last, curve["dim"])
            ends.append(f"{name}: {'; '.join(said[name]) or 'no warning'} ({_ending(last)})")
    ruling = NOT_RUN
    if len(said) == 2:
        ruling = HOLDS if said["no-ema"] and not said["latent-seed0"] else NOT_HERE
    return Finding("without EMA the target collapses", "table 5 (readers): collapse",
                   "warnings of the collapse monitors at the end", "<br>".join(ends) or NOT_RUN,
                   ruling)


def _ending(line: dict) -> str:
    names = ("entropy", "std_clips", "position_share", "rank")
    return ", ".join(f"{name.replace('_', ' ')} {line[name]:.3g}" for name in names
                     if name in line)


def ntu_findings(records: list[dict]) -> list[Finding]:
    """The paper's own cells, a line a protocol."""
    found, every = [], cells(records)
    for protocol in dict.fromkeys(name for name, *_ in every):
        mine = [(label, says, record) for name, label, says, record in every if name == protocol]
        near = [abs(r["value"] - says) <= BAND for _, says, r in mine if r]
        label, says, _ = mine[0]
        more = f" and {len(mine) - 1} more" if len(mine) > 1 else ""
        found.append(Finding(
            f"{protocol}: {says:.1f} on {label}{more}", "tables and page; see Results",
            f"the same cells, within {BAND:g}",
            f"{sum(near)} of {len(near)}" if near else NOT_RUN,
            (HOLDS if all(near) else NOT_HERE) if near else NEEDS_NTU))
    return found


def claims(records: list[dict], folder=CURVES) -> list[Finding]:
    """The claims table.

    Args:
        records: where the accuracies come from.
        folder: of the collected curves, which tell of a collapse.
    """
    return [*(judge(claim, records) for claim in CLAIMS[:2]), ema_finding(folder),
            *(judge(claim, records) for claim in CLAIMS[2:]), *ntu_findings(records)]


def claims_table(findings: list[Finding]) -> Table:
    """The findings as a table."""
    return Table(["claim", "where", "our test", "result, points", "verdict"],
                 [[f.claim, f.where, f.test, f.result, f"**{f.verdict}**"] for f in findings])


def surprises(records: list[dict], folder=CURVES) -> list[str]:
    """What did not come out as the paper has it, a sentence each.

    Claims that were reversed, ablations that beat the whole method on both sets, orders of the
    targets that do not start with latents.
    """
    said = [f"The reverse of «{f.claim}»: {f.result}." for f in claims(records, folder)
            if f.verdict == REVERSE]
    for name, changed in ABLATIONS.items():
        gaps = [compare(cell(name, "linear", column, records),
                        cell("latent", "linear", column, records)) for column in JUDGES]
        if None not in gaps and all(gap.mean > 0 for gap in gaps):
            sure = "beyond the spread of its seeds" if verdict(gaps) == HOLDS else (
                "within the spread of its seeds")
            said.append(f"*{name}* ({settings_text(changed)}) read higher than the whole method "
                        f"on both sets, {sure}: {gaps[0]} and {gaps[1]} points.")
    for protocol in ("linear", "knn"):
        for column in JUDGES:
            order = ranking(protocol, column, records)
            if order and order[0] != "latent":
                said.append(f"{PROTOCOLS[protocol]}, {column}: {', then '.join(order)}.")
    return said
