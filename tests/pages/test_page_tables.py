"""Tables and numbers of pages: none is empty, no setting is missing, a reading has one value."""

import ast
import re
from dataclasses import fields

import matplotlib.pyplot as plt
import pytest

from sjepa.config import ROOT, PretrainConfig
from sjepa.datasets.build import PrepareConfig
from sjepa.protocols.config import CONFIGS
from sjepa.show.tables import Table
from sjepa.study.results import result

HTML = ROOT / "_build" / "html"
PAGES = [path for path in sorted((ROOT / "book").glob("*.md")) if "Table(" in path.read_text()]


def shown(path):
    """What a page's cells show, in order: the value of each one's last line."""
    found, names = [], {}
    for cell in re.findall(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", path.read_text(), re.S | re.M):
        lines = ast.parse(re.sub(r"\A(---\n[\s\S]*?\n---\n|(:.*\n)+)", "", cell)).body
        last = lines.pop() if lines and isinstance(lines[-1], ast.Expr) else ast.Constant(None)
        exec(compile(ast.Module(lines, []), path.name, "exec"), names)
        value = last.value
        found.append(eval(compile(ast.Expression(value), path.name, "eval"), names)
                     if isinstance(value, ast.expr) else None)
    plt.close("all")
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_table_of_a_page_has_rows(path):
    tables = [value for value in shown(path) if isinstance(value, Table)]
    assert tables
    for table in tables:
        head, _, *rows = table.lines
        assert rows and all(len(row) == len(head) for row in rows), head


def test_deviations_lists_every_guess_and_what_is_taken_from_mamp():
    tables = [value for value in shown(ROOT / "book/deviations.md") if isinstance(value, Table)]
    guesses, taken, *_ = tables
    configs = (PretrainConfig, PrepareConfig, *CONFIGS.values())
    for table, source in ((guesses, "guess"), (taken, "lineage")):
        named = {f"`{each.name}`" for config in configs for each in fields(config)
                 if each.metadata["source"] == source}
        assert named and {row[0] for row in table.lines[2:]} == named


@pytest.mark.rendered
@pytest.mark.skipif(not HTML.is_dir(), reason="the book was not built: make book")
def test_every_page_shows_the_committed_value_of_a_reading():
    found = [(page.stem, *marked) for folder in ("book", "notebooks")
             for page in sorted((HTML / folder).glob("*.html"))
             for marked in re.findall('data-reading="([^"]*)" data-value="([^"]*)"',
                                      page.read_text())]
    assert len(found) > 100 and len({page for page, *_ in found}) > 2
    for page, name, value in found:
        run, split, _, metric = name.split(" ")
        committed = result(run=run, split=split, metric=metric)["value"]
        assert committed == float(value), f"{page}: {name}"
