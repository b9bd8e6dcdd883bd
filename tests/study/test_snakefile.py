"""The Snakefile from outside: the plan, what is refused at once, a kill and a restart."""

import os
import re
import signal
import sys
import time

import pytest
import yaml
from formats import forked

from sjepa.checkpoint import read_result
from sjepa.config import ROOT
from sjepa.study.experiments import experiments, other_settings

snakemake = pytest.importorskip("snakemake.cli", reason="the batch needs the extra `batch`")
TINY = dict(preset="quick", dim=16, depth=1, heads=2, frames=16, segment=8, predictor_depth=1,
            batch_size=256, device="cpu")


def work(argv):
    os.chdir(ROOT)
    sys.modules["snakemake.shell"].STDOUT = sys.stdout  # which it noted when it was imported
    snakemake.main(["-s", "notebooks/full/Snakefile", "-j1", *argv])


@pytest.fixture
def batch(tmp_path):
    """Start snakemake with a folder of parameter files that the test may fill."""
    params = tmp_path / "params"
    params.mkdir()

    def start(*args, **config):
        config = {"params": params, "done": tmp_path / "done"} | config
        named = [f"{name}={value}" for name, value in config.items()]
        return forked(tmp_path / "log", work, [*args, "--config", *named])
    return start


@pytest.fixture
def ended(batch, tmp_path):
    """Status and words of snakemake."""
    def wait(*args, **config):
        child = batch(*args, **config)
        child.join(280)
        return child.exitcode, (tmp_path / "log").read_text()
    return wait


def test_the_plan_has_every_cell_of_the_paper_and_several_gpus_share_a_pretraining(
        ended, tmp_path):
    status, text = ended("-np", "--resources", "gpu=4", gpus=4)
    assert status == 0 and not (tmp_path / "done").exists(), text
    counts = dict(re.findall(r"^(\w+) +(\d+)$", text, re.M))
    wanted = [row.step for row in experiments("paper").values()]
    assert {step: int(counts[step]) for step in set(wanted)} == {s: wanted.count(s) for s in wanted}
    lines = [line for line in text.splitlines() if "exec " in line]
    together = [line for line in lines if "torch.distributed.run" in line]
    assert len(together) == wanted.count("pretrain") and len(lines) > len(together)
    assert all("--nproc_per_node=4 -m sjepa.pretrain --params" in line for line in together)


@pytest.mark.parametrize("change, config, said", [
    ({"epoch": 3}, {}, "quick-finetune.yaml: unknown parameter 'epoch': did you mean epochs?"),
    ({}, {"raw_ntu6": "x"}, "unknown configuration 'raw_ntu6'"),
    ({}, {"raw_ntu60": "nowhere"}, "raw_ntu60: there is no nowhere"),
    ({}, {"params": "nowhere"}, "params: there is no nowhere"),
    ({}, {"rows": "quik"}, "unknown experiment or group 'quik': did you mean quick"),
    ({}, {"gpus": 0}, "gpus = 0: expected a whole number from 1"),
    ({}, {"gpus": 2, "runner": "papermill"}, "gpus: a notebook runs on one GPU"),
])
def test_what_is_misspelt_is_refused_before_anything_runs(ended, tmp_path, change, config, said):
    there = yaml.safe_load((ROOT / "notebooks/full/params/quick-finetune.yaml").read_text())
    (tmp_path / "params" / "quick-finetune.yaml").write_text(yaml.safe_dump(there | change))
    status, text = ended(**({"rows": "quick"} | config))
    assert status == 1 and said in text, text
    assert "Traceback" not in text and not (tmp_path / "done").exists()


def test_rows_without_a_file_get_one_where_its_text_changed(ended):
    name = "parts-no-ema-seed0-knn-nwucla-xview"
    path = ROOT / "runs" / "params" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in ("other", experiments(name)[name].text):
        path.write_text(old)
        os.utime(path, (1000, 1000))
        _, said = ended("-np", rows=name)
        assert f"-m sjepa.evaluate knn --params runs/params/{name}.yaml" in said, said
        assert path.read_text() == experiments(name)[name].text
        assert (path.stat().st_mtime > 2000) == (old == "other")


def test_a_killed_batch_goes_on_where_it_stood(batch, ended, tmp_path):
    out, target = tmp_path / "run", str(tmp_path / "done" / "quick-knn")
    tiny = TINY | dict(epochs=6, checkpoint_every=1, out=str(out))
    (tmp_path / "params" / "quick-pretrain.yaml").write_text(yaml.safe_dump(tiny))
    (tmp_path / "params" / "quick-knn.yaml").write_text(
        yaml.safe_dump(dict(run=str(out), out=str(tmp_path / "knn"), ks=[1])))
    first = batch(target, rows="quick")
    until = time.monotonic() + 200
    while not (out / "last.pt").is_file() and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.join()
    assert (out / "last.pt").is_file() and not (out / "result.json").exists()

    status, text = ended(target, rows="quick")
    assert status == 0, text
    assert "epoch 6/6" in text and "epoch 1/6" not in text  # from the checkpoint, not from 1
    row, result = experiments("quick")["quick-knn"], read_result(tmp_path / "knn")
    assert other_settings(row, result)["epochs of the pretraining"] == (6, 80)
    assert "Nothing to be done" in ended("-n", target, rows="quick")[1]
