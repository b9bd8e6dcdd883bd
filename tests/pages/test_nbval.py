"""Chapters as tests: what a cell keeps is compared, and the book shows what was compared."""

import json
import os
import shutil
import sys

import nbformat
import pytest
from formats import forked
from jupyter_cache import get_cache

from sjepa.config import ROOT


def test_a_kept_output_is_written_compared_and_shown(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "notebooks/conftest.py", folder)
    shutil.copy(ROOT / "tests/nbval_sanitize.cfg", tmp_path / "tests")
    kept = nbformat.v4.new_code_cell("print('tokens', 750, 'in 3.1 s')",
                                     metadata={"keep_output": True})
    path = folder / "01.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[kept, nbformat.v4.new_code_cell("6 * 7")]), path)

    def work(*more):
        os.chdir(tmp_path)
        sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env",
                              *more, str(path)]))

    def nbval(*more):
        child = forked(tmp_path / "log", work, *more)
        child.join()
        return child.exitcode, (tmp_path / "log").read_text()

    status, said = nbval("--store", "--book-cache")
    assert status == 0, said
    one, two = json.loads(path.read_text())["cells"]
    assert one["outputs"][0]["text"] == ["tokens 750 in 3.1 s\n"] and one["execution_count"] == 1
    assert two["outputs"] == [] and two["execution_count"] is None
    cache = get_cache(tmp_path / "_build/.jupyter_cache")
    _, shown = cache.merge_match_into_notebook(nbformat.read(path, 4))
    assert shown.cells[1].outputs[0].data["text/plain"] == "42"
    path.write_text(path.read_text().replace("750 in 3.1 s\\n", "750 in 9 s\\n"))  # another hour
    path.write_text(path.read_text().replace("tokens 750", "tokens 749"))
    status, said = nbval()
    assert status == 1 and "1 failed, 1 passed" in said and "tokens 749 in TIME" in said
