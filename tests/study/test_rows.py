"""The table of full runs: complete, ordered, and what lies in the parameter files and notebooks."""

import ast
import json
import re
from dataclasses import fields

import pytest

from sjepa.config import ROOT, PretrainConfig, load_params, make_config
from sjepa.datasets.splits import SPLITS
from sjepa.errors import SjepaError
from sjepa.study.records import PAPER
from sjepa.study.rows import PARAMS, STEPS, check, load_row, rows, write_all
from sjepa.study.tables import PROTOCOLS, cells, evaluations, paper

FULL = ROOT / "notebooks" / "full"


def test_every_row_has_its_file_and_every_file_its_row():
    written = {path.stem: path.read_text() for path in PARAMS.glob("*.yaml")}
    assert written == {row.name: row.text for row in rows().values()}


def test_parameter_files_make_configurations_of_known_splits():
    for row in rows().values():
        config = load_row(row)
        if hasattr(config, "split"):
            assert config.split in SPLITS and config.split.startswith(f"{config.dataset}/")
        if row.group == "paper" and row.step == "pretrain":
            assert (config.epochs, config.batch_size, config.dim) == (1200, 256, 256)
            assert config.mask_tau == (0.75 if config.dataset == "ntu120" else 0.8)


def test_rows_come_after_what_they_read():
    seen = {}
    for row in rows().values():
        assert set(row.after) <= set(seen), row.name
        if row.step in PROTOCOLS:
            assert seen[row.after[0]].params["out"] == row.params["run"]
        seen[row.name] = row


def test_the_papers_cells_all_have_a_row():
    found = {}
    for step in PROTOCOLS:
        for row in evaluations(step, "paper"):
            if paper(row) is not None:
                found[row.name] = paper(row)
    assert sorted(found.values()) == sorted(PAPER.values())
    assert len(cells([])) == len(PAPER)


@pytest.mark.parametrize("group", ["quick", "open", "paper"])
def test_every_trained_row_has_its_baseline(group):
    for step in ("linear", "knn", "finetune", "semi"):
        named = {row.name.removesuffix("-random").removesuffix("-scratch"): set()
                 for row in evaluations(step, group)}
        for row in evaluations(step, group):
            plain = row.name.removesuffix("-random").removesuffix("-scratch")
            named[plain].add(row.params["method"])
        base = {"scratch"} if step in ("finetune", "semi") else {"random"}
        assert all(base <= methods for methods in named.values()), named


def test_a_wrong_parameter_is_named_with_its_file(tmp_path):
    write_all(tmp_path)
    chosen = rows("quick")
    (tmp_path / "quick-semi-10pct.yaml").write_text("shares: 0.1\n")
    with pytest.raises(SjepaError, match=r"quick-semi-10pct\.yaml: unknown parameter 'shares': "
                                         "did you mean share"):
        check(chosen.values(), tmp_path)
    (tmp_path / "quick-semi-10pct.yaml").unlink()
    with pytest.raises(SjepaError, match="no parameter file at .*quick-semi-10pct"):
        check(chosen.values(), tmp_path)
    with pytest.raises(SjepaError, match="unknown rows 'fast'"):
        rows("quick,fast")


@pytest.mark.parametrize("step", STEPS)
def test_notebook_has_a_typed_parameter_for_each_setting(step):
    made = json.loads((FULL / f"{step}.ipynb").read_text())["cells"]
    assert [c["id"] for c in made] == [f"full-{step}-{k:02d}" for k in range(len(made))]
    (cell,) = [c for c in made if "parameters" in c["metadata"].get("tags", [])]
    text = "".join(cell["source"])
    given = {node.target.id: ast.literal_eval(node.value) for node in ast.parse(text).body}
    if step == "pretrain":  # a preset fills in what is not named, so only a few are
        config = make_config(PretrainConfig, given)
        assert config == make_config(PretrainConfig, {"preset": "quick"})
        return
    assert list(given) == [f.name for f in fields(STEPS[step])]
    assert make_config(STEPS[step], given) == STEPS[step]()
    assert text.count("# ") >= len(given)


def test_prose_names_parameter_files_that_are_there():
    pages = [ROOT / "README.md", *(ROOT / "book").glob("*.md"),
             *(ROOT / "notebooks").rglob("*.ipynb")]
    for page in pages:
        for name in re.findall(r"(?:params|\$P)/([a-z0-9][\w-]+)\.yaml", page.read_text()):
            assert name in rows(), f"{page} names {name}.yaml"


def test_pku_probes_follow_the_lineage():
    one, two = (load_params(PARAMS / f"pku{k}-xsub-linear.yaml") for k in (1, 2))
    assert one["batch_size"] == 128 and "lr" not in one
    assert (two["batch_size"], two["lr"]) == (32, 0.01)
