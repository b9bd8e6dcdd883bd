"""What ran and what did not: the tables of the results pages, made of rows and records.

`python -m sjepa.study.tables --params FILE` writes the same tables as one Markdown file.
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path

import yaml

from sjepa.checkpoint import save_atomically
from sjepa.config import PretrainConfig, load_params, make_config
from sjepa.errors import main_with_errors
from sjepa.protocols.config import ReportConfig
from sjepa.show.tables import NOT_RUN, Table, percent
from sjepa.study.records import PAPER, paper_value, read_records, record_id
from sjepa.study.row import Row
from sjepa.study.rows import rows

METHODS = {"sjepa": "S-JEPA", "random": "untrained", "scratch": "from scratch",
           "classical": "classical"}
DATASETS = {
    "synthetic": "built-in", "synthetic20": "built-in, 20 joints", "ntu60": "NTU60",
    "ntu120": "NTU120", "pku1": "PKU-MMD I", "pku2": "PKU-MMD II", "nwucla": "NW-UCLA",
    "kindergator": "Kinder-Gator", "hdm05": "HDM05",
}
PROTOCOLS = {
    "linear": "Linear probe", "finetune": "Fine-tuning", "semi": "Few labels",
    "transfer": "Transfer", "knn": "One nearest neighbour", "retrieval": "Retrieval, recall at 1",
}
#: Re-runs of the method's forerunner differ from their paper by up to this many points.
BAND = 0.5


@functools.cache
def _every_row() -> dict[str, Row]:
    return rows()


def pretraining(row: Row) -> Row:
    """The row of the pretraining that an evaluation starts from."""
    return _every_row()[row.after[0]]


def full_metric(row: Row, metric: str = "") -> str:
    """A metric of an evaluation, by default the main one, as its record names it."""
    before = pretraining(row).params
    named = "-bone" if before.get("stream") == "bone" else ""
    if row.params["method"] == "sjepa":
        if before["split"] != row.params["split"]:
            named += f"-from-{before['split'].replace('/', '-')}"
        named += f"-{before['variant']}" if "variant" in before else ""
    return (metric or row.main_metric) + named


def row_record(row: Row, records: list[dict]) -> dict | None:
    """The record of an evaluation's main metric, or None.

    Where test clips are copies of training clips, that of the other, clean ones.

    Args:
        row: a row of a step in `PROTOCOLS`.
        records: where to look.
    """
    named = {record["id"]: record for record in records}
    for part in ("-clean", ""):
        wanted = expected_id(row, row.params["split"] + part)
        if wanted in named:
            return named[wanted]
    return None


def expected_id(row: Row, split: str, metric: str = "") -> str:
    """Id of the record that an evaluation writes for the part `split` of the test clips.

    Of its main metric, or of another one.
    """
    before, method = pretraining(row).params, row.params["method"]
    preset = before.get("preset", PretrainConfig.preset) if method != "classical" else "none"
    seed = before.get("seed", 0) if method == "sjepa" else 0
    if method == "sjepa" and before.get("target", "latent") != "latent":
        method = before["target"]
    return record_id(split, row.step, method, preset, full_metric(row, metric), seed,
                     row.params.get("seed", 0))


def paper(row: Row) -> float | None:
    """The paper's figure for a row of S-JEPA's, or None where it has none."""
    if row.group != "paper" or row.params["method"] != "sjepa":
        return None
    return paper_value(row.step, row.params["split"], full_metric(row))


def evaluations(step: str, groups: str) -> list[Row]:
    """The rows of a protocol, without those of other streams."""
    return [row for row in rows(groups).values()
            if row.step == step and "stream" not in pretraining(row).params]


def not_run(row: Row) -> str:
    """«not run», with the data that it needs."""
    names = {pretraining(row).params["dataset"], row.params["dataset"]} - {"synthetic",
                                                                           "synthetic20"}
    if not names:
        return NOT_RUN
    needs = " and ".join(DATASETS[name] for name in sorted(names))
    # Two lines on a phone, not one word a line.
    return f"{NOT_RUN}: needs {needs}".replace(" ", "\N{NO-BREAK SPACE}").replace(
        ":\N{NO-BREAK SPACE}", ": ").replace("\N{NO-BREAK SPACE}and\N{NO-BREAK SPACE}", " and ")


def gap(record: dict | None) -> float | None:
    """Points by which a record differs from the paper's figure, or None."""
    if record is None or record["paper"] is None:
        return None
    return round(record["value"] - record["paper"], 2)


def label(row: Row, record: dict | None = None) -> str:
    """What a row is judged on: the split, the share of labels, the origin of a transfer."""
    parts = [record["split"] if record else row.params["split"]]
    if row.step == "semi":
        parts.append(f"{100 * row.params['share']:g} %")
    if row.step == "transfer":
        parts.insert(0, f"{pretraining(row).params['split']} →")
    return " ".join(parts).replace(" %", "\N{NO-BREAK SPACE}%")


