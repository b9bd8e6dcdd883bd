"""Records: complete or refused, whole or absent, and all shipped ones valid."""

import json
import os

import numpy as np
import pytest

from sjepa.errors import SjepaError
from sjepa.show.tables import Table, find, percent
from sjepa.study.records import FIELDS, bootstrap, read_records, write_record

RECORD = dict(
    id="synthetic-xsub-linear-sjepa-quick", dataset="synthetic", split="synthetic/xsub",
    protocol="linear", method="sjepa", metric="top1", value=50.0, interval=[48.0, 52.0], seeds=[0],
    paper=None, preset="quick", epochs=60, device="CPU", hours=0.1, peak_bytes=1, command="x",
    note="",
)


def test_round_trip(tmp_path):
    write_record(RECORD, tmp_path)
    (record,) = read_records(tmp_path)
    assert list(record) == list(FIELDS)
    assert {k: record[k] for k in RECORD} == RECORD
    assert record["versions"]["torch"] and record["commit"]


@pytest.mark.parametrize("change, said", [
    ({"value": "50"}, "value = '50' is of the wrong type"),
    ({"colour": 1}, "missing or unknown record fields: colour"),
])
def test_wrong_records_are_refused(tmp_path, change, said):
    with pytest.raises(SjepaError, match=said):
        write_record(RECORD | change, tmp_path)
    assert os.listdir(tmp_path) == []


def test_missing_field_and_broken_file(tmp_path):
    write_record(RECORD, tmp_path)
    path = tmp_path / f"{RECORD['id']}.json"
    record = json.loads(path.read_text())
    del record["hours"]
    path.write_text(json.dumps(record))
    with pytest.raises(SjepaError, match="hours"):
        read_records(tmp_path)
    path.write_text("{")
    with pytest.raises(SjepaError, match="is not JSON"):
        read_records(tmp_path)


def test_shipped_records_are_valid_and_named_by_their_id():
    for record in read_records():
        low, high = record["interval"]
        assert 0 <= low <= record["value"] <= high <= 100
        assert record["id"].startswith("-".join(record["split"].split("/")))


def test_bootstrap_is_the_binomial_interval():
    low, high = bootstrap(np.arange(400) < 300)
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400) * 100
    assert low == pytest.approx(75 - half, abs=0.4) and high == pytest.approx(75 + half, abs=0.4)


def test_what_is_missing_says_not_run():
    assert percent(None) == "not run"
    assert "| not run |" in Table(["a"], [[None]]).text
    assert percent(RECORD) == "50.0 [48.0,\N{NO-BREAK SPACE}52.0]"
    assert find([RECORD], method="sjepa") is RECORD and find([RECORD], method="random") is None
