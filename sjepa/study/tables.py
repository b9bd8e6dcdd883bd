"""What ran and what did not: the tables of the results pages, made of experiments and readings."""

from pathlib import Path

import yaml

from sjepa.checkpoint import save_atomically
from sjepa.datasets.specs import titles
from sjepa.datasets.splits import SPLITS
from sjepa.protocols.config import percent as share_label
from sjepa.show.tables import NOT_RUN, Table, percent
from sjepa.study.experiments import Experiment, ReportConfig, experiments, other_settings
from sjepa.study.results import result, runs, settings_of

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
PAPER = {(step, name.replace(" %", "\N{NBSP}%")): value
         for step, rows in PUBLISHED.items() for row in rows if row["method"] == "S-JEPA"
         for name, value in row.items() if isinstance(value, float)}


def pretraining(row: Experiment) -> Experiment:
    """The pretraining that an evaluation starts from."""
    return experiments()[row.after[0]]


def main_metric(row: Experiment) -> str:
    """The metric that an evaluation's line in a table shows."""
    few = f"top1-{share_label(row.params.get('share', 0))}"
    return {"knn": "top1-k1", "retrieval": "recall-at-1", "semi": few}.get(row.step, "top1")


def row_reading(row: Experiment) -> dict | None:
    """An evaluation's main metric, or None: where test clips are copies, of the clean ones."""
    found = (result(run=row.name, split=row.params["split"] + part, metric=main_metric(row))
             for part in ("-clean", ""))
    return next(filter(None, found), None)


def reading_of(run: str, protocol: str, method: str, split: str, metric: str) -> dict | None:
    """A reading of a run (`sjepa`) or of its twin; the protocol as in the evaluation's name."""
    end = "" if method == "sjepa" else f"-{method}"
    return result(run=f"{run}-{protocol}{end}", split=split, metric=metric)


def evaluations(step: str, groups: str) -> list[Experiment]:
    """The rows of a protocol in some groups, without those of other streams."""
    return [row for row in experiments(groups).values()
            if row.step == step and row.group in groups.split(",")
            and "stream" not in pretraining(row).params]


def twins(step: str, groups: str) -> list[list[Experiment | None]]:
    """S-JEPA's rows with their baselines, all other settings alike; None: a side is not planned."""
    pairs: dict[str, list[Experiment | None]] = {}
    for row in evaluations(step, groups):
        if row.params["method"] != "classical":
            alike = {name: value for name, value in row.params.items()
                     if name not in ("method", "out")}
            pair = pairs.setdefault(str(sorted(alike.items())), [None, None])
            pair[row.params["method"] != "sjepa"] = row
    return sorted(pairs.values(), key=lambda pair: pair[0] is None)


def label(row: Experiment, split: str = "") -> str:
    """What a row is judged on: the split, the share of labels, the origin of a transfer."""
    text = split or row.params["split"]
    if row.step == "transfer":
        return f"{pretraining(row).params['split']} → {text}"
    return f"{text} {100 * row.params['share']:g}\N{NBSP}%" if row.step == "semi" else text


def paper(row: Experiment) -> float | None:
    """The paper's figure for a row of S-JEPA's, or None where it has none."""
    own = row.group == "paper" and row.params["method"] == "sjepa"
    return PAPER.get((row.step, label(row))) if own else None


def departures(row: Experiment) -> list[str]:
    """What keeps a run from being its row: settings, or the number of clips."""
    (run,), settings = runs(run=row.name), settings_of(row.name)
    behind = settings["pretraining"] and {"settings": settings["pretraining"]}
    other = other_settings(row, {"settings": settings, "pretraining": behind})
    said = [f"{name} {ran} for {planned}" for name, (ran, planned) in other.items()]
    unknown = ("an unknown number of",)
    official, seen = SPLITS[row.params["split"]].counts, run["clips"] or unknown
    if official and seen != official:
        said.append(f"{' + '.join(map(str, seen))} clips for {' + '.join(map(str, official))}")
    if behind:  # the encoder, too, has to have learned from the whole set
        official = SPLITS[settings["pretraining"]["split"]].counts
        learned = next((each["clips"] for each in runs(run=run["pretraining"])), None) or unknown
        if official and learned[0] != official[0]:
            said.append(f"pretrained on {learned[0]} clips for {official[0]}")
    return said


def ran(row: Experiment) -> dict | None:
    """`row_reading`, of the paper's rows only if nothing departs from them."""
    reading = row_reading(row)
    return None if reading and row.group == "paper" and departures(row) else reading


