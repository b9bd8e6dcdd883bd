"""The quick reproduction: what of other settings or code goes, what stays, who may train."""

import os
import threading
import time
from pathlib import Path

import pytest

from sjepa import reproduce
from sjepa.checkpoint import read_result, write_result
from sjepa.config import as_dict
from sjepa.errors import SjepaError
from sjepa.study import identity
from sjepa.study.experiments import STEPS, config_of, experiments
from sjepa.study.identity import code_behind, other_settings

RUNS = [row.run for row in experiments("quick").values() if row.step not in ("prepare", "report")]


@pytest.fixture
def house(tmp_path, monkeypatch):
    """Quick runs that take no time: `house.ran` names them; code is one made-up file."""
    code = tmp_path / "code.py"
    code.write_text("x = 1")
    os.utime(code, (1000, 1000))
    made = type("House", (), {"ran": [], "runs": tmp_path / "runs", "code": code, "hash": "one"})

    def train(step, config):
        made.ran.append(config.out)
        behind = {}
        if step in STEPS and getattr(config, "run", ""):
            behind["pretraining"] = {"settings": read_result(config.run)["settings"]}
        settings = as_dict(config)
        if step == "fuse":
            settings["fused"] = {Path(run).name: read_result(run)["hash"] for run in config.runs}
        write_result(tmp_path / config.out, step, settings, {}, **behind)

    monkeypatch.setattr("sjepa.checkpoint.commit", lambda: ("abc", False))
    monkeypatch.setattr(reproduce, "RUNS", made.runs)
    monkeypatch.setattr(reproduce, "code_behind", lambda: (made.hash, (code,)))
    monkeypatch.setattr(reproduce, "pretrain", lambda config: train("pretrain", config))
    monkeypatch.setattr(reproduce, "evaluate", lambda step, config, command: train(step, config))
    monkeypatch.setattr(reproduce, "prepare", lambda config: None)
    monkeypatch.setattr(reproduce, "write_report", lambda config: None)
    return made


def quick(house):
    """Names of the runs that the quick reproduction made now."""
    house.ran.clear()
    assert reproduce.quick() == house.runs / "quick"
    return [out.removeprefix("runs/") for out in house.ran]


def test_what_is_up_to_date_is_not_run_again(house):
    assert quick(house) == RUNS
    assert quick(house) == []
    (house.runs / "quick-knn" / "result.json").unlink()
    assert quick(house) == ["quick-knn"]


def test_other_code_makes_all_anew_and_keeps_the_old(house):
    quick(house)
    first = read_result(house.runs / "quick")
    (house.runs / "nwucla-small").mkdir()
    house.hash = "two"
    assert quick(house) == RUNS
    assert read_result(house.runs / "old" / "quick") == first
    assert (house.runs / "nwucla-small").is_dir() and quick(house) == []


def test_a_run_of_other_settings_is_not_the_experiment(house):
    quick(house)
    rows, settings = experiments("quick"), as_dict(config_of("quick-pretrain"))
    old = read_result(house.runs / "quick-knn")["settings"]
    shorter = settings | {"epochs": 3, "precision": "bf16"}
    write_result(house.runs / "quick", "pretrain", shorter, {})
    write_result(house.runs / "quick-knn", "knn", old, {},
                 pretraining={"settings": settings | {"depth": 1}})
    assert [other_settings(rows[name], read_result(house.runs / rows[name].run))
            for name in ("quick-pretrain", "quick-knn", "quick-linear")] == [
        {"epochs": (3, settings["epochs"])}, {"depth of the pretraining": (1, 3)}, {}]
    assert quick(house) == ["quick", "quick-knn"]
    assert read_result(house.runs / "old" / "quick")["settings"]["epochs"] == 3


def test_fusion_follows_the_runs_that_it_reads(house):
    quick(house)
    folder = house.runs / "quick-fuse"
    old = read_result(folder)["settings"]
    write_result(folder, "fuse", old | {"fused": old["fused"] | {"quick-linear": "of others"}}, {})
    assert quick(house) == ["quick-fuse"]


def test_runs_of_another_runner_stay_if_they_are_younger_than_the_code(house):
    quick(house)
    for folder in RUNS:
        (house.runs / folder / "code").unlink()
    assert quick(house) == []
    os.utime(house.runs / "quick-fuse" / "result.json", (500, 500))
    assert quick(house) == ["quick-fuse"]


def test_two_processes_never_train_at_once(house, monkeypatch):
    slow = reproduce.pretrain
    monkeypatch.setattr(reproduce, "pretrain", lambda config: (time.sleep(0.3), slow(config)))
    workers = [threading.Thread(target=reproduce.quick) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(house.ran) == sorted(f"runs/{run}" for run in RUNS)


def test_a_folder_that_cannot_be_written_is_said(house):
    house.runs.write_text("a file")
    with pytest.raises(SjepaError, match="quick runs have to be made, and .*runs cannot be"):
        reproduce.quick()


# ---------------------------------------------------------------- code


def test_comments_are_no_code(tmp_path, monkeypatch):
    package = tmp_path / "sjepa"
    (package / "study").mkdir(parents=True)
    monkeypatch.setattr(identity, "__file__", str(package / "study" / "identity.py"))
    (package / "a.py").write_text("from sjepa import b\nfrom sjepa.study import c\n")
    (package / "study" / "c.py").write_text("c = 1\n")

    def hashed(text):
        (package / "b.py").write_text(text)
        code_behind.cache_clear()
        return code_behind(("sjepa.a",))[0]

    first = hashed('"""One."""\n\ndef f():\n    """Two."""\n    return 1\n')
    assert first == hashed('# more\n"""Three."""\ndef f():  # four\n    return 1\n')
    assert first != hashed('"""One."""\n\ndef f():\n    """Two."""\n    return 2\n')
    assert [path.name for path in code_behind(("sjepa.a",))[1]] == ["a.py", "b.py"]
    code_behind.cache_clear()


def test_the_code_of_quick_runs_is_the_method_and_no_reader():
    names = {".".join(path.parts[path.parts.index("sjepa"):]) for path in code_behind()[1]}
    assert {"sjepa.encoder.py", "sjepa.target.py", "sjepa.protocols.linear.py",
            "sjepa.synthetic.actions.py", "sjepa.datasets.splits.py"} <= names
    assert not [name for name in names if ".study." in name or ".show." in name
                or ".sources." in name]
