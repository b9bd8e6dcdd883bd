"""What ran and what did not: the tables of the results pages, made of planned rows and readings."""

from __future__ import annotations

from pathlib import Path

import yaml

from sjepa.checkpoint import save_atomically
from sjepa.datasets.splits import SPLITS
from sjepa.protocols.config import ReportConfig
from sjepa.show.tables import NOT_RUN, Table, percent
from sjepa.study.experiments import Experiment, experiments
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
#: The paper's own figures, joint stream, top-1 %, by what sets a row apart.
PAPER = {
    # Authors' project page, table 1.
    ("linear", "ntu60/xsub"): 85.3, ("linear", "ntu60/xview"): 89.8,
    ("linear", "ntu120/xsub"): 79.6, ("linear", "ntu120/xset"): 79.9,
    ("linear", "pku1/xsub"): 92.2, ("linear", "pku2/xsub"): 53.5,
    # Authors' project page, table 2.
    ("finetune", "ntu60/xsub"): 93.1, ("finetune", "ntu60/xview"): 97.6,
    ("finetune", "ntu120/xsub"): 90.3, ("finetune", "ntu120/xset"): 91.3,
    # The first is on the authors' page too; all four as GFP (ICCV 2025) quotes the paper.
    ("semi-1pct", "ntu60/xsub"): 67.5, ("semi-10pct", "ntu60/xsub"): 88.4,
    ("semi-1pct", "ntu60/xview"): 69.1, ("semi-10pct", "ntu60/xview"): 91.4,
    # Authors' page, «NTU120 to PKU-II»; that both are cross-subject is the lineage's custom.
    ("transfer-from-ntu120-xsub", "pku2/xsub"): 74.2,
}


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
    for part in ("-clean", ""):
        found = result(run=row.name, split=row.params["split"] + part, metric=main_metric(row))
        if found:
            return found
    return None


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


def paper(row: Experiment) -> float | None:
    """The paper's figure for a row of S-JEPA's, or None where it has none."""
    if row.group != "paper" or row.params["method"] != "sjepa":
        return None
    apart = {"semi": main_metric(row).removeprefix("top1"), "transfer":
             f"-from-{pretraining(row).params['split'].replace('/', '-')}"}.get(row.step, "")
    return PAPER.get((row.step + apart, row.params["split"]))


def departures(row: Experiment) -> list[str]:
    """What keeps a run from being the row that it is named after; empty: nothing.

    Settings of the evaluation and of its pretraining that count and are not the row's, and clips
    in other number than the protocol's official one.
    """
    (run,), settings = runs(run=row.name), settings_of(row.name)
    made = {"settings": settings, "pretraining": settings["pretraining"] and {
        "settings": settings["pretraining"]}}
    said = [f"{name} {ran} for {planned}"
            for name, (ran, planned) in other_settings(row, made).items()]
    official = SPLITS[row.params["split"]].counts
    if official and run["clips"] != official:
        seen = "an unknown number of" if run["clips"] is None else " + ".join(
            map(str, run["clips"]))
        said.append(f"{seen} clips for {' + '.join(map(str, official))}")
    return said


def evaluations(step: str, groups: str) -> list[Experiment]:
    """The rows of a protocol, without those of other streams."""
    return [row for row in experiments(groups).values()
            if row.step == step and row.group in groups.split(",")
            and "stream" not in pretraining(row).params]


#: Until a set's own specification tells its title.
_TITLES = {"ntu60": "NTU60", "ntu120": "NTU120", "pku1": "PKU-MMD I", "pku2": "PKU-MMD II",
           "nwucla": "NW-UCLA", "kindergator": "Kinder-Gator", "hdm05": "HDM05"}


def title(dataset: str) -> str:
    """A data set as tables name it."""
    return _TITLES.get(dataset, dataset)


def not_run(row: Experiment) -> str:
    """«not run», with the data that it needs."""
    names = {pretraining(row).params["dataset"], row.params["dataset"]}
    needs = [title(name).replace(" ", "\N{NBSP}") for name in sorted(names)
             if not name.startswith("synthetic")]
    # Two lines on a phone, not one word a line.
    said = NOT_RUN.replace(" ", "\N{NBSP}")
    return f"{said}: needs\N{NBSP}{' and '.join(needs)}" if needs else NOT_RUN


def gap(row: Experiment) -> float | None:
    """Points by which a row's reading differs from the paper's figure, or None."""
    found, says = row_reading(row), paper(row)
    return None if found is None or says is None else round(found["value"] - says, 2)


def label(row: Experiment, reading: dict | None = None) -> str:
    """What a row is judged on: the split, the share of labels, the origin of a transfer."""
    parts = [reading["split"] if reading else row.params["split"]]
    if row.step == "semi":
        parts.append(f"{100 * row.params['share']:g}\N{NBSP}%")
    if row.step == "transfer":
        parts.insert(0, f"{pretraining(row).params['split']} →")
    return " ".join(parts)


def _verdict(row: Experiment) -> str:
    """The gap to the paper, ticked if within the band; no reproduction if it ran otherwise."""
    far = gap(row)
    if far is None:
        return "–"
    if other := departures(row):
        return f"other settings: {'; '.join(other)}"
    return f"{far:+.1f}" + (" ✓" if abs(far) <= BAND else "")


