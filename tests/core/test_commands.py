"""The command lines and full runs, from outside: exit status, one sentence, results."""

import os
import subprocess
import sys

import pytest
import yaml

from sjepa.checkpoint import read_result
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


def test_command_line_from_parameters_to_results(tmp_path, params):
    out = tmp_path / "run"
    made = run("sjepa.pretrain", "--params", params(**TINY), "-o", f"out={out}", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    probe = params("p.yaml", run=str(out), epochs=2, passes=1)
    made = run("sjepa.evaluate", "linear", "--params", probe, "-o", "out=judged", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    result = read_result(tmp_path / "judged")
    assert result["command"] == f"python -m sjepa.evaluate linear --params {probe} -o out=judged"
    assert result["run"] == "judged" and result["readings"][0]["metric"] == "top1"
    wrong = params("w.yaml", run=str(tmp_path / "none"))
    made = run("sjepa.evaluate", "knn", "--params", wrong, cwd=tmp_path)
    assert made.returncode == 2 and "holds no finished run" in made.stderr
    made = run("sjepa.evaluate", "fuse", "--params", params("f.yaml", runs=[]), cwd=tmp_path)
    assert made.returncode == 2 and made.stderr.startswith("error: parameter runs")


#: A node with torch, numpy, safetensors, PyYAML and tqdm, and nothing else that a user installs.
BARE = """
import runpy, sys
for name in ("scipy", "sklearn", "pandas", "matplotlib", "seaborn", "pooch", "joblib", "IPython",
             "papermill"):
    sys.modules[name] = None  # what import finds where a package is not installed
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def test_a_bare_node_pretrains_and_judges(tmp_path, params):
    """Nothing but the five packages is imported on the way; every trained protocol ends well."""
    (tmp_path / "bare.py").write_text(BARE)

    def bare(*args):
        env = os.environ | {"OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)}
        made = subprocess.run([sys.executable, "bare.py", *map(str, args)], cwd=tmp_path, env=env,
                              capture_output=True, text=True, timeout=280)
        assert made.returncode == 0, f"{args}: {made.stderr[-1500:]}"

    bare("sjepa.pretrain", "--params", params(**TINY, out="run"))
    tuned = {"epochs": 2, "hidden": 16, "warmup_epochs": 1}
    for protocol, more in {
        "linear": {"epochs": 2, "passes": 1}, "knn": {}, "retrieval": {}, "finetune": tuned,
        "semi": tuned | {"share": 0.1, "subsets": 2},
    }.items():
        values = params("e.yaml", run="run", out=protocol, **more)
        bare("sjepa.evaluate", protocol, "--params", values)
        for reading in read_result(tmp_path / protocol)["readings"]:
            assert 0 <= reading["low"] <= reading["value"] <= reading["high"] <= 100
    bare("sjepa.study", "expand", "nwucla-small-linear")


def papermill(notebook, out, values, cwd):
    (cwd / "values.yaml").write_text(yaml.safe_dump(values))
    return run("papermill", ROOT / f"notebooks/full/{notebook}.ipynb", out, "-f",
               cwd / "values.yaml", "--no-progress-bar", cwd=cwd)


def test_papermill_runs_the_same_function(tmp_path):
    made = papermill("pretrain", tmp_path / "p.ipynb", dict(TINY, out=str(tmp_path / "r")),
                     tmp_path)
    assert made.returncode == 0, made.stderr[-2000:]
    values = dict(run=str(tmp_path / "r"), out=str(tmp_path / "judged"), ks=[1])
    made = papermill("knn", tmp_path / "k.ipynb", values, tmp_path)
    assert made.returncode == 0, made.stderr[-2000:]
    result = read_result(tmp_path / "judged")
    assert {reading["metric"] for reading in result["readings"]} == {"top1-k1"}
    assert result["command"].startswith("papermill notebooks/full/knn.ipynb")


def test_papermill_refuses_unknown_parameters(tmp_path):
    out = tmp_path / "r"
    made = papermill("pretrain", tmp_path / "p.ipynb", dict(TINY, epoch=3, out=str(out)), tmp_path)
    assert made.returncode != 0
    assert "unknown parameter 'epoch': did you mean epochs?" in made.stderr
    assert not out.exists()
