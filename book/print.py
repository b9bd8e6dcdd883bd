"""The built book as one PDF with bookmarks: `make print` (needs Chromium).

All pages for readers are put into one, in the order of the contents, with links between them; the
reference of the modules stays on the screen.
"""

import functools
import http.server
import shutil
import sys
import threading
from pathlib import Path

import yaml
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
GATHER = """async ({root, pages}) => {
  const place = new Map(pages.map(page => [root + page, page.replace(/\\W/g, '-')]));
  const parts = await Promise.all(pages.map(async page => {
    const text = await (await fetch(root + page)).text();
    const part = new DOMParser().parseFromString(text, 'text/html').querySelector('article');
    const own = place.get(root + page);
    for (const e of part.querySelectorAll('[id]')) e.id = own + '--' + e.id;
    for (const e of part.querySelectorAll('a.headerlink, script, style')) e.remove();
    for (const e of part.querySelectorAll('details.sd-dropdown')) e.open = true;
    for (const e of part.querySelectorAll('img[src]'))
      e.src = new URL(e.getAttribute('src'), root + page).href;
    for (const a of part.querySelectorAll('a[href]')) {
      const to = new URL(a.getAttribute('href'), root + page);
      const there = place.get(to.origin + to.pathname);
      if (there) a.href = '#' + there + (to.hash ? '--' + decodeURI(to.hash.slice(1)) : '');
      else if (to.href.startsWith(root)) a.replaceWith(...a.childNodes);
    }
    part.id = own;
    return part;
  }));
  document.querySelector('article').replaceWith(...parts);
  document.documentElement.dataset.theme = 'light';
  await MathJax.startup.promise;
  MathJax.startup.document.state(0);
  await MathJax.typesetPromise(parts);
  await Promise.all([...document.images].map(i => i.decode().catch(() => 0)));
}"""


def readers_pages() -> list[str]:
    """Pages in the order of the contents, without the modules' reference."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text())
    names = [contents["root"], *(chapter["file"] for part in contents["parts"]
                                 for chapter in part["chapters"] if "sections" not in chapter)]
    return [f"{name}.html" for name in names]


def browser() -> str | None:
    """The path of the first browser that is installed."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def serve() -> http.server.ThreadingHTTPServer:
    """A server of the built pages, on a port of its own."""
    class Quiet(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=HTML))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def gather(page, root: str) -> None:
    """Turn `page` of a browser into the whole book, as it prints."""
    pages = readers_pages()
    page.goto(root + next(name for name in pages if "tex-chtml" in (HTML / name).read_text()))
    page.emulate_media(media="print", color_scheme="light")
    page.evaluate(GATHER, {"root": root, "pages": pages})


def main() -> None:
    if not browser() or not (HTML / "book" / "index.html").is_file():
        sys.exit("make print: needs the built book (make book) and one of " + ", ".join(BROWSERS))
    server, out = serve(), HTML.parent / "book.pdf"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 794, "height": 1123})  # A4 at 96 dots an inch
        gather(page, f"http://127.0.0.1:{server.server_port}/")
        page.pdf(path=out, format="A4", outline=True, tagged=True, print_background=True,
                 margin={"top": "15mm", "bottom": "15mm", "left": "14mm", "right": "14mm"})
        chromium.close()
    print(f"The book, printed: {out}")


if __name__ == "__main__":
    main()
