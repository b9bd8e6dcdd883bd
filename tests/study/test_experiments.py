"""Full runs as data: what expands to what, what is refused, parameter files and notebooks."""

import functools
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from formats import command

from sjepa.config import ROOT, load_params, make_config
from sjepa.datasets.splits import SPLITS
from sjepa.errors import SjepaError
from sjepa.protocols.config import CONFIGS
from sjepa.protocols.encoders import load_pretrained
from sjepa.study import batch
from sjepa.study import experiments as study
from sjepa.study.batch import chosen, finished, run_all, side_by_side
from sjepa.study.experiments import FILE, STEPS, config_of, experiments, groups

FULL = ROOT / "notebooks" / "full"
PARAMS = FULL / "params"


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Let another file take the place of `experiments.yaml`."""
    def write(text):
        path = tmp_path / "experiments.yaml"
        path.write_text(text, encoding="latin-1")
        monkeypatch.setattr(study, "FILE", path)
        return path
    return write


def own(*entries):
    """A file with a group `mine` of some entries."""
    return yaml.safe_dump({"prepare": {"synthetic": {}}, "mine": {"text": "t", "rows": entries}})


TRAIN = {"pretrain": "a", "split": "synthetic/xsub", "preset": "quick"}
JUDGE = {"evaluate": "a-knn", "step": "knn", "run": "a", "split": "synthetic/xsub"}


def test_every_experiment_is_a_configuration_of_a_known_split():
    found = experiments()
    assert list(groups()) == ["quick", "open", "evidence", "parts", "paper"]
    for row in found.values():
        config = make_config(STEPS[row.step], row.params)
        if hasattr(config, "split"):
            assert config.split in SPLITS and config.split.startswith(f"{config.dataset}/")
        if row.group == "paper" and row.step == "pretrain":
            assert (config.epochs, config.batch_size, config.dim) == (1200, 256, 256)
            assert config.mask_tau == (0.75 if config.dataset == "ntu120" else 0.8)


@pytest.mark.parametrize("chosen", ["", "evidence", "paper", "quick-fuse"])
def test_experiments_come_after_what_they_read(chosen):
    seen = {}
    for row in experiments(chosen).values():
        assert set(row.after) <= set(seen), row.name
        if row.params.get("run"):
            assert seen[row.after[0]].params["out"] == row.params["run"]
        seen[row.name] = row


def test_matrices_become_runs_with_their_settings():
    found = experiments("evidence")
    assert found["pool-tau-03-seed2-few-islkinect-xview13"].params == {
        "run": "runs/pool-tau-03-seed2", "method": "sjepa", "dataset": "islkinect",
        "split": "islkinect/xview13", "out": "runs/pool-tau-03-seed2-few-islkinect-xview13",
        "passes": 5, "batch_size": 32, "share": 0.1}
    config = config_of("pool-motion-half-seed2-pretrain")
    assert (config.split, config.seed, config.epochs, config.target, config.warmup_epochs) == (
        "pool/half", 2, 86, "motion", 4)
    assert found["pool-latent-seed3-knn-kard-xsub-random"].params["seed"] == 3
    steps = [row.step for row in found.values()]
    assert steps.count("pretrain") == 12 + 20 + 3 + 18 + 54 + 60
    assert experiments("quick")["quick-fuse"].after == ("quick-linear", "quick-bone-linear")


def test_pretrainings_that_are_compared_make_as_many_steps():
    """Parts of the pool and the pool without two sets, to a hundredth."""
    steps = {}
    for name in ("pool-latent", "new-latent", "pool-latent-half", "pool-latent-quarter",
                 "pool-latent-eighth"):
        config = config_of(f"{name}-seed0-pretrain")
        steps[name] = SPLITS[config.split].counts[0] // config.batch_size * config.epochs
    assert max(steps.values()) < 1.01 * min(steps.values()), steps


def test_the_example_at_the_head_of_the_file_works(written):
    head = [line.removeprefix("#") for line in FILE.read_text().splitlines()
            if line.startswith("#   ") and "python" not in line]
    path = written("prepare: {nwucla: {}}\nmine:\n  text: t\n  rows:\n" + "\n".join(head))
    found = experiments("mine")
    assert list(found) == ["nwucla-prepare", "my-latent-pretrain", "my-latent-knn",
                           "my-motion-pretrain", "my-motion-knn", "mine-report"], path.read_text()
    assert found["my-motion-knn"].params == {
        "run": "runs/my-motion", "method": "sjepa", "dataset": "nwucla", "split": "nwucla/xview",
        "out": "runs/my-motion-knn", "ks": [1]}
    assert config_of("my-motion-pretrain").target == "motion"


def test_the_example_of_the_page_works(written):
    page = (ROOT / "book" / "batch.md").read_text()
    written("prepare: {nwucla: {}}\n" + re.search("```yaml\n(.*?)```", page, re.S)[1])
    steps = [row.step for row in experiments("mine").values()]
    assert {step: steps.count(step) for step in set(steps)} == {
        "prepare": 1, "pretrain": 10, "linear": 10, "knn": 10, "report": 1}
    config = config_of("slow-999-seed4-pretrain")
    assert (config.ema_start, config.seed, config.preset) == (0.999, 4, "small")
    assert experiments()["slow-9999-seed0-knn"].after[0] == "slow-9999-seed0-pretrain"


@pytest.mark.parametrize("text, said", [
    (own(TRAIN | {"epoch": 3}), "a: unknown setting of pretrain 'epoch': did you mean epochs"),
    (own(TRAIN | {"for": {"part": {"b": {"los": "mse"}}}}), "'los': did you mean loss"),
    (own(TRAIN | {"for": {"seed": [0, 1]}}), "a-pretrain stands twice: what differs belongs into"),
    (own(TRAIN | {"pretrain": "a-{sead}", "for": {"seed": [0]}}), "'a-{sead}' does not fill in"),
    (own(TRAIN, JUDGE | {"step": "linaer"}), "unknown step 'linaer': did you mean linear"),
    (own(JUDGE, TRAIN), "a-knn comes after runs/a, which nothing above it makes"),
    (own({"pretrain": "a", "preset": "quick"}), "a: expected a split"),
    (own({"split": "synthetic/xsub"}), "mine: not written as its head describes: 'evaluate'"),
    (own(TRAIN | {"for": ["seed"]}), "mine: not written as its head describes"),
    ("prepare: {}\nmine: {text: a, rows: []}\nmine: {text: b, rows: []}", "mine stands twice"),
    ("a: \xfc", "experiments.yaml: not written as its head describes: unacceptable character"),
    ("mine: {text: t, rows: &r [{pretrain: a, split: synthetic/xsub, then: *r}]}",
     "mine: not written as its head describes: maximum recursion"),
    ("a: [", "experiments.yaml: not written as its head describes: while parsing"),
    ("prepare: {}\nmine: {rows: []}", "mine: not written as its head describes: 'text'"),
    (own(TRAIN | {"mask_ratio": 2}), "a-pretrain: parameter mask_ratio = 2"),
    (own(TRAIN), "unknown experiment or group 'min': did you mean mine"),
])
def test_a_fault_of_the_file_is_one_sentence_with_its_place(written, text, said):
    path = written(text)
    with pytest.raises(SjepaError, match=re.escape(said)) as caught:
        config_of("a-pretrain"), experiments("min,mine")
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_parameter_files_are_those_of_the_experiments_and_of_prose():
    assert (FULL / "experiments.yaml").samefile(FILE)
    assert not os.path.isabs(os.readlink(FULL / "experiments.yaml"))
    kept = experiments("quick,open,paper")
    assert {path.stem for path in PARAMS.iterdir()} == set(kept) and len(kept) <= 120
    for name, row in kept.items():
        assert load_params(PARAMS / f"{name}.yaml") == row.params, (
            f"renew it: python -m sjepa.study expand {name} > notebooks/full/params/{name}.yaml")
    for page in [ROOT / "README.md", *(ROOT / "book").glob("*.md"),
                 *(ROOT / "notebooks").rglob("*.ipynb")]:
        named = re.findall(r"(?:params|\$P)/([a-z0-9][\w-]+)\.yaml", page.read_text())
        assert set(named) <= set(kept), page


def test_commands_print_parameters_names_and_terms(tmp_path, pretrained):
    ask = functools.partial(command, "sjepa.study", cwd=tmp_path)
    made = ask("expand", "parts-mse-seed0-linear-nwucla-xview")
    config = make_config(CONFIGS["linear"], yaml.safe_load(made.stdout))
    assert (config.run, config.passes, config.by_joint) == ("runs/parts-mse-seed0", 5, True)
    assert "knn        quick-knn\n" in ask("list", "quick").stdout
    made = ask("export", str(pretrained), "a.safetensors", "--data", "bandai")
    assert made.stdout.startswith("a.safetensors: bound by the terms of the data"), made.stderr
    assert made.stdout.endswith("; trained on bandai (CC BY-NC 4.0)\n")
    assert load_pretrained(tmp_path / "a.safetensors")[1]["data"][0]["set"] == "bandai"


TINY = {"preset": "quick", "dim": 16, "depth": 1, "heads": 2, "predictor_depth": 1, "epochs": 1,
        "warmup_epochs": 0, "device": "cpu"}


@pytest.fixture
def planned(written, tmp_path, monkeypatch):
    """Two pretrainings with two evaluations each, the second of them of a set that is not there."""
    written(own({"pretrain": "a-{seed}", "for": {"seed": [0, 1]}, "split": "synthetic/xsub", **TINY,
                 "then": [{"evaluate": "{run}-knn", "step": "knn", "ks": [1]},
                          {"evaluate": "{run}-gone", "step": "knn", "split": "gone/xsub"}]}))
    monkeypatch.setattr(batch, "RUNS", tmp_path / "runs")


def test_runs_are_chosen_after_what_they_read_and_each_once(planned):
    assert [row.name for row in chosen(["a-1-knn", "mine"])] == [
        "a-1-pretrain", "a-1-knn", "a-0-pretrain", "a-0-knn", "a-0-gone", "a-1-gone"]
    with pytest.raises(SjepaError, match="no group and no experiment is named b"):
        chosen(["b-*"])
    with pytest.raises(SjepaError, match="--jobs 0: expected at least 1"):
        run_all(["mine"], 0)


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_run_starts_when_those_that_it_reads_are_there(planned, monkeypatch, jobs):
    """Pretrainings first where there are several processes; what fails ends all."""
    monkeypatch.setattr(batch, "processes", ThreadPoolExecutor)
    begun, ran, rows = [], [], chosen(["mine"])

    def work(row):
        assert {name for name in row.after if "prepare" not in name} <= set(ran)
        begun.append(row.name)
        time.sleep(0.05)
        ran.append(row.name)
        return row.name

    assert sorted(side_by_side(rows, jobs, work)) == sorted(ran) == sorted(row.name for row in rows)
    assert jobs == 1 or {*begun[:2]} == {"a-0-pretrain", "a-1-pretrain"}
    with pytest.raises(ZeroDivisionError):
        side_by_side(rows, jobs, lambda row: 1 / 0)
    assert side_by_side([], jobs, work) == []


def test_what_is_finished_stays_and_what_failed_is_named(planned, tmp_path, monkeypatch):
    assert run_all(["a-0-knn"], 1) == 2
    pretraining, knn = chosen(["a-0-knn"])
    made = tmp_path / knn.params["out"] / "result.json"
    assert finished(knn)
    before = made.stat().st_mtime_ns
    monkeypatch.setattr(batch, "load_store", lambda name: None)
    with pytest.raises(SjepaError, match="1 runs failed: a-0-gone: no store of gone"):
        run_all(["a-0-*"], 1)
    assert made.stat().st_mtime_ns == before
    shutil.rmtree(tmp_path / pretraining.params["out"])
    monkeypatch.setattr(batch, "pretrain", lambda config: None)  # leaves nothing
    with pytest.raises(SjepaError, match="1 runs failed: a-0-gone: a-0-pretrain is not finished"):
        run_all(["a-0-*"], 1)


def test_processes_end_with_the_one_that_started_them(tmp_path):
    """Killed, too: else its workers would hold the checkpoints that a new start goes on from."""
    script = tmp_path / "start.py"
    script.write_text("""
import os, time
from sjepa.study.batch import processes
if __name__ == "__main__":
    with processes(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 600)
        time.sleep(600)
""")
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)}) as parent:
        assert int(parent.stdout.readline()) != parent.pid
        parent.kill()
        parent.communicate(timeout=60)  # ends when nobody has the output open any more