def results_table(step: str, groups: str, records: list[dict], link="`{}`".format) -> Table:
    """A protocol's rows: what the paper says, what came out, and the name of the run.

    Args:
        step: a key of `PROTOCOLS`.
        groups: see `sjepa.study.rows.rows`.
        records: where the numbers come from.
        link: turns the name of a parameter file into a cell.
    """
    published, lines = groups == "paper", []
    for row in evaluations(step, groups):
        record, says = row_record(row, records), paper(row)
        far = gap(record)
        verdict = "–" if far is None else f"{far:+.1f}" + (" ✓" if abs(far) <= BAND else "")
        lines.append([
            label(row, record), METHODS[row.params["method"]],
            *([f"{says:.1f}" if says is not None else "–"] if published else []),
            percent(record) if record else not_run(row), *([verdict] if published else []),
            link(row.name),
        ])
    middle = ["> paper", "> reproduced", "> gap"] if published else ["> measured"]
    return Table(["test clips", "encoder", *middle, "run"], lines)


def cost_table(step: str, groups: str, records: list[dict]) -> Table | None:
    """What the rows that ran cost: seeds, epochs, hardware, hours, memory, commit; None if none."""
    found = [(row, row_record(row, records)) for row in evaluations(step, groups)]
    lines = [[
        f"{label(row, r)}, {METHODS[row.params['method']]}", ", ".join(map(str, r["seeds"])),
        r["epochs"], r["device"], f"{r['hours']:.2f}", f"{r['peak_bytes'] / 2**30:.1f}",
        r["versions"]["torch"].split("+")[0], f"`{r['commit']}`",
    ] for row, r in found if r]
    head = ["run", "seeds", "> epochs", "hardware", "> hours", "> GiB", "torch", "commit"]
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
    cells = list(dict.fromkeys(k for row in reversed(made) for k in row
                               if k not in ("method", "cite", "source")))
    names = [c.replace("pct ", "\N{NO-BREAK SPACE}% ").replace("/", " ") for c in cells]
    return Table(["method", *(f"> {name}" for name in names), "source"], [
        [f"{row['method']} {cite(row['cite'])}",
         *(f"{row[c]:.1f}" if c in row else "–" for c in cells), row["source"]]
        for row in made])


def counted(groups: str, records: list[dict]) -> tuple[int, int]:
    """How many evaluations of some groups have a record, and how many there are."""
    every = [row for step in PROTOCOLS for row in evaluations(step, groups)]
    return sum(row_record(row, records) is not None for row in every), len(every)


def cells(records: list[dict]) -> list[tuple[str, str, float, dict | None]]:
    """The paper's cells as `(protocol, label, paper, record or None)`, for the summary chart."""
    return [(PROTOCOLS[step], label(row), paper(row), row_record(row, records))
            for step in PROTOCOLS for row in evaluations(step, "paper")
            if paper(row) is not None]


def gains(groups: str, records: list[dict]) -> list[tuple[str, str, dict, dict]]:
    """Rows that ran with their baseline: `(protocol, label, S-JEPA's record, baseline's)`."""
    made = []
    for step in PROTOCOLS:
        pairs: dict[str, dict] = {}
        for row in evaluations(step, groups):
            if record := row_record(row, records):
                pairs.setdefault(label(row, record), {})[row.params["method"] == "sjepa"] = record
        made += [(PROTOCOLS[step], name, both[True], both[False])
                 for name, both in pairs.items() if len(both) == 2]
    return made


def write_report(config: ReportConfig) -> Path:
    """Write the tables of the chosen rows as Markdown.

    Raises:
        SjepaError: an unknown group, or a file among the records that is none.
    """
    records, parts = read_records(config.results or None), ["# What ran"]
    for group in config.rows.split(","):
        ran, of = counted(group, records)
        parts.append(f"## {group}: {ran} of {of} evaluations have a record")
        for step, title in PROTOCOLS.items():
            if evaluations(step, group):
                tables = (results_table(step, group, records), cost_table(step, group, records))
                parts += [f"### {title}", *(table.text for table in tables if table)]
    out = Path(config.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_atomically(lambda p: p.write_text("\n\n".join(parts) + "\n"), out)
    print(f"wrote {out}", flush=True)
    return out


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sjepa.study.tables", description=__doc__)
    parser.add_argument("--params", required=True, help="YAML file of parameters")
    args = parser.parse_args(argv)
    write_report(make_config(ReportConfig, load_params(args.params)))


if __name__ == "__main__":
    main_with_errors(main)
