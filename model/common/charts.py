"""Charts of the result pages: matplotlib figures as inline SVG in the colours of the page, light or dark."""

import io
import re
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_P = ParamSpec("_P")

# Size of the SVG's view box; the page scales it.
WIDTH_PX, HEIGHT_PX = 340, 240
# The colours to draw with, and the CSS variables of `page.css` that replace them in the markup.
FIRST, SECOND, INK, QUIET, LINE = "#0b63b5", "#c2571a", "#1b2127", "#56616b", "#d9dee3"
_CSS_VARIABLES = {FIRST: "first", SECOND: "second", INK: "ink", QUIET: "quiet", LINE: "line"}
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": LINE,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": QUIET,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 72,
    "figure.figsize": (WIDTH_PX / 72, HEIGHT_PX / 72),
    "figure.subplot.left": 48 / WIDTH_PX,
    "figure.subplot.right": 1 - 8 / WIDTH_PX,
    "figure.subplot.bottom": 36 / HEIGHT_PX,
    "figure.subplot.top": 1 - 16 / HEIGHT_PX,
    "font.size": 10,
    "grid.color": LINE,
    "legend.frameon": False,
    "lines.markersize": 7,
    "path.simplify": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "airplane-finder",
    "text.color": QUIET,
    "text.parse_math": False,
    "xtick.color": QUIET,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.color": QUIET,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_TOOLTIP = "tooltip: "


def svg_chart(label: str, draw: Callable[Concatenate[Axes, _P], None], *args: _P.args, **kwargs: _P.kwargs) -> str:
    """Return a chart as SVG markup for an HTML page, the same bytes for the same data.

    Args:
        label: the accessible name of the chart.
        draw: plots on empty axes, in the colours of this module.
        args: further arguments of `draw`.
        kwargs: further arguments of `draw`.
    """
    file = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure = Figure()
        draw(figure.add_subplot(), *args, **kwargs)
        figure.savefig(file, format="svg", transparent=True, metadata=_NO_METADATA)
    return _inline(file.getvalue().decode(), label)


def set_tooltip(artist: Artist, text: str) -> None:
    """Show a text where the pointer rests on an artist."""
    artist.set_gid(_TOOLTIP + text)


def _inline(document: str, label: str) -> str:
    """Turn matplotlib's SVG document into markup that inherits the fonts and colours of the page around it."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    svg = ElementTree.fromstring(document)  # noqa: S314  # written by matplotlib above
    svg.attrib = {"viewBox": svg.attrib["viewBox"], "class": "chart", "role": "img", "aria-label": label}
    for definitions in svg.findall(f"{{{_SVG}}}defs"):
        svg.remove(definitions)  # a style sheet, which would hold for the whole page
    for group in svg.iter(f"{{{_SVG}}}g"):
        name = group.attrib.pop("id", "")  # the same in every chart of the page
        if name.startswith(_TOOLTIP):
            title = ElementTree.Element(f"{{{_SVG}}}title")
            title.text = name.removeprefix(_TOOLTIP)
            group.insert(0, title)
    markup = ElementTree.tostring(svg, encoding="unicode")
    markup = re.sub(r' font-family: [^;"]*;| clip-path="[^"]*"| transform="rotate\(-0 [^"]*"', "", markup)
    return re.sub("|".join(_CSS_VARIABLES), lambda match: f"var(--{_CSS_VARIABLES[match[0]]})", markup)
