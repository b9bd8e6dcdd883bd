"""The quick reproduction: other code's runs go, those of this code stay, lost records come back."""

import os

import pytest

from sjepa import reproduce
from sjepa.study.rows import rows


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A made-up project: one code file, a finished quick run, two marks of finished rows."""
    code, runs = tmp_path / "code.py", tmp_path / "runs"
    for path in (code, runs / "quick" / "run.json", runs / "quick-bone" / "run.json",
                 runs / "done" / "quick-linear", runs / "done" / "nwucla-small-linear"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    monkeypatch.setattr(reproduce, "code", lambda: [code])
    monkeypatch.setattr(reproduce, "RUNS", runs)
    monkeypatch.setattr(reproduce, "QUICK", runs / "quick")
    monkeypatch.setattr(reproduce, "DONE", runs / "done")
    os.utime(code, (1000, 1000))
    return tmp_path


def test_runs_of_other_code_go_and_others_stay(house):
    (house / "runs/quick/inputs").write_text("old")
    reproduce.forget_stale("new")
    assert not (house / "runs/quick/run.json").exists()
    assert not (house / "runs/quick-bone").exists()
    assert [p.name for p in (house / "runs/done").iterdir()] == ["nwucla-small-linear"]
    assert (house / "runs/quick/inputs").read_text() == "new"


def test_a_run_without_a_mark_stays_if_it_is_younger_than_the_code(house):
    reproduce.forget_stale("new")
    assert (house / "runs/quick/run.json").exists()
    (house / "runs/quick/inputs").unlink()
    os.utime(house / "runs/quick/run.json", (500, 500))
    reproduce.forget_stale("new")
    assert not (house / "runs/quick/run.json").exists()


def test_only_what_is_missing_runs(house, monkeypatch):
    ran, records = [], ["quick-knn"]
    monkeypatch.setattr(reproduce, "run_row", lambda row: ran.append(row.name))
    monkeypatch.setattr(reproduce, "read_records", lambda: records)
    monkeypatch.setattr(reproduce, "row_record",
                        lambda row, known: row if row.name in known else None)
    reproduce.quick()
    assert ran == list(rows("quick"))  # quick-linear had its mark, and no record
    ran.clear()
    records[:] = [name for name in rows("quick") if name != "quick-retrieval"]
    reproduce.quick()
    assert ran == ["quick-retrieval"]
