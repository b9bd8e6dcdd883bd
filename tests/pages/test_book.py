"""The house: one address, complete contents, stripped chapters, nothing of the makers' machines."""

import importlib.util
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from sjepa.config import ROOT

CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9a]?_*.ipynb"))
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
ADDRESS = CONFIG["repository"]["url"]


def cells(path):
    return json.loads(path.read_text())["cells"]


def test_contents_list_every_chapter_and_page():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [c for part in toc["parts"] for c in part["chapters"]]
    listed = {c["file"] for c in [*chapters, *(s for c in chapters for s in c.get("sections", []))]}
    listed.add(toc["root"])
    there = {f"notebooks/{p.stem}" for p in CHAPTERS} | {
        str(p.relative_to(ROOT).with_suffix("")) for p in (ROOT / "book").rglob("*.md")}
    assert listed == there
    assert len(CHAPTERS) >= 10


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_chapter_opens_in_colab_and_asserts(path):
    text = ["".join(c["source"]) for c in cells(path)]
    owner = ADDRESS.removeprefix("https://github.com/")
    link = f"https://colab.research.google.com/github/{owner}/blob/main/notebooks/{path.name}"
    assert link in text[0]
    colab = [c for c in cells(path) if "google.colab" in "".join(c["source"])]
    assert len(colab) == 1 and {"remove-cell", "nbval-skip"} <= set(colab[0]["metadata"]["tags"])
    assert ADDRESS in "".join(colab[0]["source"])
    code = ["".join(c["source"]) for c in cells(path) if c["cell_type"] == "code"]
    assert sum("assert" in c for c in code) >= 3
    assert max(len(c.splitlines()) for c in code) <= 40


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_only_the_lesson_stays_open(path):
    """Imports, plots and tables are folded as code, and what is folded as a check asserts."""
    shown = 0
    for cell in (c for c in cells(path) if c["cell_type"] == "code"):
        tags, text = set(cell["metadata"].get("tags", [])), "".join(cell["source"])
        if "hide-cell" in tags:
            assert "assert" in text and "caption(" not in text, cell["id"]
        elif not tags & {"hide-input", "remove-cell", "remove-input"}:
            assert not re.search(r"caption\(|\bTable\(|^from .*import \(", text, re.M), cell["id"]
            shown += len(text.splitlines())
    assert shown <= 100


def test_each_page_has_one_name_and_the_next_is_the_next():
    """A link that calls a page by name uses its title; a chapter ends on the page that follows."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    order = [Path(c["file"]).name for part in toc["parts"] for c in part["chapters"]]
    texts = {p.stem: "\n".join("".join(c["source"]) for c in cells(p)
                               if c["cell_type"] == "markdown") for p in CHAPTERS}
    texts |= {p.stem: p.read_text() for p in (ROOT / "book").glob("*.md")}
    titles = {name: re.search("^# (.*)", text, re.M)[1] for name, text in texts.items()}
    for name, text in texts.items():
        for said, to in re.findall(r"\[([A-Z][^\]\[]*)\]\((?:[\w./]*/)?(\w[\w-]*)\.(?:ipynb|md)\)",
                                   text):
            if to in titles and not said.startswith("Chapter"):
                assert " ".join(said.split()) == titles[to], f"{name}: {said}"
    for path in CHAPTERS:
        following = re.search(r"^Next: \[[^]]*\]\((?:[\w./]*/)?([\w-]+)\.", texts[path.stem], re.M)
        assert following[1] == order[order.index(path.stem) + 1]


def test_every_module_has_its_page_of_reference():
    """A module with functions, classes or a data set; commands and markers of folders have none."""
    pages = {p.stem for p in (ROOT / "book/api").glob("*.md")}
    for path in (ROOT / "sjepa").rglob("*.py"):
        parts = path.relative_to(ROOT / "sjepa").with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        speaks = re.search(r"^(def|class) [a-z]\w+|^SPEC", path.read_text(), re.M | re.I)
        if speaks and parts[-1] != "__main__" and name != "__init__":
            assert name in pages, f"book/api/{name}.md, book/api.md and _toc.yml lack it"
            pages.discard(name)
    assert not pages, "pages of modules that are gone"


def test_files_and_commands_that_pages_name_are_there():
    for page in [*(ROOT / "book").glob("*.md"), *CHAPTERS, ROOT / "README.md"]:
        text = page.read_text()
        for shown in re.findall(r"\{repo\}`([^`]+)`", text):
            assert (ROOT / shown.rpartition("<")[2].rstrip(">")).exists(), f"{page.name}: {shown}"
        for name in re.findall(r"python -m (sjepa[\w.]*)", text):
            path = ROOT / name.rstrip(".").replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), \
                f"{page.name}: {name}"


def test_one_address_everywhere():
    texts = [path.read_text() for path in (ROOT / "README.md", ROOT / "CITATION.cff", *CHAPTERS)]
    found = set(re.findall(r"(?:github\.com|google\.com/github)/([\w-]+/[\w-]+)", "".join(texts)))
    assert found == {ADDRESS.removeprefix("https://github.com/")}


def test_nothing_of_the_makers_machines():
    bad = re.compile(r"(?<![\w.])/(work|root|home)/|://[^/ ]*(pypi\.org|pythonhosted|npmjs)")
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout, so there is no list of the project's files")
    text = {".py", ".md", ".ipynb", ".yml", ".yaml", ".toml", ".txt", ".json"}
    for path in map(ROOT.joinpath, listed.stdout.splitlines()):
        if path.is_file() and path.suffix in text and path.name != "test_book.py":
            assert not bad.search(path.read_text()), path


def test_what_is_kept_small_stays_so():
    assert "torch==" not in (ROOT / "pyproject.toml").read_text()  # Colab brings its own
    for path in (ROOT / "sjepa").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, f"{path}: split it"
    for path in [*CHAPTERS, *(ROOT / "notebooks/full").glob("*.ipynb")]:
        for cell in cells(path):
            kept, outputs = cell["metadata"].get("keep_output", False), cell.get("outputs", [])
            # nbval compares a cell that has a count, and no other.
            assert kept == bool(outputs) == (cell.get("execution_count") is not None), path
            for output in outputs:  # text, which a reader of the file can compare, too
                assert output.get("name") == "stdout" or set(output["data"]) == {"text/plain"}, path


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
