"""Tables of results: twins side by side, the paper's rows only where they were really run."""

import pytest

from sjepa.show.tables import Table, percent
from sjepa.study import tables
from sjepa.study.evidence import lead
from sjepa.study.experiments import ReportConfig, experiments
from sjepa.study.results import result
from sjepa.study.tables import PAPER, PROTOCOLS, reading_of, results_table, row_reading

NTU = "ntu60-xsub-linear"


def experiment(name):
    return experiments(name)[name]


def line(table, start):
    (found,) = [line for line in table.text.splitlines() if start in line]
    return found


#: What the records of November 2026 say; each pair is one pretraining, one seed, one recipe.
TWINS = [
    ("linear", "nwucla/xview-clean", "top1", "random", 37.7, 65.6, "ahead by 27.9 points"),
    ("linear", "nwucla/xview", "top1", "random", 40.7, 61.6, "ahead by 20.9 points"),
    ("linear", "nwucla/xview-leaked", "top1", "random", 52.6, 46.3, "not clearly different"),
    ("knn", "nwucla/xview-clean", "top1-k1", "random", 30.6, 52.0, "ahead by 21.4 points"),
    ("finetune", "nwucla/xview-clean", "top1", "scratch", 71.3, 70.7, "not clearly different (-0"),
    ("finetune", "kindergator/xsub", "top1", "scratch", 44.0, 42.2, "not clearly different (-1.7"),
    ("finetune", "hdm05/xsub", "top1", "scratch", 98.0, 98.0, "not clearly different (+0.0"),
    ("semi-10pct", "nwucla/xview-clean", "top1-10pct", "scratch", 37.9, 60.7,
     "ahead by 22.8 points"),
]


@pytest.mark.parametrize("protocol, split, metric, method, twin, ours, said", TWINS)
def test_the_twins_of_the_small_preset(protocol, split, metric, method, twin, ours, said):
    run, step = f"{split.split('/')[0]}-small", protocol.split("-")[0]
    own, other = (reading_of(run, protocol, m, split, metric) for m in ("sjepa", method))
    assert (f"{own['value']:.1f}", f"{other['value']:.1f}") == (f"{ours:.1f}", f"{twin:.1f}")
    assert (own["preset"], own["seed"]) == (other["preset"], other["seed"]) == ("small", 0)
    assert lead(own, other).startswith(said)
    if said.startswith("ahead"):
        assert lead(other, own) == said.replace("ahead", "behind")
    if row_reading(experiment(own["run"])) == own:  # the line that tables show
        shown = line(results_table(step, "open"), f"`{own['run']}`").split(" | ")
        assert shown[0] == f"| {split}" + (" 10\N{NBSP}%" if step == "semi" else "")
        assert shown[1].startswith(f"{ours:.1f} [") and shown[2].startswith(f"{twin:.1f} [")


def test_every_pair_of_a_table_is_one_pretraining_under_one_recipe():
    every = [pair for step in PROTOCOLS for pair in tables.twins(step, "paper,open,quick")]
    pairs = [pair for pair in every if None not in pair]
    assert len(pairs) > 30
    lone = {(row or twin).name for row, twin in every} - {row.name for row, _ in pairs}
    assert {name for name in lone if "transfer" not in name} == {"pku2-xsub-finetune-scratch"}
    for row, other in pairs:
        assert row.params["method"] == "sjepa" and other.params["method"] in ("random", "scratch")
        assert row.after == other.after and other.name.startswith(row.name)
    for _, _, own, other in tables.gains("open,quick"):
        assert all(own[key] == other[key] for key in ("preset", "seed", "split", "metric"))


@pytest.mark.parametrize("value, shown", [
    (85.8, "+0.5 ✓"), (84.8, "-0.5 ✓"), (84.7, "-0.6 |"), (86.3, "+1.0 |"),
])
def test_the_gap_is_to_the_paper_and_half_a_point_replicates(book, value, shown):
    book.put(NTU, ("ntu60/xsub", "top1", value))
    found = line(results_table("linear", "paper"), f"`{NTU}`")
    assert f"| 85.3 | {value:.1f} [" in found and shown in found
    assert tables.cells()[0][3]["value"] == value


