"""The quick reproduction: what of other settings or code goes, what stays, who may train."""

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from sjepa.checkpoint import read_history, read_result, write_result
from sjepa.datasets import load_store
from sjepa.errors import SjepaError
from sjepa.pretrain import Pretraining
from sjepa.protocols.encoders import load_encoder
from sjepa.protocols.run import evaluate
from sjepa.study import quick as study
from sjepa.study.experiments import config_of, experiments, other_settings
from sjepa.study.quick import code_behind

RUNS = sorted(row.run for row in study.quick_runs())


@pytest.fixture
def house(tmp_path, monkeypatch):
    """Quick runs that take no time: `house.ran` names them, `house.code` is hash and time."""
    made = type("House", (), {"ran": [], "runs": tmp_path / "runs", "code": ("one", 1000)})

    def train(step, config):
        time.sleep(0.02)
        made.ran.append(Path(config.out).name)
        behind = {"pretraining": {"settings": read_result(config.run)["settings"]}
                  } if getattr(config, "run", "") else {}
        write_result(tmp_path / config.out, step, asdict(config), {}, **behind)

    monkeypatch.setattr("sjepa.checkpoint.commit", lambda: ("abc", False))
    for module in (study, study.batch):
        monkeypatch.setattr(module, "RUNS", made.runs)
    monkeypatch.setattr(study, "code_behind", lambda: made.code)
    monkeypatch.setattr(study.batch, "pretrain", lambda config: train("pretrain", config))
    monkeypatch.setattr(study.batch, "evaluate", train)
    monkeypatch.setattr(study.batch, "processes", lambda jobs: ThreadPoolExecutor(1))
    for nothing in ("prepare", "write_report"):
        monkeypatch.setattr(study, nothing, lambda config: None)
    return made


def quick(house):
    """The runs that the quick reproduction made now, each after those that it reads."""
    house.ran.clear()
    assert study.reproduce() == house.runs / "quick"
    rows = {row.run: row for row in study.quick_runs()}
    for place, name in enumerate(house.ran):
        assert not {rows[later].name for later in house.ran[place:]} & set(rows[name].after)
    return sorted(house.ran)


def test_what_is_up_to_date_stays_and_what_reads_a_new_run_is_made_anew(house):
    assert quick(house) == RUNS and quick(house) == []
    (house.runs / "quick-knn" / "result.json").unlink()
    assert quick(house) == ["quick-knn"]
    (house.runs / "quick-bone-linear" / "result.json").unlink()
    assert quick(house) == ["quick-bone-linear", "quick-fuse"]


def test_other_code_makes_all_anew_and_keeps_the_old(house):
    quick(house)
    first = read_result(house.runs / "quick")
    (house.runs / "nwucla-small").mkdir()
    house.code = "two", 1000
    assert quick(house) == RUNS
    assert read_result(house.runs / "old" / "quick") == first
    assert (house.runs / "nwucla-small").is_dir() and quick(house) == []


def test_a_run_of_other_settings_is_not_the_experiment(house):
    quick(house)
    rows, settings = experiments("quick"), asdict(config_of("quick-bone-pretrain"))
    old = read_result(house.runs / "quick-knn")["settings"]
    shorter = settings | {"epochs": 3, "precision": "bf16"}
    write_result(house.runs / "quick-bone", "pretrain", shorter, {})
    write_result(house.runs / "quick-knn", "knn", old, {}, pretraining={
        "settings": asdict(config_of("quick-pretrain")) | {"depth": 1}})
    assert [other_settings(rows[name], read_result(house.runs / rows[name].run))
            for name in ("quick-bone-pretrain", "quick-knn", "quick-linear")] == [
        {"epochs": (3, settings["epochs"])}, {"depth of the pretraining": (1, 3)}, {}]
    assert quick(house) == ["quick-bone", "quick-bone-linear", "quick-fuse", "quick-knn"]
    assert read_result(house.runs / "old" / "quick-bone")["settings"]["epochs"] == 3


def test_runs_of_another_runner_stay_if_they_are_younger_than_the_code(house):
    quick(house)
    for folder in RUNS:
        (house.runs / folder / "code").unlink()
    assert quick(house) == []
    os.utime(house.runs / "quick-fuse" / "result.json", (500, 500))
    assert quick(house) == ["quick-fuse"]


def test_two_processes_never_train_at_once(house):
    with ThreadPoolExecutor() as pool:
        made = [pool.submit(study.reproduce) for _ in range(2)]
    assert made[0].result() == made[1].result()
    assert sorted(house.ran) == RUNS


def test_a_folder_that_cannot_be_written_is_said(house):
    house.runs.write_text("a file")
    with pytest.raises(SjepaError, match="quick runs have to be made, and .*runs cannot be"):
        study.reproduce()


def test_a_chapter_gets_the_package_s_run_unless_there_is_a_newer_one(house):
    assert study.quick() == study.SHIPPED / "quick" and house.ran == []
    assert study.quick(retrain=True) == house.runs / "quick" == study.quick()
    house.code = "two", 1e12
    assert study.quick() == study.SHIPPED / "quick"


def test_code_is_the_method_and_no_reader_or_page(tmp_path):
    hashes = []
    for name in ("encoder.py", "study/a.py", "datasets/sources/b.py", "protocols/c.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1")
        code_behind.cache_clear()
        hashes.append(code_behind(tmp_path)[0])
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]
    assert code_behind(tmp_path)[1] == (tmp_path / "protocols/c.py").stat().st_mtime


def test_the_package_s_runs_are_those_of_the_plan():
    rows = study.quick_runs()
    assert sorted(kept.name for kept in study.SHIPPED.iterdir()) == RUNS
    assert not any(other_settings(row, read_result(study.SHIPPED / row.run)) for row in rows)
    encoder, result = load_encoder(study.SHIPPED / "quick")
    assert encoder.dim == result["settings"]["dim"]


def test_the_package_s_run_begins_as_the_code_of_today_begins():
    """Two epochs: what another processor adds in another order, later ones amplify."""
    run = Pretraining(replace(config_of("quick-pretrain"), device="cpu"), load_store("synthetic"))
    for kept in read_history(study.SHIPPED / "quick")[:2]:
        kept.pop("clips_per_s")
        made = run.run_epoch()
        assert {name: made[name] for name in kept} == pytest.approx(kept, rel=1e-3)


@pytest.mark.parametrize("name", ["quick-linear", "quick-knn", "quick-retrieval"])
def test_the_package_s_encoder_reads_as_its_results_say(name, tmp_path):
    config = replace(config_of(name), run=str(study.SHIPPED / "quick"), out=str(tmp_path / name),
                     device="cpu")
    made = evaluate(experiments("quick")[name].step, config)["readings"]
    kept = read_result(study.SHIPPED / name)["readings"]
    assert [each["metric"] for each in made] == [each["metric"] for each in kept]
    assert [each["value"] for each in made] == pytest.approx([r["value"] for r in kept], abs=1)


def test_runs_that_read_otherwise_than_the_package_s_are_refused(tmp_path, monkeypatch):
    """Made anew and equal: to the bit. Another reading: an error that says which."""
    shutil.copytree(study.SHIPPED, tmp_path / "runs")
    monkeypatch.setattr(study, "RUNS", tmp_path / "runs")
    assert study.beside_shipped() == "the encoder equals the package's to the bit"
    path = tmp_path / "runs/quick-knn/result.json"
    made = json.loads(path.read_text())
    made["readings"][0]["value"] += 20
    path.write_text(json.dumps(made))
    with pytest.raises(SjepaError, match="quick-knn top1-k1 .*--ship"):
        study.beside_shipped()
