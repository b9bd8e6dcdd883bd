"""The built book in a real browser: every page on a desktop and a phone, light and dark.

One crawl with Debian's Chromium visits all pages and notes what is wrong; each test reads its part.
"""

import asyncio
import importlib
import statistics
from collections import defaultdict
from pathlib import Path

import pytest
from axe_playwright_python import base
from playwright.async_api import async_playwright
from playwright.sync_api import sync_playwright

from sjepa.config import ROOT

printed = importlib.import_module("print")  # book/print.py
HTML = ROOT / "_build" / "html"
#: All pages but those that show source code, which look alike: of these one.
PAGES = sorted(page for path in HTML.rglob("*.html")
               if (page := path.relative_to(HTML).as_posix()) != "index.html"
               and (not page.startswith("_") or page == "_modules/sjepa/model.html"))
LAUNCH = {"executable_path": printed.browser(), "args": ["--no-sandbox"]}
AXE_DARK = ("book/index.html", "book/results.html", "notebooks/04_masking.html")
pytestmark = [
    pytest.mark.rendered,
    pytest.mark.timeout(1200),  # the crawl belongs to the first test
    pytest.mark.skipif(not PAGES, reason="the book was not built: make book"),
    pytest.mark.skipif(not printed.browser(),
                       reason=f"no browser: none of {', '.join(printed.BROWSERS)} is installed"),
]

# What is wider than its place and not folded away, as [tag, its width, its place's width, text].
WIDE = """() => [...document.querySelectorAll(
    'article pre, article table, article img, article svg, article figure, article .math,' +
    ' article mjx-container[display="true"], article .pst-scrollable-table-container')]
  .filter(e => e.checkVisibility() && !e.closest('mjx-container svg, mjx-container mjx-container'))
  .map(e => [e, e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX != 'visible'
                && e.clientWidth ? e.clientWidth
                : e.getBoundingClientRect().right > document.documentElement.clientWidth
                && !e.closest('pre, .math, .pst-scrollable-table-container') ? -1 : 0])
  .filter(([e, place]) => place && (place < 0 || e.matches('pre, .math, mjx-container, div'))
                          && !e.matches('span'))
  .map(([e, place]) => [e.tagName, e.scrollWidth, place,
                        e.textContent.trim().replace(/\\s+/g, ' ').slice(0, 60),
                        getComputedStyle(e).backgroundImage.includes('gradient')
                        || getComputedStyle(e.closest('.math') || e).backgroundImage
                           .includes('gradient')])"""
# Words and numbers of tables that stand on two lines.
BROKEN = r"""() => [...document.querySelectorAll('article :is(td, th)')]
  .filter(cell => cell.checkVisibility()).flatMap(cell => {
    const walk = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    const range = new Range(), bad = [];
    while (walk.nextNode()) {
      const text = walk.currentNode;
      for (const m of text.parentElement.closest('code') ? []
           : text.data.matchAll(/[\p{L}\p{N}][\p{L}\p{N}.,]*/gu)) {
        range.setStart(text, m.index);
        range.setEnd(text, m.index + m[0].length);
        const lines = [...range.getClientRects()].map(box => Math.round(box.top));
        if (new Set(lines).size > 1) bad.push(m[0]);
      }
    }
    return bad;
  })"""
FACTS = """() => ({
  links: [...document.querySelectorAll('a[href]')].map(a => a.href),
  ids: [...document.querySelectorAll('[id]')].map(e => e.id),
  images: [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src),
  alts: [...document.querySelectorAll('article img:not(.toggler)')]
    .filter(i => !/[a-z] [a-z]/.test(i.alt)).map(i => i.src.slice(0, 80)),
  formulas: document.querySelectorAll('.math').length,
  typeset: document.querySelectorAll('.math mjx-container').length,
  failed: document.querySelectorAll('mjx-merror, [data-mjx-error]').length,
  weight: performance.getEntriesByType('resource').concat(
    performance.getEntriesByType('navigation')).reduce((sum, e) => sum + e.decodedBodySize, 0),
})"""
RUN_AXE = """async (what) => (await axe.run(what || document, {
    resultTypes: ['violations'], preload: false})).violations
  .filter(v => ['serious', 'critical'].includes(v.impact))
  .map(v => [v.id, v.nodes.length, v.nodes[0].html.slice(0, 160)])"""
READY = "() => window.MathJax?.startup?.promise"
STILL = """() => Promise.all(document.getAnimations().filter(a => a instanceof CSSTransition)
                                    .map(a => a.finished.catch(() => 0)))"""


