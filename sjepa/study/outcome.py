"""The outcome at a glance: two pictures and five sentences, made of the results.

A *judge* is an open set whose test clips compare encoders (`sjepa.study.evidence.JUDGES`).
"""

import matplotlib.pyplot as plt

from sjepa.show.plots import GREEN, GREY, ORANGE, caption, dot_chart, forest_chart
from sjepa.show.tables import NOT_RUN
from sjepa.study.claims import ENCODERS, HOLDS, NOT_HERE, REVERSE, Finding
from sjepa.study.evidence import JUDGES, MEAN, cell, gain, phrase, values
from sjepa.study.tables import cells

LATENT = "pool-latent"
ALL = (*JUDGES, MEAN)
COLOURS = {HOLDS: GREEN, REVERSE: ORANGE, NOT_HERE: GREY}


def by_judge(what: str, how: str = "linear", judges: tuple = ALL) -> dict[str, float]:
    """Each of `judges` to what it read of an encoder, a mean over seeds; see `evidence.cell`."""
    seen = {judge: values(cell(what, how, judge)) for judge in judges}
    return {judge: float(own.mean()) for judge, own in seen.items() if len(own)}


def encoders_chart() -> None:
    """Every encoder that was judged, a line each."""
    rows = [(title, by_judge(what)) for what, title in ENCODERS.items()]
    _, ax = plt.subplots(figsize=(5.6, 3.2))
    dot_chart(ax, [(title, seen) for title, seen in rows if seen], MEAN)
    means = sorted((seen[MEAN], title) for title, seen in rows if MEAN in seen)
    ends = [f"{title}, {mean:.1f} %" for mean, title in means]
    caption("Test clips that a linear classifier on frozen features names correctly: a dot is one "
            "judge, the diamond the mean of ten. “Classical” features are made by hand. "
            + (f"Highest mean: {ends[-1]}; lowest: {ends[0]}." if ends else ""))


def claims_chart(found: list[Finding]) -> None:
    """The claims that were tested by a difference, a line each, coloured by their verdict alone.

    The dot is filled if the verdict survives the correction for their number.
    """
    lines = [each for each in found if each.gap]
    fig, ax = plt.subplots(figsize=(8, 0.34 * max(len(lines), 1) + 0.9))
    forest_chart(ax, [(each.claim, each.gap, COLOURS[each.alone]) for each in lines])
    for at, each in enumerate(lines):
        if each.verdict != each.alone:
            ax.plot(each.gap.mean, at, "o", color=COLOURS[each.alone], mfc="white")
    for ruling, colour in COLOURS.items():
        ax.plot([], [], "o-", color=colour, label=ruling)
    fig.legend(ncols=3, loc="outside lower center")
    caption("The claims as differences in points with 95 % intervals: right of zero the side that "
            "is claimed to be better is ahead. A hollow dot: by itself, not among so many.")


def sentences(found: list[Finding]) -> list[str]:
    """What came out, in five sentences."""
    means = {what: by_judge(what).get(MEAN) for what in ENCODERS}
    gaps = {what: gain(LATENT, what) for what in ENCODERS}
    if any(means[what] is None for what in (LATENT, "untrained", "classical")):
        return [f"The comparison on ten open sets: {NOT_RUN}."]
    rivals = {"pool-motion": "motion (MAMP's target)", "pool-coordinates": "coordinates"}
    against = [phrase(gaps[what], f"latents beat {title}", f"latents lose to {title}",
                      f"no difference from {title} can be seen")
               + f" ({gaps[what]} points)" for what, title in rivals.items() if gaps[what]]
    paper = cells()
    ran = sum(reading is not None for *_, reading in paper)
    return [
        f"**Learned or not.** A linear classifier on the frozen features of S-JEPA names "
        f"{means[LATENT]:.1f} % of the test clips correctly; on those of an untrained encoder "
        f"{means['untrained']:.1f} %. The difference is {gaps['untrained']} points.",
        f"**By hand.** Hand-made features with a logistic regression reach "
        f"{means['classical']:.1f} %: "
        + phrase(gaps["classical"], "S-JEPA is ahead of them", "the classical baseline wins",
                 "no difference from S-JEPA can be seen") + f" ({gaps['classical']} points).",
        "**What to predict.** S-JEPA predicts the features of a hidden joint, *latents*; others "
        "predict how it moves or where it is. The outcome: "
        + ("; ".join(against) or NOT_RUN) + ".",
        _claims_in_words(found),
        f"**The paper's own table.** Of its {len(paper)} figures {ran or 'none'} "
        f"{'were' if ran > 1 else 'was'} run here: its recordings are given only to those who "
        "ask the owners. With them, each figure takes one command."]


def _claims_in_words(found: list[Finding]) -> str:
    """How many claims hold, which, and why a clear interval may not be enough."""
    tested = [each for each in found if each.verdict in COLOURS]
    counts = {ruling: [each for each in tested if each.verdict == ruling] for ruling in COLOURS}
    named = [f"“{each.claim}”" for each in counts[HOLDS]]
    alone = sum(each.alone != NOT_HERE for each in counts[NOT_HERE])
    return (f"**The claims.** {len(tested)} were tested. The more one tests, the likelier one of "
            "them passes by chance, so a correction for their number (Holm) has the last word: "
            f"{len(named)} held{': ' * bool(named)}{', '.join(named)}; {len(counts[REVERSE])} came "
            f"out reversed; {len(counts[NOT_HERE])} cannot be decided at this scale. (Of these, "
            f"{alone} had an interval on one side of zero, which is not enough among so many.)")
