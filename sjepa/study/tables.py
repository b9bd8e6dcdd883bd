"""What ran and what did not: the tables of the results pages, made of experiments and readings."""

from __future__ import annotations

from pathlib import Path

import yaml

from sjepa.checkpoint import save_atomically
from sjepa.datasets.specs import titles
from sjepa.datasets.splits import SPLITS
from sjepa.show.tables import NOT_RUN, Table, percent
from sjepa.study.experiments import Experiment, ReportConfig, experiments
from sjepa.study.identity import other_settings
from sjepa.study.results import result, runs, settings_of

METHODS = {"sjepa": "S-JEPA", "random": "untrained", "scratch": "from scratch",
           "classical": "classical"}
PROTOCOLS = {
    "linear": "Linear probe", "finetune": "Fine-tuning", "semi": "Few labels",
    "transfer": "Transfer", "knn": "One nearest neighbour", "retrieval": "Retrieval, recall at 1",
}
#: Re-runs of the method's forerunner differ from their paper by up to this many points.
BAND = 0.5
#: What was published, by protocol; the file says how it is written.
PUBLISHED: dict[str, list[dict]] = yaml.safe_load(
    Path(__file__).with_name("published.yaml").read_text())
#: The paper's own figures by protocol and `label`.
PAPER = {(step, name): value for step, rows in PUBLISHED.items() for row in rows
         for name, value in row.items() if row["method"] == "S-JEPA" and isinstance(value, float)}


# ---------------------------------------------------------------- rows


def pretraining(row: Experiment) -> Experiment:
    """The pretraining that an evaluation starts from."""
    return experiments(row.name)[row.after[0]]


def main_metric(row: Experiment) -> str:
    """The metric that an evaluation's line in a table shows; the first of what is reported."""
    share = f"{100 * row.params.get('share', 0):g}"
    return {"knn": "top1-k1", "retrieval": "recall-at-1", "semi": f"top1-{share}pct"}.get(
        row.step, "top1")


def row_reading(row: Experiment) -> dict | None:
    """An evaluation's main metric, or None: where test clips are copies, of the clean ones."""
    found = (result(run=row.name, split=row.params["split"] + part, metric=main_metric(row))
             for part in ("-clean", ""))
    return next(filter(None, found), None)


def reading_of(run: str, protocol: str, method: str, split: str, metric: str) -> dict | None:
    """A reading of a pretraining, or of its twin that was not pretrained; None: not run.

    Args:
        run: the pretraining.
        protocol: as the evaluation's name has it: `linear`, `semi-10pct` …
        method: `sjepa`; else the twin of the same shape and settings: `random` or `scratch`.
        split: the test clips.
        metric: of the protocol.
    """
    end = "" if method == "sjepa" else f"-{method}"
    return result(run=f"{run}-{protocol}{end}", split=split, metric=metric)


def evaluations(step: str, groups: str) -> list[Experiment]:
    """The rows of a protocol in some groups, without those of other streams."""
    return [row for row in experiments(groups).values()
            if row.step == step and row.group in groups.split(",")
            and "stream" not in pretraining(row).params]


def twins(step: str, groups: str) -> list[tuple[Experiment | None, Experiment | None]]:
    """S-JEPA's rows, each with its baseline: of the same pretraining, all other settings alike.

    None stands for a side that is not planned.
    """
    every = [(row, {name: value for name, value in row.params.items()
                    if name not in ("method", "out")}) for row in evaluations(step, groups)]
    own = [(row, alike) for row, alike in every if row.params["method"] == "sjepa"]
    base = [(row, alike) for row, alike in every if row.params["method"] in ("random", "scratch")]
    pairs = [(row, next((twin for twin, its in base if its == alike), None)) for row, alike in own]
    return pairs + [(None, twin) for twin, alike in base if alike not in [its for _, its in own]]


def label(row: Experiment, split: str = "") -> str:
    """What a row is judged on: the split, the share of labels, the origin of a transfer."""
    text = split or row.params["split"]
    if row.step == "transfer":
        return f"{pretraining(row).params['split']} → {text}"
    return f"{text} {100 * row.params['share']:g} %" if row.step == "semi" else text


def paper(row: Experiment) -> float | None:
    """The paper's figure for a row of S-JEPA's, or None where it has none."""
    own = row.group == "paper" and row.params["method"] == "sjepa"
    return PAPER.get((row.step, label(row))) if own else None


def departures(row: Experiment) -> list[str]:
    """What keeps a run from being the row that it is named after; empty: nothing.

    Settings of the evaluation and of its pretraining that count and are not the row's, and clips
    in other number than the protocol's official one.
    """
    (run,), settings = runs(run=row.name), settings_of(row.name)
    behind = settings["pretraining"] and {"settings": settings["pretraining"]}
    other = other_settings(row, {"settings": settings, "pretraining": behind})
    said = [f"{name} {ran} for {planned}" for name, (ran, planned) in other.items()]
    official = SPLITS[row.params["split"]].counts
    if official and run["clips"] != official:
        seen = " + ".join(map(str, run["clips"] or ["an unknown number of"]))
        said.append(f"{seen} clips for {' + '.join(map(str, official))}")
    return said


# ---------------------------------------------------------------- cells


def _tight(text: str) -> str:
    return text.replace(" %", "\N{NBSP}%")


