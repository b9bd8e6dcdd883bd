"""Chapters as tests: `python -m pytest --nbval notebooks/04_masking.ipynb`.

A cell keeps its output in the file if its metadata say `keep_output: true`, and strict nbval
compares it; all other cells are stored without. `--store` writes those outputs anew. With
`--book-cache` an executed chapter goes into the book's cache, so that the build that follows need
not run it again.
"""

import copy
import json
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from nbval.plugin import IPyNbCell

ROOT = Path(__file__).resolve().parents[1]
CELLS, BEGUN = pytest.StashKey[list](), pytest.StashKey[float]()


def pytest_addoption(parser):
    group = parser.getgroup("chapters")
    group.addoption("--store", action="store_true", help="write the outputs that cells keep")
    group.addoption("--book-cache", action="store_true", help="let the book use the outputs")


def pytest_configure(config):
    if not config.option.nbval_sanitize_with:
        config.option.nbval_sanitize_with = str(ROOT / "tests" / "nbval_sanitize.cfg")
    # What is to be replaced is not compared, nor a CPU's output with a GPU's.
    if config.option.store or torch.cuda.is_available():
        config.option.nbval, config.option.nbval_lax = False, True


def pytest_collection_modifyitems(items):
    for item in items:
        if isinstance(item, IPyNbCell):  # a cell that trains takes longer than a test may
            item.add_marker(pytest.mark.timeout(0))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if isinstance(item, IPyNbCell) and call.when == "call" and not report.failed:
        chapter = item.parent
        begun = chapter.stash.setdefault(BEGUN, time.time())
        done = chapter.stash.setdefault(CELLS, [])
        done.append(item)
        code = [cell for cell in chapter.nb.cells if cell.cell_type == "code"]
        if len(done) == len(code):
            if item.config.option.store:
                store(chapter.path, done)
            if item.config.option.book_cache:
                put_into_book(chapter, code, done, time.time() - begun)
    return report


def store(path: Path, done: list) -> None:
    """Write the outputs of the cells that keep theirs into the notebook `path`."""
    notebook = json.loads(path.read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, (cell, item) in enumerate(zip(code, done, strict=True), 1):
        kept = cell["metadata"].get("keep_output", False)
        cell["execution_count"] = number if kept else None
        cell["outputs"] = [in_lines(output, number) for output in item.test_outputs] if kept else []
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


def in_lines(output: dict, number: int) -> dict:
    """One output of cell `number` as notebooks are written: text in a list of lines."""
    if output["output_type"] == "stream":
        return {"name": output["name"], "output_type": "stream",
                "text": output["text"].splitlines(keepends=True)}
    return {"data": {kind: text.splitlines(keepends=True) for kind, text in output["data"].items()},
            "execution_count": number, "metadata": {}, "output_type": output["output_type"]}


def put_into_book(chapter, code: list, done: list, seconds: float) -> None:
    """Leave an executed chapter where the book's build looks before it runs one."""
    from bookfix import drop_stale_cache
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    for number, (cell, item) in enumerate(zip(code, done, strict=True), 1):
        cell.execution_count, cell.outputs = number, item.test_outputs or []
    build = ROOT / "_build"
    build.mkdir(exist_ok=True)
    with FileLock(build / ".cache.lock"):  # chapters run two at a time
        drop_stale_cache(build)
        get_cache(build / ".jupyter_cache").cache_notebook_bundle(
            CacheBundleIn(copy.deepcopy(chapter.nb), str(chapter.path),
                          data={"execution_seconds": seconds}),
            check_validity=False, overwrite=True)
