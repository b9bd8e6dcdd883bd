"""The command lines and full runs, from outside: exit status, one sentence, results."""

import json
import os
import subprocess
import sys

import pytest
import torch
import yaml
from formats import command
from papermill.exceptions import PapermillExecutionError

from sjepa.checkpoint import read_result
from sjepa.config import ROOT

TINY = dict(preset="quick", dataset="synthetic", split="synthetic/xsub", dim=16, depth=1, heads=2,
            frames=16, segment=8, predictor_depth=1, epochs=1, batch_size=256, device="cpu")


@pytest.fixture
def params(tmp_path):
    def write(name="params.yaml", **values):
        (tmp_path / name).write_text(yaml.safe_dump(values))
        return tmp_path / name
    return write


NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@pytest.mark.parametrize("words, values, said", [
    ("pretrain", dict(TINY, epoch=3), "unknown parameter 'epoch': did you mean epochs?"),
    ("pretrain", dict(TINY, preset="big"), "preset = 'big': expected one of"),
    pytest.param("pretrain", dict(TINY, device="cuda"), "PyTorch sees no GPU here", marks=NO_GPU),
    ("pretrain", dict(TINY, dataset="pku1", split="pku1/xsub"), "no store of pku1 in"),
    ("pretrain", dict(TINY, split="synthetic/xset"), "unknown split 'synthetic/xset'"),
    ("evaluate knn", dict(run="none"), "holds no finished run"),
    ("evaluate fuse", dict(runs=[]), "parameter runs"),
    ("study expand quick-kn", None, "group 'quick-kn': did you mean quick-knn"),
    ("study expand quick", None, "quick is a group: name one of its experiments"),
    ("study report", None, "no settings: give --params FILE"),
    ("study report -o rows=fast", None, "unknown experiment or group 'fast'"),
    ("study collect nowhere", None, "there is no folder nowhere: give that of a run"),
    ("study export nowhere a.safetensors", None, "nowhere holds no finished run"),
])
def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, params, monkeypatch, words, values,
                                                      said):
    monkeypatch.setenv("SJEPA_DATA", str(tmp_path))
    given = ["--params", params(**values, out=str(tmp_path / "run"))] if values else []
    made = command(*f"sjepa.{words}".split(), *given, cwd=tmp_path)
    assert made.returncode == 2 and made.stderr.startswith("error: ") and said in made.stderr
    assert made.stderr.count("\n") == 1 and {path.name for path in tmp_path.iterdir()} <= {
        "params.yaml"}


#: A node with torch, numpy, safetensors, PyYAML and tqdm, and nothing else that a user installs:
#: it runs one command after another.
BARE = """
import json, runpy, sys
for name in ("scipy", "sklearn", "pandas", "matplotlib", "seaborn", "pooch", "joblib", "IPython",
             "papermill"):
    sys.modules[name] = None  # what import finds where a package is not installed
for sys.argv in json.loads(sys.argv[1]):
    runpy.run_module(sys.argv[0], run_name="__main__")
"""


def test_a_bare_node_pretrains_and_judges(tmp_path, params):
    """Nothing but the five packages is imported on the way; every trained protocol ends well."""
    tuned = {"epochs": 1, "hidden": 16, "warmup_epochs": 0}
    protocols = {
        "linear": {"epochs": 2, "passes": 1}, "knn": {}, "retrieval": {}, "finetune": tuned,
        "semi": tuned | {"share": 0.1, "subsets": 2}}
    commands = [
        ["sjepa.pretrain", "--params", params(**TINY), "-o", "out=run"],
        *(["sjepa.evaluate", name, "--params", params(f"{name}.yaml", run="run", **more),
           "-o", f"out={name}"] for name, more in protocols.items()),
        ["sjepa.study", "expand", "nwucla-small-linear"],
        ["step", "--preset", "quick", "--batch", "2", "--steps", "2", "--json", "step.json"]]
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "benchmarks")))
    made = subprocess.run(
        [sys.executable, "-c", BARE, json.dumps(commands, default=str)], cwd=tmp_path,
        capture_output=True, text=True, timeout=280, env=os.environ | {
            "OMP_NUM_THREADS": "1", "SJEPA_DATA": str(tmp_path), "PYTHONPATH": paths})
    assert made.returncode == 0, made.stderr[-1500:]
    for protocol in protocols:
        for reading in read_result(tmp_path / protocol)["readings"]:
            assert 0 <= reading["low"] <= reading["value"] <= reading["high"] <= 100
    assert json.loads((tmp_path / "step.json").read_text()).keys() >= {
        "samples_per_s", "plain_samples_per_s", "ratio", "device", "threads", "peak_bytes"}


def test_papermill_runs_the_same_function_and_refuses_unknown_parameters(tmp_path, params,
                                                                         monkeypatch):
    def papermill(notebook, **values):
        return command("papermill", ROOT / f"notebooks/full/{notebook}.ipynb", "out.ipynb", "-f",
                       params(**values), "--no-progress-bar", cwd=tmp_path)

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    out = str(tmp_path / "r")
    with pytest.raises(PapermillExecutionError, match="parameter 'kks': did you mean ks?"):
        papermill("knn", run="none", out=out, kks=[1])
    assert not (tmp_path / "r").exists()
    assert papermill("pretrain", **TINY, out=out).returncode == 0
    assert read_result(tmp_path / "r")["settings"]["dim"] == 16
