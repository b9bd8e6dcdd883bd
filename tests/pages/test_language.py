"""The language of pages: marks and numbers in one form, no house words, questions with answers."""

import json
import re

import bookfix
import pytest
from docutils import nodes

from sjepa.config import ROOT

CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "book").glob("*.md")), *CHAPTERS]
# Directives whose body is prose; the body of any other fence is code, a formula or HTML.
PROSE = ("admonition", "div", "dropdown", "glossary", "grid", "important", "list-table", "note")
FORMS = {
    "quotation marks are “ ”": r"[«»„‘’\"]",
    "a space before %": r"[\d`]%",
    "a true minus before a number": r"(?<![\w`–−-])-\d",
    "one form of the loss, p^(t) and p^(p)": r"p\^\{\([12]\)\}",
    "plain words": r"(?i)\b(per cent|hence|whoever|lineages?|alike to|our aim|was aimed at|"
                   r"so knows|for ever|that far apart)\b",
}


def markdown(path):
    """A page's Markdown, cells of a notebook joined by blank lines."""
    if path.suffix == ".md":
        return re.sub(r"\A---\n.*?\n---\n", "", path.read_text(), flags=re.DOTALL)
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]
                       if cell["cell_type"] == "markdown")


def prose(text):
    """`text` without code, formulas, addresses, roles and options of directives."""
    kept, fences = [], []
    for line in text.splitlines():
        fence = re.match(r"\s*(`{3,}|~{3,}|:{3,})(.*)", line)
        if fence and fences and not fence[2].strip() and fences[-1][0] == fence[1]:
            fences.pop()
        elif fence:
            shown = re.match(r"\{([\w-]+)\}(.*)", fence[2].strip())
            is_prose = shown is not None and shown[1].startswith(PROSE)
            fences.append((fence[1], is_prose))
            kept.append(shown[2] if is_prose else "")
        elif all(is_prose for _, is_prose in fences):
            kept.append(re.sub(r"^\s*:[\w-]+:.*", "", line))
    text = "\n".join(kept)
    text = re.sub(r"\$\$.*?\$\$|<[^>\n]*>", " ", text, flags=re.DOTALL)
    text = re.sub(r"(?<!`)`(?!`)[^`]*`|``[^`]*``", "`", text)
    text = re.sub(r"\$[^$\n]*(?:\n[^$\n]+)?\$", "x", text)
    return re.sub(r"\]\([^)\s]*\)", "]", text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_prose_keeps_to_the_forms(path):
    text = prose(markdown(path))
    for rule, pattern in FORMS.items():
        if rule == "plain words" and path.stem == "notation":
            continue  # the glossary explains them
        found = [text[max(0, m.start() - 40):m.end() + 20] for m in re.finditer(pattern, text)]
        assert not found, f"{path.name}, {rule}: {found}"


def test_the_rules_see_what_they_forbid():
    wrong = ('say «so»', 'a "word"', "41% of all", "from -0.5 to 3", r"$p^{(1)}$ and p^{(1)}",
             "Hence the column", "five per cent")
    for text in wrong:
        assert any(re.search(pattern, prose(text)) for pattern in FORMS.values()), text
    right = '“so”, 41 %, −0.5, 1-2, `-j1 "x"`, $-1$\n\n```bash\nrun "a" -1\n```\n'
    assert not any(re.search(pattern, prose(right)) for pattern in FORMS.values())


def test_built_pages_write_numbers_in_one_form():
    line = nodes.paragraph("", "", nodes.inline("", "41"), nodes.Text(" % or 5% [-0.5, 2-3] e-3"),
                           nodes.literal("", "-1 5%"))
    bookfix.write_numbers(None, line, "page")
    assert line.astext() == "41\u202f% or 5\u202f% [−0.5, 2-3] e-3-1 5%"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_asks_and_answers(path):
    """A guess before a result, a quiz with answers, and a solution to every exercise."""
    text = markdown(path)
    assert re.search(r"^\*\*Your guess\.\*\*", text, re.M), "a prediction"
    quiz = re.search(r"^## Quiz\n(.*?)^## ", text, re.S | re.M)
    assert quiz, "a quiz"
    asked = re.findall(r"^\d+\. ", quiz[1], re.M)
    assert 2 <= len(asked) <= 3 and quiz[1].count("{dropdown} Answer") == len(asked)
    asked = re.findall(r"^(\d+)\. ", re.search(r"^## Exercises\n(.*)", text, re.S | re.M)[1].split(
        "{dropdown}")[0], re.M)
    solved = re.findall(r"\{dropdown\} Solution to exercise (\d)", text)
    assert sorted(solved) == asked and len(asked) >= 3
