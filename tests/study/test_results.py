"""Results: one truth for each number, merged whole or not at all, and never the wrong twin."""

import json
import os

import pytest

from sjepa.checkpoint import settings_hash
from sjepa.errors import SjepaError
from sjepa.study import results
from sjepa.study.results import collect, curve, readings, result, runs, settings_of

LINEAR = ("nwucla/xview", "top1", 61.0)


def files():
    return {path.name: path.read_bytes() for path in results.RESULTS.iterdir()}


def test_a_run_comes_back_as_it_was_written(book):
    book.put("nwucla-small-linear", LINEAR, ("nwucla/xview-clean", "top1", 65.5, 60.1, 70.2))
    found = result(run="nwucla-small-linear", split="nwucla/xview-clean")
    assert [found[name] for name in (
        "value", "low", "high", "n", "dataset", "protocol", "preset", "seed")] == [
        65.5, 60.1, 70.2, 100, "nwucla", "linear", "small", 0]
    (run,) = runs(run="nwucla-small-linear")
    assert (run["group"], run["pretraining"], run["clips"]) == ("open", "nwucla-small", (1020, 464))
    # Hours of the pretraining and of the evaluation stay apart.
    assert (run["seconds"], run["device"], run["peak_bytes"]) == (90.0, "CPU", 2**30)
    assert (run["pretrain_seconds"], run["pretrain_device"]) == (7200.0, "GPU")
    settings = settings_of("nwucla-small-linear")
    assert settings["passes"] == 10 and settings["pretraining"]["preset"] == "small"
    assert result(run="nwucla-small-knn") is None and settings_of("nwucla-small-knn") is None


def test_two_answers_are_an_error_and_runs_tell_them_apart(book):
    book.put("nwucla-small-linear", LINEAR)
    book.put("pool-latent-seed0-linear-nwucla-xview", LINEAR)
    with pytest.raises(SjepaError, match="2 readings match protocol = linear, metric = top1: say "
                                         "more of the run, one of nwucla-small-linear, pool-"):
        result(protocol="linear", metric="top1")
    assert result(protocol="linear", preset="small")["run"] == "nwucla-small-linear"
    assert result(pretraining="pool-latent-seed0", metric="top1")["preset"] == "open"
    assert len(readings(preset=("small", "open"))) == 2
    with pytest.raises(SjepaError, match="no column colour in the results: there are run, "):
        readings(colour="red")


def test_files_are_sorted_whatever_came_first(book):
    book.put("nwucla-small-linear", LINEAR, ("nwucla/xview-clean", "top1", 65.5))
    book.put("hdm05-small-linear", ("hdm05/xsub", "top1", 90.0))
    first = files()
    for path in results.RESULTS.iterdir():
        path.unlink()
    assert collect([book.runs]) == ["hdm05-small-linear", "nwucla-small-linear"]
    assert files() == first and first["readings.csv"].startswith(
        b"run,dataset,split,protocol,method,preset,seed,metric,value,low,high,n,right\nhdm05")
    hashes = [json.loads(line)["hash"] for line in first["settings.jsonl"].splitlines()]
    assert hashes == sorted(hashes) and len(hashes) == 4  # evaluations, pretrainings behind them


def test_other_settings_under_a_known_name_need_replace(book):
    book.put("nwucla-small-linear", LINEAR)
    before = files()
    folder = book.run("nwucla-small-linear", [(*LINEAR[:2], 99.0)], settings={"lr": 0.7})
    with pytest.raises(SjepaError, match="hold a run nwucla-small-linear with other settings"):
        collect([folder])
    assert files() == before
    collect([folder], replace=True)
    assert result(run="nwucla-small-linear")["value"] == 99.0
    assert settings_of("nwucla-small-linear")["lr"] == 0.7
    # Other weights under the same probe are another run, too.
    with pytest.raises(SjepaError, match="with other settings"):
        book.put("nwucla-small-linear", LINEAR, settings={"lr": 0.7}, behind={"mask_ratio": 0.8})


