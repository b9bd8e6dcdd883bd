"""The command lines and full runs, from outside: exit status, one sentence, records."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from sjepa.config import ROOT

TINY = dict(preset="quick", dataset="synthetic", split="synthetic/xsub", dim=16, depth=1, heads=2,
            frames=16, segment=8, predictor_depth=1, epochs=1, batch_size=256, device="cpu")


def run(*args, cwd, **env):
    return subprocess.run(
        [sys.executable, "-m", *map(str, args)], cwd=cwd, capture_output=True, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)} | env, timeout=280,
    )


@pytest.fixture
def params(tmp_path):
    def write(name="params.yaml", **values):
        (tmp_path / name).write_text(yaml.safe_dump(values))
        return tmp_path / name
    return write


@pytest.mark.parametrize("values, said", [
    (dict(TINY, epoch=3), "unknown parameter 'epoch': did you mean epochs?"),
    (dict(TINY, preset="big"), "preset = 'big': expected one of"),
    (dict(TINY, device="cuda"), "PyTorch sees no GPU here"),
    (dict(TINY, dataset="nwucla", split="nwucla/xview"), "no store of nwucla in"),
    (dict(TINY, split="synthetic/xset"), "unknown split 'synthetic/xset'"),
])
def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, params, values, said):
    import torch

    if values["device"] == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    if values["dataset"] == "nwucla" and (ROOT / "data" / "nwucla").exists():
        pytest.skip("a store of nwucla lies in data/")
    out = tmp_path / "run"
    env = {"SJEPA_DATA": str(tmp_path)} if values["dataset"] == "nwucla" else {}
    made = run("sjepa.pretrain", "--params", params(**values, out=str(out)), cwd=tmp_path, **env)
    assert made.returncode == 2
    last = made.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and said in last and "Traceback" not in made.stderr
    assert not out.exists()


def test_prepare_names_what_is_missing(tmp_path):
    made = run("sjepa.prepare", "nwucla", "--raw", tmp_path, "--out", tmp_path / "o", cwd=tmp_path)
    assert made.returncode == 2 and "does not hold the owners' .json files" in made.stderr
    assert not (tmp_path / "o").exists()
    made = run("sjepa.prepare", "ntu61", "--out", tmp_path / "o", cwd=tmp_path)
    assert made.returncode == 2 and "unknown data set 'ntu61'" in made.stderr


def test_command_line_from_parameters_to_records(tmp_path, params):
    out = tmp_path / "run"
    made = run("sjepa.pretrain", "--params", params(**TINY, out=str(out)), cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    results = tmp_path / "results"
    probe = params("p.yaml", run=str(out), results=str(results), epochs=2, passes=1)
    made = run("sjepa.evaluate", "linear", "--params", probe, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    record = json.loads((results / "synthetic-xsub-linear-sjepa-quick.json").read_text())
    assert record["command"] == f"python -m sjepa.evaluate linear --params {probe}"
    wrong = params("w.yaml", run=str(tmp_path / "none"))
    made = run("sjepa.evaluate", "knn", "--params", wrong, cwd=tmp_path)
    assert made.returncode == 2 and "holds no finished pretraining" in made.stderr
    made = run("sjepa.evaluate", "fuse", "--params", params("f.yaml", scores=[]), cwd=tmp_path)
    assert made.returncode == 2 and made.stderr.startswith("error: parameter scores: expected two")


def papermill(notebook, out, values, cwd):
    (cwd / "values.yaml").write_text(yaml.safe_dump(values))
    return run("papermill", ROOT / f"notebooks/full/{notebook}.ipynb", out, "-f",
               cwd / "values.yaml", "--no-progress-bar", cwd=cwd)


def test_papermill_runs_the_same_function(tmp_path):
    values = dict(TINY, out=str(tmp_path / "r"))
    made = papermill("pretrain", tmp_path / "p.ipynb", values, tmp_path)
    assert made.returncode == 0, made.stderr[-2000:]
    values = dict(run=str(tmp_path / "r"), results=str(tmp_path / "results"), ks=[1])
    made = papermill("knn", tmp_path / "k.ipynb", values, tmp_path)
    assert made.returncode == 0, made.stderr[-2000:]
    (record,) = [json.loads(p.read_text()) for p in (tmp_path / "results").iterdir()]
    assert record["metric"] == "top1-k1"
    assert record["command"].startswith("papermill notebooks/full/knn.ipynb")


def test_papermill_refuses_unknown_parameters(tmp_path):
    out = tmp_path / "r"
    made = papermill("pretrain", tmp_path / "p.ipynb", dict(TINY, epoch=3, out=str(out)), tmp_path)
    assert made.returncode != 0
    assert "unknown parameter 'epoch': did you mean epochs?" in made.stderr
    assert not out.exists()
