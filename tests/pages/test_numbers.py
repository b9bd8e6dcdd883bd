"""Numbers of the built book: a reading has one value on whatever page, the committed one."""

import re

import pytest

from sjepa.config import ROOT
from sjepa.study.results import result

HTML = ROOT / "_build" / "html"
pytestmark = pytest.mark.rendered
MARKED = re.compile(r'data-reading="([^"]*)" data-value="([^"]*)"')


def test_no_page_shows_two_values_for_one_reading():
    pages = {path.stem: path.read_text() for folder in ("book", "notebooks")
             for path in sorted((HTML / folder).glob("*.html"))}
    if not pages:
        pytest.skip("the book was not built: make book")
    found = [(name, page, float(value)) for page, text in pages.items()
             for name, value in MARKED.findall(text)]
    assert len(found) > 100 and len({page for _, page, _ in found}) > 2
    for name, page, value in found:
        run, split, _, metric = name.split(" ")
        assert result(run=run, split=split, metric=metric)["value"] == value, f"{page}: {name}"