# Moves every part of every figure; what did not react is a fault.
FIGURES = """async () => {
  const faults = [], wait = ms => new Promise(done => setTimeout(done, ms));
  for (const f of document.querySelectorAll('article [data-figure]')) {
    const name = f.dataset.figure + ' ' + (f.getAttribute('aria-label') || '');
    const look = () => f.cloneNode(true).innerHTML + JSON.stringify(f.dataset);
    const button = words => [...f.querySelectorAll('button')].find(b => words.test(b.textContent));
    f.scrollIntoView({block: 'center', behavior: 'instant'});
    await wait(60);
    if (!f.dataset.state) { faults.push(name + ': not mounted'); continue; }
    if (f.dataset.figure == 'own') {
      button(/Example/).click();
      for (let k = 0; k < 200 && f.dataset.result != 'done'; k++) await wait(100);
      if (f.dataset.result != 'done') faults.push(name + ': no result');
    }
    for (const _ of f.querySelector('button') && button(/^(Pause|Play)$/) ? [1, 2] : []) {
      const before = f.dataset.state, svg = f.querySelector('svg');
      button(/^(Pause|Play)$/).click();
      await wait(60);
      const paused = f.dataset.state == 'paused';
      if (f.dataset.state == before) faults.push(name + ': does not pause and play');
      if (f.dataset.figure == 'loop' && svg.animationsPaused() != paused)
        faults.push(name + ': says paused and moves, or the other way round');
    }
    if (f.dataset.state == 'playing') button(/^Pause$/)?.click();
    await wait(60);
    for (const input of f.querySelectorAll('input[type=range]')) {
      const before = look(), old = +input.value, low = +input.min || 0, high = +(input.max || 100);
      input.value = old - low > (high - low) / 2 ? low : high;
      input.dispatchEvent(new Event('input', {bubbles: true}));
      await wait(60);
      if (input.value != old && look() == before && input.checkVisibility())
        faults.push(name + ': nothing follows ' + input.closest('label')?.textContent);
    }
    for (const input of f.querySelectorAll('input[type=radio]:not(:checked)')) {
      const before = look();
      input.click();
      await wait(60);
      if (look() == before) faults.push(name + ': nothing follows a choice');
    }
  }
  return faults;
}"""
# Scrolls to each section's head and middle: `[section, what the contents mark]` where they differ.
CONTENTS = """async () => {
  const wait = ms => new Promise(done => setTimeout(done, ms)), astray = [];
  for (const head of document.querySelectorAll('article section[id] > h2')) {
    const own = head.parentElement, from = head.getBoundingClientRect().top + scrollY;
    const inner = own.querySelector(':scope > section');
    const to = (inner || own).getBoundingClientRect()[inner ? 'top' : 'bottom'] + scrollY;
    for (const y of [from - 20, (from + to) / 2]) {
      if (y > document.body.scrollHeight - innerHeight) continue;  // the page ends before
      scrollTo({top: y, behavior: 'instant'});
      await wait(150);
      const marked = document.querySelector('#pst-page-toc-nav a.active')?.hash;
      if (marked != '#' + own.id) astray.push(own.id, marked);
    }
  }
  return astray;
}"""


@pytest.fixture(scope="module")
def address():
    server = printed.serve()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture
def page():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**LAUNCH)
        yield browser.new_page(viewport={"width": 1280, "height": 900})
        browser.close()


async def visit(page, address: str, name: str, axe: str) -> dict:
    """What one page shows, and what is wrong with it."""
    faults, off = [], []
    page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("response", lambda r: faults.append(f"{r.status} {r.url}") if r.status > 399 else None)
    page.on("request", lambda r: off.append(r.url) if not r.url.startswith(
        (address, "data:", "blob:")) else None)
    await page.goto(address + name)
    await page.evaluate(READY)
    found = await page.evaluate(FACTS)
    found |= {"faults": faults, "off": off, "cut": await page.evaluate(WIDE)}
    found["reader"] = name.startswith(("book/", "notebooks/")) and "/api" not in name
    if found["reader"] or name in ("search.html", "genindex.html", "book/api.html",
                                   "book/api/model.html"):
        await page.evaluate(STILL)
        await page.evaluate(axe)
        found["axe"] = await page.evaluate(RUN_AXE, {"exclude": [["pre"]]})
        if name in AXE_DARK:
            await page.emulate_media(color_scheme="dark")
            await page.reload()
            await page.evaluate(READY)
            await page.evaluate(STILL)  # the search button fades from one theme to the other
            await page.evaluate(axe)
            found["dark"] = await page.evaluate("document.documentElement.dataset.theme")
            found["axe"] += await page.evaluate(RUN_AXE, None)
        found["astray"] = await page.evaluate(FIGURES)
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.evaluate(STILL)
    found["width"] = await page.evaluate("document.documentElement.scrollWidth")
    found["scrolls"] = await page.evaluate(WIDE)
    found["broken"] = await page.evaluate(BROKEN) if found["reader"] else []
    return found


async def crawl(address: str) -> dict[str, dict]:
    axe = (Path(base.__file__).parent / "axe.min.js").read_text()
    waiting, seen = list(PAGES), {}

    async def work(context):
        while waiting:
            name = waiting.pop(0)
            page = await context.new_page()
            await page.set_viewport_size({"width": 1280, "height": 900})
            seen[name] = await visit(page, address, name, axe)
            await page.close()

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(**LAUNCH)
        contexts = [await browser.new_context(color_scheme="light") for _ in range(3)]
        await asyncio.gather(*map(work, contexts))
        await browser.close()
    return seen