def test_nothing_is_merged_if_one_result_is_bad(book):
    good = book.run("nwucla-small-linear", [LINEAR])
    twin, text = book.runs / "again" / "nwucla-small-linear", (good / "result.json").read_text()
    twin.mkdir(parents=True)
    (twin / "result.json").write_text(text)
    with pytest.raises(SjepaError, match="are both of the run nwucla-small-linear"):
        collect([book.runs])
    made = json.loads(text)
    for at, damage in enumerate(('{"run": 1', "[]", *(json.dumps(made | change) for change in (
            {"readings": [{"value": 1.0}]}, {"run": ""}, {"run": "a\nb"}, {"run": 5}, {"hash": 3},
            {"hash": None}, {"seed": "x"}, {"stages": {"evaluate": made["stages"]["evaluate"]
                                                       | {"seconds": "abc"}}})))):
        (twin / "result.json").write_text(damage)
        os.utime(twin / "result.json", (at, at))
        with pytest.raises(SjepaError, match="again/nwucla-small-linear/result.json is damaged"):
            collect([twin, good])
    assert not results.RESULTS.exists()
    with pytest.raises(SjepaError, match="there is no folder .*nowhere"):
        collect([book.runs / "nowhere"])


def test_a_failing_write_leaves_every_file_as_it_was(book, monkeypatch):
    book.put("nwucla-small-linear", LINEAR)
    before, write = files(), results._write_csv

    def full_disk(path, columns, rows):
        if "curves" in path.name:
            raise OSError("no space left")
        write(path, columns, rows)

    monkeypatch.setattr(results, "_write_csv", full_disk)
    with pytest.raises(SjepaError, match="no space"):
        book.put("hdm05-small-linear", ("hdm05/xsub", "top1", 90.0))
    assert files() == before


def test_quick_runs_are_seen_and_never_collected(book):
    book.put("nwucla-small-linear", LINEAR)
    for at, value in enumerate((40.0, 50.0)):  # a run that is made again is read again
        folder = book.run("quick-linear", [("synthetic/xsub", "top1", value)])
        os.utime(folder / "result.json", (at, at))
        assert result(run="quick-linear")["value"] == value
    assert settings_of("quick-linear")["pretraining"]["preset"] == "quick"
    assert collect([book.runs]) == ["nwucla-small-linear"]
    with pytest.raises(SjepaError, match="perhaps quick ones"):
        collect([folder])


def test_a_pretrainings_monitors_are_kept_to_four_digits(book):
    folder = book.run("parts-mse-seed0-pretrain")
    (folder / "history.csv").write_text("epoch,loss,rank,lr\n1,1.234567,30.0,0.1\n2,0.5,,0.1\n")
    collect([folder])
    assert curve("parts-mse-seed0") == {
        "run": "parts-mse-seed0", "dim": 128, "device": "CPU", "seconds": 90.0,
        "history": [{"epoch": 1, "loss": 1.235, "rank": 30.0}, {"epoch": 2, "loss": 0.5}]}
    assert curve("parts-no-ema-seed0") is None


def test_what_is_committed_is_whole_and_in_few_files(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "RUNS", tmp_path)  # not what was half run here
    assert sum(path.is_file() for path in results.RESULTS.rglob("*")) <= 60
    every, known = readings(), {run["run"]: run for run in runs()}
    for reading in every:
        assert 0 <= reading["low"] <= reading["value"] <= reading["high"] <= 100
        assert abs(100 * reading["right"] / reading["n"] - reading["value"]) < 0.0051, reading
    assert len(known) == len(runs()) and {reading["run"] for reading in every} <= set(known)
    assert len({(r["run"], r["split"], r["metric"]) for r in every}) == len(every)
    for name, run in known.items():
        settings = settings_of(name)
        behind = settings.pop("pretraining")
        step = {"step": run["step"], "behind": settings_hash(behind or {})}
        assert settings_hash(settings | step) == run["settings"], name
        assert run["pretraining"] is None or run["pretraining"] in known
