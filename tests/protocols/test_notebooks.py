"""The notebooks of notebooks/full: parameters, defaults, and a second run in the same kernel."""

import ast
import json
from dataclasses import fields

import matplotlib
import pytest

from sjepa.config import ROOT, PretrainConfig, make_config
from sjepa.study.experiments import STEPS

FULL = ROOT / "notebooks" / "full"
matplotlib.use("Agg")


def code_cells(name):
    """The parameters cell of a notebook, and its later code cells."""
    cells = json.loads((FULL / f"{name}.ipynb").read_text())["cells"]
    first, *later = [c for c in cells if c["cell_type"] == "code"]
    assert first["metadata"]["tags"] == ["parameters"]
    return "".join(first["source"]), ["".join(cell["source"]) for cell in later]


@pytest.mark.parametrize("name", STEPS)
def test_a_notebook_has_a_typed_parameter_for_each_setting(name):
    first, _ = code_cells(name)
    given = {node.target.id: ast.literal_eval(node.value) for node in ast.parse(first).body}
    if name == "pretrain":  # a preset gives what it leaves out
        assert make_config(PretrainConfig, given) == make_config(PretrainConfig, {})
        return
    assert list(given) == [field.name for field in fields(STEPS[name])]
    assert all(getattr(STEPS[name](), key) == (tuple(value) if isinstance(value, list) else value)
               for key, value in given.items())
    assert first.count("# ") >= len(given)


@pytest.mark.parametrize("path", sorted(FULL.glob("*.ipynb")), ids=lambda path: path.stem)
def test_later_cells_make_no_name_that_could_pass_for_a_parameter(path):
    _, later = code_cells(path.stem)
    nodes = [node for cell in later for node in ast.walk(ast.parse(cell))]
    inner = {id(part) for node in nodes if isinstance(node, ast.comprehension)
             for part in ast.walk(node.target)}
    assert not [node.id for node in nodes if isinstance(node, ast.Name) and id(node) not in inner
                and isinstance(node.ctx, ast.Store) and not node.id.startswith("_")]


@pytest.mark.parametrize("name, more", [
    ("knn", {"ks": [1, 3]}), ("linear", {"epochs": 2, "passes": 1}),
    ("finetune", {"epochs": 1, "batch_size": 12, "hidden": 8}),
])
def test_a_notebook_runs_twice_in_one_kernel(name, more, pretrained, tmp_path, capsys):
    first, later = code_cells(name)
    kernel = {}
    for number in (1, 2):
        exec(first, kernel)
        kernel |= {"run": str(pretrained), "out": str(tmp_path / f"out-{number}")} | more
        for cell in later:
            exec(cell, kernel)
        assert (tmp_path / f"out-{number}" / "result.json").is_file()
    assert f"synthetic/xsub {name} top1" in capsys.readouterr().out