@pytest.fixture(scope="module")
def seen(address):
    return asyncio.run(crawl(address))


def faults(seen, what, keep=bool):
    """`{page: its faults}` of those pages that have some."""
    return {name: [x for x in found.get(what, []) if keep(x)] for name, found in seen.items()
            if any(map(keep, found.get(what, [])))}


@pytest.mark.parametrize("what", [
    "faults",  # errors of the page's scripts, and files that are not there
    "off",     # requests to elsewhere
    "images",  # pictures that do not show
    "alts",    # pictures that do not say what they show
    "cut",     # on a desktop
    "astray",  # moving figures that do not react or pause
    "broken",  # on a phone, words and numbers of tables that are cut in two
])
def test_no_page_has_a_fault_of_a_kind(seen, what):
    assert not faults(seen, what)


def test_links_and_anchors_lead_somewhere(seen, address):
    broken = defaultdict(list)
    for name, found in seen.items():
        for link in found["links"]:
            path, _, anchor = link.removeprefix(address).partition("#")
            path = path.partition("?")[0] or "index.html"
            if not link.startswith(address) or path == "index.html":
                continue
            if path in seen:
                there = not anchor or anchor in seen[path]["ids"]
            else:
                there = (HTML / path).is_file() and (
                    not anchor or f'id="{anchor}"' in (HTML / path).read_text())
            if not there:
                broken[name].append(link)
    assert not broken


def test_formulas_are_typeset(seen):
    assert sum(found["formulas"] for found in seen.values()) > 200
    for name, found in seen.items():
        assert found["typeset"] >= found["formulas"] and not found["failed"], name


def test_a_phone_scrolls_only_what_says_so(seen):
    assert not {name: found["width"] for name, found in seen.items() if found["width"] > 390}
    assert not faults(seen, "scrolls", lambda wide: wide[2] < 0 or not wide[4])


def test_axe_finds_nothing_serious(seen):
    assert sum("axe" in found for found in seen.values()) > 30
    assert all(seen[name]["dark"] == "dark" for name in AXE_DARK)
    assert not faults(seen, "axe")


def test_pages_stay_light(seen):
    weights = {name: found["weight"] / 1e6 for name, found in seen.items() if found["reader"]}
    assert statistics.median(weights.values()) <= 3, weights


def test_a_race_counts_when_its_last_place_is_taken(page, address):
    page.emulate_media(reduced_motion="reduce")  # it waits in the middle of its first race
    page.goto(address + "notebooks/04_masking.html")
    race = page.locator("[data-figure=race]")
    told = [race.get_attribute("data-races")]
    for seconds in ("80", "100", "30"):
        race.get_by_label("Time").fill(seconds)
        told.append(race.get_attribute("data-races"))
    race.get_by_role("button", name="Run 1,000 races").click()
    assert [*told, race.get_attribute("data-races")] == ["0", "0", "1", "1", "1001"]
    assert race.locator(".sj-joint.hollow").count() == 8  # how the last of them ended


def test_figures_rest_where_motion_is_not_wanted(page, address):
    page.emulate_media(reduced_motion="reduce")
    page.goto(address + "notebooks/01_idea.html")
    states = page.eval_on_selector_all("article [data-figure]",
                                       "all => all.map(figure => figure.dataset.state)")
    assert states and "playing" not in states


def test_search_finds(page, address):
    for words in ("centring", "Gumbel", "Kinder-Gator"):
        page.goto(f"{address}search.html?q={words}")
        page.wait_for_selector("#search-results li a")
    page.goto(address + "book/index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("mask token")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")


def test_the_keyboard_shows_where_it_is(page, address):
    page.goto(address + "notebooks/04_masking.html")
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate("""() => { const now = getComputedStyle(document.activeElement);
            return now.outlineStyle != 'none' && parseFloat(now.outlineWidth) >= 2 }""")


def test_contents_at_the_right_follow(page, address):
    for name in ("02_skeletons", "15_what_holds_up"):
        page.goto(f"{address}notebooks/{name}.html")
        assert not page.evaluate(CONTENTS)


def test_the_whole_book_prints(page, address, tmp_path):
    """One page of all chapters, whose links stay inside and which nothing leaves at the side."""
    page.set_viewport_size({"width": 688, "height": 1000})  # A4 less its margins
    printed.gather(page, address)
    found = page.evaluate(FACTS)
    assert len(printed.readers_pages()) > 25 and found["typeset"] >= found["formulas"] > 200
    inner = page.eval_on_selector_all('article a[href^="#"]',
                                      "links => links.map(a => decodeURI(a.hash.slice(1)))")
    assert len(inner) > 100 and set(inner) <= set(found["ids"])
    assert not page.evaluate(WIDE)
    file = tmp_path / "book.pdf"
    page.pdf(path=file, format="A4", page_ranges="1-2")
    assert file.read_bytes().count(b"/Type /Page\n") == 2
