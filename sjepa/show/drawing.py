"""Drawings of boxes and arrows as SVG, readable at any width, on light pages and on dark ones."""

import html

from sjepa.show.plots import BLUE, GREY, ORANGE

#: Fill and line of a box. Its words are dark on light and dark pages alike.
INK = {"blue": ("#d3e8f6", BLUE), "orange": ("#fbe2d2", ORANGE), "grey": ("#eceff3", GREY)}


def words(x: float, y: float, text: str, size: float = 12, fill: str = "currentColor",
          anchor: str = "middle", weight: int = 400) -> str:
    """One line of text; `text` may hold SVG's own marks."""
    return (f'<text x="{x}" y="{y}" font-size="{size}" fill="{fill}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{text}</text>')


def box(x: float, y: float, ink: str, *lines: str, height: float = 44, width: float = 164) -> str:
    """A box in an `INK`, its middle at `x`, its top at `y`, with a title and smaller lines."""
    fill, line = INK[ink]
    title, *more = lines
    text = words(x, y + 19, title, 13, "#1f2937", weight=600) + "".join(
        words(x, y + 19 + 16 * k, said, fill="#1f2937") for k, said in enumerate(more, 1))
    return (f'<rect x="{x - width / 2}" y="{y}" width="{width}" height="{height}" rx="7" '
            f'fill="{fill}" stroke="{line}" stroke-width="1.5"/>{text}')


def arrow(path: str, dashed: bool = False) -> str:
    """An arrow along a path in SVG's letters, such as `M0 0 V20`."""
    dash = 'stroke-dasharray="4 3" ' if dashed else ""
    return (f'<path d="{path}" fill="none" stroke="currentColor" stroke-width="1.6" {dash}'
            'marker-end="url(#sj-head)"/>')


def drawing(parts: list[str], height: float, caption: str, width: float = 400) -> None:
    """Show `parts` over their caption; one unit is 1.25 pixels where the page is wide enough."""
    from IPython.display import HTML, display

    said = html.escape(caption)
    head = ('<defs><marker id="sj-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="currentColor"/>'
            '</marker></defs>')
    display(HTML(f'<figure class="sjepa-plot"><svg viewBox="0 0 {width} {height}" role="img" '
                 f'font-family="sans-serif" aria-label="{said}" style="display:block;width:100%;'
                 f'max-width:{1.25 * width:.0f}px;margin:auto">{head}{"".join(parts)}</svg>'
                 f'<figcaption aria-hidden="true">{said}</figcaption></figure>'))