def results_table(step: str, groups: str, link="`{}`".format) -> Table:
    """A protocol's rows: what the paper says, what came out, and the name of the run.

    Args:
        step: a key of `PROTOCOLS`.
        groups: see `sjepa.study.experiments.experiments`.
        link: turns the name of a parameter file into a cell.
    """
    published, lines = groups == "paper", []
    for row in evaluations(step, groups):
        reading, says = row_reading(row), paper(row)
        lines.append([
            label(row, reading), METHODS[row.params["method"]],
            *([f"{says:.1f}" if says is not None else "–"] if published else []),
            percent(reading) if reading else not_run(row),
            *([_verdict(row)] if published else []), link(row.name),
        ])
    middle = ["> paper", "> reproduced", "> gap"] if published else ["> measured"]
    return Table(["test clips", "encoder", *middle, "run"], lines)


def _hours(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds / 3600:.2f}"


def cost_table(step: str, groups: str) -> Table | None:
    """What the rows that ran cost: pretraining and evaluation apart, each on its hardware.

    A dash stands where the run did not write it, or where there is no pretraining. None: none ran.
    """
    lines = []
    for row in evaluations(step, groups):
        for run in runs(run=row.name):
            before = settings_of(row.name)["pretraining"] or {}
            trained, memory = row.params["method"] == "sjepa", run["peak_bytes"]
            lines.append([
                f"{label(row)}, {METHODS[row.params['method']]}", run["seed"],
                before["epochs"] if trained else "–", run["pretrain_device"] or "–",
                _hours(run["pretrain_seconds"]), run["device"], _hours(run["seconds"]),
                f"{memory / 2**30:.1f}" if memory else "–", f"`{run['commit']}`"])
    head = ["run", "> seed", "> epochs", "pretrained on", "> hours", "evaluated on", "> hours",
            "> GiB", "commit"]
    return Table(head, lines) if lines else None


def published_rows(step: str) -> list[dict]:
    """Figures of other methods, and S-JEPA's own, each a mapping with `method`, `source`, cells."""
    others = yaml.safe_load((Path(__file__).parent / "published.yaml").read_text())
    own = {}
    for (protocol, split), value in PAPER.items():
        name, _, share = protocol.partition("-")
        if name == step:
            own[f"{share} {split}".strip()] = value
    mine = [{"method": "**S-JEPA**", "cite": "sjepa2024", "source": "page"} | own] if own else []
    return [*others.get(step, []), *mine]


def published_table(step: str, cite="{}".format) -> Table:
    """The published figures beside which a protocol's rows stand.

    Args:
        step: a key of `PROTOCOLS`.
        cite: turns a key of the bibliography into a cell.
    """
    made = published_rows(step)
    parts = list(dict.fromkeys(k for row in reversed(made) for k in row
                               if k not in ("method", "cite", "source")))
    names = [part.replace("pct ", "\N{NBSP}% ").replace("/", " ") for part in parts]
    return Table(["method", *(f"> {name}" for name in names), "source"], [
        [f"{row['method']} {cite(row['cite'])}",
         *(f"{row[part]:.1f}" if part in row else "–" for part in parts), row["source"]]
        for row in made])


def counted(groups: str) -> tuple[int, int]:
    """How many evaluations of some groups were run, and how many there are."""
    every = [row for step in PROTOCOLS for row in evaluations(step, groups)]
    return sum(row_reading(row) is not None for row in every), len(every)


def cells() -> list[tuple[str, str, float, dict | None]]:
    """The paper's cells as `(protocol, label, paper, reading or None)`, for the summary chart.

    A run of other settings than the row's, or on other clips, is no reproduction: None.
    """
    found = []
    for step, called in PROTOCOLS.items():
        for row in evaluations(step, "paper"):
            if (says := paper(row)) is not None:
                reading = row_reading(row)
                same = reading and not departures(row)
                found.append((called, label(row), says, reading if same else None))
    return found


def twins(step: str, groups: str) -> list[tuple[Experiment, Experiment]]:
    """S-JEPA's rows, each with its baseline: of the same pretraining, all other settings alike."""
    every = evaluations(step, groups)
    alike = [{name: value for name, value in row.params.items() if name not in ("method", "out")}
             for row in every]
    return [(row, other) for row, own in zip(every, alike, strict=True)
            for other, its in zip(every, alike, strict=True)
            if row.params["method"] == "sjepa" and own == its
            and other.params["method"] in ("random", "scratch")]


def _reproduced(row: Experiment) -> str:
    reading = row_reading(row)
    if reading and row.group == "paper" and departures(row):
        return "other settings"
    return percent(reading) if reading else not_run(row)


def twins_table(step: str, groups: str) -> Table:
    """What the paper says, what came out, and the same without pretraining, side by side."""
    lines = []
    for row, twin in twins(step, groups):
        says = paper(row)
        lines.append([label(row, row_reading(row)), "–" if says is None else f"{says:.1f}",
                      _reproduced(row), _reproduced(twin)])
    base = "> from scratch" if step in ("finetune", "semi") else "> untrained"
    return Table(["test clips", "> the paper says", "> we ran", base], lines)


def gains(groups: str) -> list[tuple[str, str, dict, dict]]:
    """Twins that both ran: `(protocol, label, S-JEPA's reading, the baseline's)`."""
    found = []
    for step, called in PROTOCOLS.items():
        for row, twin in twins(step, groups):
            one, other = row_reading(row), row_reading(twin)
            if one and other:
                found.append((called, label(row, one), one, other))
    return found


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