def not_run(row: Experiment) -> str:
    """“not run”, with the data that it needs."""
    names, known = {pretraining(row).params["dataset"], row.params["dataset"]}, titles()
    needs = [known.get(name, name).replace(" ", "\N{NBSP}") for name in sorted(names)
             if not name.startswith("synthetic")]
    said = NOT_RUN.replace(" ", "\N{NBSP}")  # two lines on a phone, not one word a line
    return f"{said}: needs\N{NBSP}{' and '.join(needs)}" if needs else NOT_RUN


def _gap(row: Experiment | None) -> str:
    """Points from the paper, ticked if within the band; no reproduction if it ran otherwise."""
    if not row or not (reading := row_reading(row)) or not (says := paper(row)):
        return "–"
    if other := departures(row):
        return f"other settings: {'; '.join(other)}"
    far = round(reading["value"] - says, 2)
    return f"{far:+.1f}" + (" ✓" if abs(far) <= BAND else "")


def results_table(step: str, groups: str, link="`{}`".format) -> Table:
    """A protocol's rows: the paper's figure, ours, the twin's; `link` makes a cell of a name."""
    published, lines, pairs = "paper" in groups, [], twins(step, groups)
    base = ["> from scratch" if step in ("finetune", "semi") else "> untrained"]
    base *= any(twin for _, twin in pairs)
    for row, twin in pairs:
        named = row or twin
        own, other = ("–" if each is None else not_run(each) if not row_reading(each) else
                      percent(ran(each)) if ran(each) else "–" for each in (row, twin))
        says = f"{paper(row):.1f}" if row and paper(row) else "–"
        ours = [says, own, _gap(row)] if published else [own]
        judged = label(named, (row_reading(named) or named.params)["split"])
        lines.append([judged, *ours, *[other] * len(base), link(named.name)])
    middle = ["> paper", "> reproduced", "> gap"] if published else ["> S-JEPA"]
    return Table(["test clips", *middle, *base, "run"], lines)


def cost_table(step: str, groups: str) -> Table | None:
    """What the rows that ran cost, pretraining and evaluation apart; None: none ran."""
    lines = []
    for row in evaluations(step, groups):
        for run in runs(run=row.name):
            behind = settings_of(row.name)["pretraining"] or {}
            hours = [run[name] and f"{run[name] / 3600:.3g}"
                     for name in ("pretrain_seconds", "seconds")]
            line = [f"`{row.name}`", run["seed"],
                    behind.get("epochs") if row.params["method"] == "sjepa" else None,
                    run["pretrain_device"], hours[0], run["device"], hours[1],
                    run["peak_bytes"] and f"{run['peak_bytes'] / 2**30:.1f}", f"`{run['commit']}`"]
            lines.append(["–" if cell is None else cell for cell in line])
    head = ["run", "> seed", "> epochs", "pretrained on", "> hours", "evaluated on", "> hours",
            "> GiB", "commit"]
    return Table(head, lines) if lines else None


def counted(groups: str) -> tuple[int, int]:
    """How many evaluations of some groups were run, and how many there are."""
    every = [row for step in PROTOCOLS for row in evaluations(step, groups)]
    return sum(ran(row) is not None for row in every), len(every)


def cells() -> list[tuple[str, str, float, dict | None]]:
    """The paper's cells as `(protocol, label, paper, reading)`; None unless it ran as the row."""
    return [(called, label(row), paper(row), ran(row))
            for step, called in PROTOCOLS.items() for row in evaluations(step, "paper")
            if paper(row) is not None]


def gains(groups: str) -> list[tuple[str, str, dict, dict]]:
    """Twins that both ran: `(protocol, label, S-JEPA's reading, the baseline's)`."""
    pairs = [(step, row, row_reading(row), row_reading(twin))
             for step in PROTOCOLS for row, twin in twins(step, groups) if row and twin]
    return [(PROTOCOLS[step], label(row, own["split"]), own, other)
            for step, row, own, other in pairs if own and other]


def write_report(config: ReportConfig) -> Path:
    """Write the tables of the chosen groups as Markdown."""
    parts = ["# What ran"]
    for group in config.rows.split(","):
        ran, of = counted(group)
        parts.append(f"## {group}: {ran} of {of} evaluations were run")
        for step, called in PROTOCOLS.items():
            if evaluations(step, group):
                tables = (results_table(step, group), cost_table(step, group))
                parts += [f"### {called}", *(table.text for table in tables if table)]
    out = Path(config.out)
    save_atomically(lambda path: path.write_text("\n\n".join(parts) + "\n"), out)
    print(f"wrote {out}", flush=True)
    return out
