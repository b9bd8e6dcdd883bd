"""The outcome at a glance: two pictures and five sentences, made of the results."""

import matplotlib.pyplot as plt

from sjepa.show.plots import GREEN, GREY, ORANGE, caption, dot_chart, forest_chart
from sjepa.show.tables import NOT_RUN
from sjepa.study.claims import ENCODERS, HOLDS, NOT_HERE, REVERSE, Finding
from sjepa.study.evidence import JUDGES, MEAN, cell, gain, phrase, values
from sjepa.study.tables import cells

LATENT = "pool-latent"
COLOURS = {HOLDS: GREEN, REVERSE: ORANGE, NOT_HERE: GREY}


def by_judge(what: str, how: str = "linear") -> dict[str, float]:
    """Each judge and the mean of ten to what they read of an encoder, a mean over seeds."""
    seen = {judge: values(cell(what, how, judge)) for judge in (*JUDGES, MEAN)}
    return {judge: float(own.mean()) for judge, own in seen.items() if len(own)}


def encoders_chart() -> None:
    """Every encoder that was judged, a line each."""
    rows = [(title, by_judge(what)) for what, title in ENCODERS.items()]
    _, ax = plt.subplots(figsize=(8, 3))
    dot_chart(ax, [(title, seen) for title, seen in rows if seen], MEAN)
    caption("Linear probes of untrained, classical and pretrained encoders: a small dot is one "
            "judge, the large one the mean of ten.")


def claims_chart(found: list[Finding]) -> None:
    """The claims that were tested by a difference, a line each, coloured by their verdict."""
    lines = [(each.claim, each.gap, COLOURS[each.verdict]) for each in found if each.gap]
    fig, ax = plt.subplots(figsize=(8, 0.34 * max(len(lines), 1) + 0.9))
    forest_chart(ax, lines)
    for ruling, colour in COLOURS.items():
        ax.plot([], [], "o-", color=colour, label=ruling)
    fig.legend(ncols=3, loc="outside lower center")
    caption("The claims as differences in points with 95 % intervals: right of zero the side that "
            "is claimed to be better is ahead.")


def sentences(found: list[Finding]) -> list[str]:
    """What came out, in five sentences."""
    means = {what: by_judge(what).get(MEAN) for what in ENCODERS}
    gaps = {what: gain(LATENT, what) for what in ENCODERS}
    if any(means[what] is None for what in (LATENT, "untrained", "classical")):
        return [f"The comparison on ten open sets: {NOT_RUN}."]
    said = [
        f"On ten open sets a linear probe reads {means[LATENT]:.1f} % of S-JEPA's frozen features "
        f"in the mean, and {means['untrained']:.1f} % of an untrained encoder's: "
        f"{gaps['untrained']} points.",
        f"Hand-made features with a logistic regression read {means['classical']:.1f} %: "
        + phrase(gaps["classical"], "S-JEPA is ahead of them", "the classical baseline wins",
                 "they cannot be told from S-JEPA") + f" ({gaps['classical']} points)."]
    rivals = {what: ENCODERS[what] for what in ("pool-motion", "pool-coordinates") if gaps[what]}
    said.append("Latents " + "; latents ".join(
        phrase(gaps[what], f"read better than {title}", f"read worse than {title}",
               f"cannot be told from {title}") + f" ({gaps[what]})"
        for what, title in rivals.items()) + "." if rivals else f"Other targets: {NOT_RUN}.")
    verdicts = [each.verdict for each in found]
    said.append(f"Of {sum(map(verdicts.count, COLOURS))} claims that were tested, "
                f"{verdicts.count(HOLDS)} hold, {verdicts.count(REVERSE)} came out reversed, and "
                f"{verdicts.count(NOT_HERE)} cannot be decided at this scale.")
    paper = cells()
    ran = sum(reading is not None for *_, reading in paper)
    said.append(f"Of the paper's own {len(paper)} figures {ran or 'none'} "
                f"{'were' if ran > 1 else 'was'} run here: its data is licensed to persons, and "
                "one command a row runs them.")
    return said
