"""No change leaves an old number or picture in the book, and chapters show what was compared."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import hero
import nbformat
import pytest
from bookfix import inputs_hash
from formats import forked
from jupyter_cache import get_cache

from sjepa.config import ROOT
from sjepa.show.animation import Animation

CONFIG = """
only_build_toc_files: true
execute: {execute_notebooks: cache}
sphinx: {recursive_update: true, local_extensions: {bookfix: book/_ext},
         config: {mathjax_path: mathjax/tex-chtml.js}}
repository: {url: https://github.com/a/b}
"""
PAGE = """---
file_format: mystnb
kernelspec: {name: python3, display_name: Python 3}
---
# A page

```{code-cell} ipython3
import os, pathlib
print("it says", pathlib.Path("results/readings.csv").read_text(), os.urandom(8).hex())
```
"""


@pytest.mark.parametrize("path", ["sjepa/a/b.py", "sjepa/study/x.yaml", "sjepa/lists/y.txt",
                                  "sjepa/weights/z.safetensors", "book/results/search/r.json",
                                  "book/claims.yaml", "runs/quick-knn/result.json",
                                  "constraints.txt"])
def test_whatever_a_chapter_reads_is_an_input(tmp_path, path):
    hashes, file = {inputs_hash(tmp_path)}, tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    for text in ("one", "two"):
        file.write_text(text)
        hashes.add(inputs_hash(tmp_path))
    assert len(hashes) == 3
    (file.parent / "compiled.pyc").write_text("follows from the source")
    assert inputs_hash(tmp_path) in hashes


def test_a_new_result_renews_the_page_and_no_change_runs_nothing(tmp_path):
    shutil.copytree(ROOT / "book" / "_ext", tmp_path / "book" / "_ext")
    results = tmp_path / "book" / "results" / "readings.csv"
    results.parent.mkdir()
    (tmp_path / "_config.yml").write_text(CONFIG)
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/page\n")
    (tmp_path / "book" / "page.md").write_text(PAGE)
    shown = []
    for value in ("71.5", "71.5", "38.2"):
        results.write_text(value)
        made = subprocess.run([Path(sys.executable).with_name("jupyter-book"), "build",
                               tmp_path, "--all"], capture_output=True, text=True)
        assert not made.returncode, made.stderr[-2000:]
        html = (tmp_path / "_build" / "html" / "book" / "page.html").read_text()
        shown.append(re.search(r"it says (\S+) (\S+)", html).groups())
    assert [value for value, _ in shown] == ["71.5", "71.5", "38.2"]
    assert shown[0] == shown[1] != shown[2]


def test_the_picture_of_the_front_page_is_what_its_script_draws(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Animation, "save", lambda self, path: drawn.append((self.svg, path)))
    hero.main()
    (svg, path), = drawn
    kept, made = (re.split(r"(-?\d+(?:\.\d+)?)", text) for text in (path.read_text(), svg))
    assert kept[::2] == made[::2], "python book/hero.py"
    # another processor may round a coordinate the other way
    assert max(abs(float(a) - float(b)) for a, b in zip(kept[1::2], made[1::2], strict=True)) <= 1


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
