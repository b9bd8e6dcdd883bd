"""Last touches on the built pages, each for one reason.

* The theme's toggles in the contents have no name: a screen reader would say “button”.
* The bibliography claims a role that its entries do not have.
* A folded cell says what it is: a cell tagged `hide-cell` checks, one tagged `hide-input` shows.
* Font Awesome brings 2,000 icons, 1.4 MB a page; those that no page shows are left out, and so are
  the rules that would draw each once more with a font.
"""

import re
from pathlib import Path

TOUCHES = (
    ('<summary><span class="toctree-toggle"',
     '<summary aria-label="pages of this part"><span class="toctree-toggle"'),
    ('<div role="list" class="citation-list">', '<div class="citation-list">'),
    (' role="doc-biblioentry"', ""),
    *((f"{verb} code cell {part}", name) for verb in ("Show", "Hide")
      for part, name in (("content", "Check"), ("source", "Code"))),
)
ICON = re.compile(r'"?([\w-]+)"?:\[\d+,\d+,\[([^\]]*)\],"\w+",(?:"[^"]*"|\[[^\]]*\])\],?')
RULE = re.compile(r"(?:\.fa-[\w-]+:before,?)+\{content:[^}]*\}")


def without_icons(script: str, shown: set[str]) -> str:
    """Font Awesome's `script` with the icons only that are `shown`, by a name or an alias."""
    def keep(found: re.Match) -> str:
        names = {found[1], *re.findall(r'"([^"]+)"', found[2])}
        return found[0] if names & shown else ""

    return ICON.sub(keep, script)


def finish(app, exception) -> None:
    """Rewrite the pages and the icons' script that a build has left."""
    if exception or app.builder.format != "html":
        return
    out, shown = Path(app.outdir), set()
    for page in out.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        shown.update(re.findall(r"\bfa-([\w-]+)", text))
        for old, new in TOUCHES:
            text = text.replace(old, new)
        page.write_text(text, encoding="utf-8")
    scripts = out / "_static" / "scripts"
    icons = scripts / "fontawesome.js"
    for script in scripts.glob("*.js"):
        if script != icons:
            shown.update(re.findall(r"\bfa-([\w-]+)", script.read_text(encoding="utf-8")))
    style = out / "_static" / "styles" / "pydata-sphinx-theme.css"
    style.write_text(RULE.sub("", style.read_text(encoding="utf-8")), encoding="utf-8")
    icons.write_text(without_icons(icons.read_text(encoding="utf-8"), shown), encoding="utf-8")


def setup(app):
    app.connect("build-finished", finish)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
