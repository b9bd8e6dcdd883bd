"""The script that a chapter's first cell runs in Colab: what it finds wanting, and what it says."""

import importlib.util

import pytest

from sjepa.config import ROOT


@pytest.fixture
def colab():
    where = importlib.util.spec_from_file_location("colab", ROOT / "notebooks" / "colab.py")
    module = importlib.util.module_from_spec(where)
    where.loader.exec_module(module)
    return module


def test_a_machine_that_has_all_lacks_nothing(colab):
    assert colab.lacking() == []


@pytest.mark.parametrize("torch, python, said", [
    ("2.5.1+cu121", (3, 13, 0), ["torch 2.5.1+cu121 is too old, the book needs 2.6"]),
    ("2.10.0", (3, 10, 4), ["is too old, the book needs 3.11"]), ("2.10.0+cu128", (3, 11, 0), [])])
def test_old_versions_are_named_and_never_replaced(colab, monkeypatch, torch, python, said):
    monkeypatch.setattr(colab, "version", lambda name: torch)
    monkeypatch.setattr(colab.sys, "version_info", python)
    found = colab.lacking()
    assert len(found) == len(said) and all(a in b for a, b in zip(said, found, strict=True))


def test_what_is_missing_is_named_as_one_installs_it(colab, monkeypatch):
    monkeypatch.setitem(colab.NEEDED, "no_such_module", "its-project")
    with pytest.raises(SystemExit, match="missing: run %pip install its-project, then this cell"):
        colab.main([])