def not_run(row: Experiment) -> str:
    """“not run”, with the data that it needs."""
    names = {pretraining(row).params["dataset"], row.params["dataset"]}
    known = titles()
    needs = [known.get(name, name).replace(" ", "\N{NBSP}") for name in sorted(names)
             if not name.startswith("synthetic")]
    # Two lines on a phone, not one word a line.
    said = NOT_RUN.replace(" ", "\N{NBSP}")
    return f"{said}: needs\N{NBSP}{' and '.join(needs)}" if needs else NOT_RUN


def _value(row: Experiment) -> str:
    reading = row_reading(row)
    return percent(reading) if reading else not_run(row)


def _gap(row: Experiment | None) -> str:
    """Points from the paper, ticked if within the band; no reproduction if it ran otherwise."""
    if not row or not (reading := row_reading(row)) or not (says := paper(row)):
        return "–"
    if other := departures(row):
        return f"other settings: {'; '.join(other)}"
    far = round(reading["value"] - says, 2)
    return f"{far:+.1f}" + (" ✓" if abs(far) <= BAND else "")


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


# ---------------------------------------------------------------- tables


def results_table(step: str, groups: str, link="`{}`".format) -> Table:
    """A protocol's rows: what the paper says, what came out, and the twin without pretraining.

    Args:
        step: a key of `PROTOCOLS`.
        groups: see `sjepa.study.experiments.experiments`.
        link: turns the name of a parameter file into a cell.
    """
    published, lines = "paper" in groups, []
    base = "from scratch" if step in ("finetune", "semi") else "untrained"
    for row, twin in twins(step, groups):
        named = row or twin
        judged = _tight(label(named, (row_reading(named) or named.params)["split"]))
        own, other = (_value(each) if each else "–" for each in (row, twin))
        middle = [_figure(row and paper(row)), own, _gap(row)] if published else [own]
        lines.append([judged, *middle, other, link(named.name)])
    middle = ["> paper", "> reproduced", "> gap"] if published else ["> S-JEPA"]
    return Table(["test clips", *middle, f"> {base}", "run"], lines)


def cost_table(step: str, groups: str) -> Table | None:
    """What the rows that ran cost: pretraining and evaluation apart, each on its hardware.

    A dash stands where the run did not write it, or where there is no pretraining. None: none ran.
    """
    lines = []
    for row in evaluations(step, groups):
        for run in runs(run=row.name):
            epochs = (settings_of(row.name)["pretraining"] or {}).get("epochs")
            hours = [run[name] and f"{run[name] / 3600:.3g}"
                     for name in ("pretrain_seconds", "seconds")]
            line = [f"{_tight(label(row))}, {METHODS[row.params['method']]}", run["seed"],
                    epochs if row.params["method"] == "sjepa" else None, run["pretrain_device"],
                    hours[0], run["device"], hours[1],
                    run["peak_bytes"] and f"{run['peak_bytes'] / 2**30:.1f}", f"`{run['commit']}`"]
            lines.append(["–" if cell is None else cell for cell in line])
    head = ["run", "> seed", "> epochs", "pretrained on", "> hours", "evaluated on", "> hours",
            "> GiB", "commit"]
    return Table(head, lines) if lines else None


def published_table(step: str, cite="{}".format) -> Table:
    """The published figures beside which a protocol's rows stand.

    Args:
        step: a key of `PUBLISHED`.
        cite: turns a key of the bibliography into a cell.
    """
    made = PUBLISHED[step]
    parts = list(dict.fromkeys(name for row in reversed(made) for name in row
                               if name not in ("method", "cite", "source")))
    return Table(["method", *(f"> {_tight(part.replace('/', ' '))}" for part in parts), "source"], [
        [("**{}** {}" if row["method"] == "S-JEPA" else "{} {}").format(
            row["method"], cite(row["cite"])),
         *(_figure(row.get(part)) for part in parts), row["source"]] for row in made])


# ---------------------------------------------------------------- summaries


def counted(groups: str) -> tuple[int, int]:
    """How many evaluations of some groups were run, and how many there are."""
    every = [row for step in PROTOCOLS for row in evaluations(step, groups)]
    return sum(row_reading(row) is not None for row in every), len(every)


def cells() -> list[tuple[str, str, float, dict | None]]:
    """The paper's cells as `(protocol, label, paper, reading or None)`, for the summary chart.

    A run of other settings than the row's, or on other clips, is no reproduction: None.
    """
    return [(called, _tight(label(row)), paper(row),
             row_reading(row) if row_reading(row) and not departures(row) else None)
            for step, called in PROTOCOLS.items() for row in evaluations(step, "paper")
            if paper(row) is not None]


def gains(groups: str) -> list[tuple[str, str, dict, dict]]:
    """Twins that both ran: `(protocol, label, S-JEPA's reading, the baseline's)`."""
    pairs = [(step, row, row_reading(row), row_reading(twin))
             for step in PROTOCOLS for row, twin in twins(step, groups) if row and twin]
    return [(PROTOCOLS[step], _tight(label(row, own["split"])), own, other)
            for step, row, own, other in pairs if own and other]


def write_report(config: ReportConfig) -> Path:
    """Write the tables of the chosen rows as Markdown.

    Raises:
        SjepaError: an unknown group, or damaged results.
    """
    parts = ["# What ran"]
    for group in config.rows.split(","):
        ran, of = counted(group)
        parts.append(f"## {group}: {ran} of {of} evaluations were run")
        for step, called in PROTOCOLS.items():
            if evaluations(step, group):
                tables = (results_table(step, group), cost_table(step, group))
                parts += [f"### {called}", *(table.text for table in tables if table)]
    out = Path(config.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_atomically(lambda p: p.write_text("\n\n".join(parts) + "\n"), out)
    print(f"wrote {out}", flush=True)
    return out
