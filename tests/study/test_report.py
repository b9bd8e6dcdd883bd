"""The results tables: every number from a record, what was not run says so, the band is kept."""

import json

import matplotlib
import numpy as np
import pytest

from sjepa.errors import SjepaError
from sjepa.protocols.config import ReportConfig
from sjepa.protocols.fusion import Predictions
from sjepa.show.plots import gain_chart, gap_chart
from sjepa.show.tables import class_table, pairs_table
from sjepa.study.records import PAPER, write_record
from sjepa.study.rows import rows
from sjepa.study.tables import (
    PROTOCOLS,
    cells,
    cost_table,
    counted,
    expected_id,
    full_metric,
    gains,
    gap,
    published_rows,
    published_table,
    results_table,
    row_record,
    write_report,
)

matplotlib.use("agg")
ROWS = rows()


def record(name, value, split=None, paper=None):
    """A record as the run of row `name` would write it."""
    row = ROWS[name]
    preset = {"paper": "paper", "open": "small", "evidence": "open", "quick": "quick"}[row.group]
    split = split or row.params["split"]
    return {
        "id": expected_id(row, split),
        "dataset": row.params["dataset"], "split": split, "protocol": row.step,
        "method": row.params["method"], "metric": full_metric(row), "value": value,
        "interval": [value - 1, value + 1], "seeds": [0], "paper": paper, "preset": preset,
        "epochs": 3, "device": "CPU", "hours": 1.5, "peak_bytes": 2**30, "command": "x", "note": "",
    }


def lines(table, name):
    return [line for line in table.text.splitlines() if f"`{name}`" in line]


@pytest.mark.parametrize("value, shown", [
    (85.8, "+0.5 ✓"), (84.8, "-0.5 ✓"), (84.7, "-0.6 |"), (86.3, "+1.0 |"),
])
def test_the_gap_is_to_the_paper_and_half_a_point_replicates(value, shown):
    made = record("ntu60-xsub-linear", value, paper=85.3)
    (line,) = lines(results_table("linear", "paper", [made]), "ntu60-xsub-linear")
    assert f"| 85.3 | {value:.1f} [" in line and shown in line
    assert gap(made) == pytest.approx(value - 85.3, abs=0.005)
    assert cells([made])[0][3] is made


def test_without_records_every_line_says_not_run_and_what_it_needs():
    for step in PROTOCOLS:
        body = results_table(step, "paper", []).text.splitlines()[2:]
        assert all("not\N{NO-BREAK SPACE}run: needs" in line for line in body), step
        assert cost_table(step, "paper", []) is None
    transfer = results_table("transfer", "paper", []).text
    assert "NTU120 and PKU-MMD\N{NO-BREAK SPACE}II" in transfer and "74.2" in transfer
    assert counted("paper", [])[0] == 0 and gains("paper", []) == []


def test_clean_clips_are_shown_where_copies_were_found():
    name = "nwucla-small-linear"
    made = [record(name, 70.0), record(name, 60.0, split="nwucla/xview-clean")]
    assert row_record(ROWS[name], made)["value"] == 60.0
    assert row_record(ROWS[name], made[:1])["value"] == 70.0
    (line,) = lines(results_table("linear", "open", made), name)
    assert "nwucla/xview-clean" in line and "60.0" in line


def test_a_row_finds_its_own_record_and_no_other():
    evaluated = [r for r in ROWS.values() if r.step in PROTOCOLS]
    made = {r.name: record(r.name, 50.0) for r in evaluated}
    assert len({m["id"] for m in made.values()}) == len(evaluated)
    everything = list(made.values())
    for row in evaluated:
        assert row_record(row, everything)["id"] == made[row.name]["id"]


def test_gains_need_both_sides():
    both = [record("quick-semi-10pct", 40.0), record("quick-semi-10pct-scratch", 30.0)]
    ((_, name, ours, base),) = gains("quick", both)
    assert "10" in name and ours["value"] - base["value"] == 10
    assert gains("quick", both[:1]) == []


def test_published_rows_have_a_source_and_ours_are_the_papers():
    known = {"page", "gfp", "amr", "slim", "notes"}
    for step in PROTOCOLS:
        for row in published_rows(step):
            assert row["source"] in known and row["cite"]
            assert all(0 < v < 100 for v in row.values() if isinstance(v, float))
    own = published_rows("linear")[-1]
    assert own["ntu60/xview"] == PAPER["linear", "ntu60/xview"] == 89.8
    assert "| 1\N{NO-BREAK SPACE}% ntu60 xsub" in published_table("semi").text.replace("> ", "")


def test_the_report_is_written_whole_and_refuses_what_is_no_record(tmp_path):
    results = tmp_path / "results"
    write_record(record("quick-linear", 72.0), results)
    out = tmp_path / "made" / "report.md"
    write_report(ReportConfig(rows="quick,paper", results=str(results), out=str(out)))
    text = out.read_text()
    assert "quick: 1 of" in text and "72.0 [71.0" in text and "paper: 0 of" in text
    (results / "broken.json").write_text(json.dumps({"id": "x"}))
    with pytest.raises(SjepaError, match="missing or unknown record fields"):
        write_report(ReportConfig(rows="quick", results=str(results), out=str(tmp_path / "b.md")))
    assert not (tmp_path / "b.md").exists()


def test_charts_put_marks_where_the_numbers_are():
    made = record("ntu60-xsub-linear", 86.0, paper=85.3)
    _, ax = matplotlib.pyplot.subplots()
    gap_chart(ax, cells([made]))
    points = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert len(points) == len(PAPER) and points[0] == pytest.approx(0.7)
    assert points[1:] == [0] * (len(PAPER) - 1)
    _, ax = matplotlib.pyplot.subplots()
    gain_chart(ax, gains("quick", [record("quick-knn", 60.0), record("quick-knn-random", 20.0)]))
    assert [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"] == [60.0, 20.0]
    matplotlib.pyplot.close("all")


def test_class_and_pair_tables_count_by_hand():
    wanted, predicted = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0])
    made = Predictions(np.arange(5), wanted, predicted, None, np.array(["a", "b", "c"]), {},
                       (0, 0), {})
    assert class_table(made).text.splitlines()[2:] == [
        "| a | 2 | 50.0 |", "| b | 3 | 66.7 |", "| c | 0 | – |"]
    assert pairs_table(made).text.splitlines()[2:] == ["| a | b | 2 |"]