@pytest.mark.parametrize("other, said", [
    ({"settings": {"epochs": 3}}, "epochs 3 for 100"),
    ({"behind": {"mask_ratio": 0.8}}, "mask_ratio of the pretraining 0.8 for 0.9"),
    ({"clips": (40091, 100)}, "40091 + 100 clips for 40091 + 16487"),
    ({"settings": {"seed": 1}}, "seed 1 for 0"),
    ({"learned": (60, 30)}, "pretrained on 60 clips for 40091"),
])
def test_a_run_of_other_settings_or_clips_is_no_reproduction(book, other, said):
    book.put(NTU, ("ntu60/xsub", "top1", 85.3), **other)
    found = line(results_table("linear", "paper"), f"`{NTU}`")
    assert f"| – | other settings: {said} |" in found and "✓" not in found
    assert tables.cells()[0][3] is None and tables.counted("paper")[0] == 0


def test_without_results_every_line_says_not_run_and_what_it_needs(book):
    for step in PROTOCOLS:
        body = results_table(step, "paper").text.splitlines()[2:]
        assert all("not\N{NBSP}run: needs" in line for line in body), step
        assert tables.cost_table(step, "paper") is None
    # Of each step and set one row: no set without a title crashes a table.
    every = {(row.step, row.params.get("dataset")): row.name
             for row in experiments("evidence,open,quick").values()}
    for step in PROTOCOLS:
        results_table(step, ",".join(every.values()))
    transfer = results_table("transfer", "paper").text
    assert "NTU120 and PKU-MMD\N{NBSP}II" in transfer and "74.2" in transfer
    assert tables.counted("paper")[0] == 0 and tables.gains("paper") == []
    assert tables.not_run(experiment("quick-linear")) == lead(None, {}) == "not run"


def test_clean_clips_are_shown_where_copies_were_found_and_costs_stand_apart(book, tmp_path):
    name = "nwucla-small-linear"
    for readings in ([("nwucla/xview", "top1", 70.0)],
                     [("nwucla/xview", "top1", 70.0), ("nwucla/xview-clean", "top1", 60.0)]):
        book.put(name, *readings)
        split, _, value = readings[-1]
        assert f"| {split} | {value} [" in line(results_table("linear", "open"), f"`{name}`")
    # 7,200 and 90 seconds, a GiB
    assert "| 100 | GPU | 2 | CPU | 0.025 | 1.0 |" in tables.cost_table("linear", "open").text
    tables.write_report(ReportConfig(rows="open,paper", out=str(tmp_path / "made" / "report.md")))
    text = (tmp_path / "made" / "report.md").read_text()
    assert "open: 1 of" in text and "60.0 [58.0" in text and "paper: 0 of" in text
    assert "<span" not in text


def test_published_figures_have_a_source_and_ours_are_the_papers():
    for row in sum(tables.PUBLISHED.values(), []):
        assert row["source"] in {"page", "gfp", "amr", "slim", "notes"} and row["cite"]
        assert all(0 < v < 100 for v in row.values() if isinstance(v, float))
    assert len(PAPER) == 15 and PAPER["linear", "ntu60/xview"] == 89.8
    assert PAPER["semi", "ntu60/xsub 10\N{NBSP}%"] == 88.4
    rows = [row for step in PROTOCOLS for row in tables.evaluations(step, "paper")]
    assert sorted(filter(None, map(tables.paper, rows))) == sorted(PAPER.values())


def test_a_cell_says_in_html_which_reading_it_is(book):
    book.put("nwucla-small-linear", ("nwucla/xview", "top1", 70.0))
    table = Table(["a", "b"], [[percent(result(run="nwucla-small-linear")), None]])
    assert "| 70.0 [68.0,\N{NBSP}72.0] | not run |" in table.text
    assert ('<span data-reading="nwucla-small-linear nwucla/xview linear top1" data-value="70.0">'
            in table._repr_markdown_())
