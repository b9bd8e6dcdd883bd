"""What the book adds to Jupyter Book, each for one reason.

* MathJax is copied from the Python package ``sphinx-mathjax-offline``: formulas need no network.
* The notebook cache is dropped when ``sjepa/``, ``book/results/``, the claims or the quick runs
  changed: it only looks at the cells, and would show old numbers.
* No Thebe scripts (the book has no live cells) and no launch buttons on Markdown pages (Colab
  opens notebooks only).
* The repository's address is set once, in ``_config.yml``: ``{repo}`` links a path to it, and the
  word ``REPOSITORY_URL`` in a page becomes it, in code blocks too.
* Moving figures find their script linked by every page; elsewhere each output brings its own.
* In prose and tables, by hand or by code, a number keeps its percent sign and has a true minus.
"""

import hashlib
import importlib.util
import os
import re
import shutil
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import desc_signature
from sphinx.errors import ExtensionError

ROOT = Path(__file__).resolve().parents[2]
INPUTS = ("sjepa/**/*", "book/results/**/*", "book/claims.yaml", "runs/quick*/result.json",
          "constraints.txt")


# --- the notebook cache ------------------------------------------------------------------------


def inputs_hash(root: Path = ROOT) -> str:
    """Fingerprint of everything that a chapter's output depends on besides its own cells."""
    digest = hashlib.sha256()
    for path in sorted({p for pattern in INPUTS for p in root.glob(pattern)
                        if p.is_file() and p.suffix != ".pyc"}):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def drop_stale_cache(build: Path) -> None:
    stamp, now = build / ".inputs", inputs_hash()
    if stamp.is_file() and stamp.read_text() == now:
        return
    shutil.rmtree(build / ".jupyter_cache", ignore_errors=True)
    build.mkdir(parents=True, exist_ok=True)
    stamp.write_text(now)


# --- formulas without a network ----------------------------------------------------------------


def copy_mathjax(app) -> None:
    if app.builder.format != "html":
        return
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    source = Path(spec.origin).parent / "static" / "mathjax" if spec else None
    if source is None or not (source / "tex-chtml.js").is_file():
        raise ExtensionError("MathJax is missing: pip install sphinx-mathjax-offline")
    target = Path(app.outdir) / "_static" / "mathjax"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source / "tex-chtml.js", target)
    # Fonts, and the small TeX extensions that MathJax loads when a formula asks for one.
    for folder in ("output/chtml/fonts/woff-v2", "input/tex/extensions"):
        shutil.copytree(source / folder, target / folder, dirs_exist_ok=True)


# --- pages -------------------------------------------------------------------------------------


def clean_page(app, pagename, templatename, context, doctree) -> None:
    def wanted(js) -> bool:
        body = getattr(js, "attributes", {}).get("body") or ""
        name = str(getattr(js, "filename", js))
        return "THEBE_JS_URL" not in body and "thebe" not in name

    if "script_files" in context:
        context["script_files"] = [js for js in context["script_files"] if wanted(js)]
    if doctree is not None and not str(app.env.doc2path(pagename)).endswith(".ipynb"):
        context["header_buttons"] = [
            button
            for button in context.get("header_buttons", [])
            if button.get("label") != "launch-buttons"
        ]


def put_address(app, docname, source) -> None:
    if "REPOSITORY_URL" in source[0]:
        url = app.config.html_theme_options["repository_url"].rstrip("/")
        source[0] = source[0].replace("REPOSITORY_URL", url)


def repo_role(name, rawtext, text, lineno, inliner, options=None, content=None):
    """``{repo}`sjepa/masking.py` `` becomes a link to that path in the repository.

    ``{repo}`mask <sjepa/masking.py>` `` shows another text.
    """
    shown, _, path = text.rstrip(">").rpartition(" <")
    shown, text = shown or path, path
    theme = inliner.document.settings.env.config.html_theme_options
    url, branch = theme["repository_url"].rstrip("/"), theme.get("repository_branch", "main")
    kind = "tree" if text.endswith("/") else "blob"
    link = nodes.reference(rawtext, "", refuri=f"{url}/{kind}/{branch}/{text}")
    link += nodes.literal(shown, shown)
    return [link], []


NUMBERS = ((re.compile(r"(?<=\d) ?%|^ %"), "\N{NARROW NO-BREAK SPACE}%"),
           (re.compile(r"(?<![\w.–−/-])-(?=\d)"), "\N{MINUS SIGN}"))
CODE = (nodes.literal, nodes.FixedTextElement, nodes.raw, nodes.math, desc_signature)


def write_numbers(app, doctree, docname) -> None:
    """“51 %” that no line parts and “−0.5”, everywhere but in code and formulas."""
    for text in list(doctree.findall(nodes.Text)):
        above, written = text.parent, str(text)
        while above is not None and not isinstance(above, CODE):
            above = above.parent
        for pattern, form in NUMBERS if above is None else ():
            written = pattern.sub(form, written)
        if written != text:
            text.parent.replace(text, nodes.Text(written))


def setup(app):
    os.environ["SJEPA_FIGURES"] = "linked"  # kernels inherit it
    app.add_role("repo", repo_role)
    app.connect("config-inited", lambda app, config: drop_stale_cache(Path(app.outdir).parent))
    app.connect("source-read", put_address)
    app.connect("builder-inited", copy_mathjax)
    app.connect("html-page-context", clean_page, priority=900)
    app.connect("doctree-resolved", write_numbers)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
