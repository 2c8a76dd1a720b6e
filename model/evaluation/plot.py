"""What every chart is drawn with: inline SVG, for a page that opens without a network.

Colours and type come from the page's style. What comes out is markup, with every word escaped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

WIDTH, HEIGHT = 340, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 8, 14, 34

# Places on an axis, with what stands there.
Ticks = Sequence[tuple[float, str]]
SHARES: Ticks = tuple((tick, f"{tick:g}") for tick in (0, 0.25, 0.5, 0.75, 1))


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart in the making: both axes go from 0 to 1.

    A `kind` is a class of the page's style: `first` and `second` are the two colours.
    """

    svg: Element

    @staticmethod
    def x(value: float) -> str:
        """Pixels from the left."""
        return f"{_LEFT + value * (WIDTH - _LEFT - _RIGHT):.1f}"

    @staticmethod
    def y(value: float) -> str:
        """Pixels from the top."""
        return f"{HEIGHT - _BOTTOM - value * (HEIGHT - _TOP - _BOTTOM):.1f}"

    def line(self, start: tuple[float, float], end: tuple[float, float], kind: str) -> None:
        """A straight line."""
        (x1, y1), (x2, y2) = start, end
        ends = {"x1": self.x(x1), "y1": self.y(y1), "x2": self.x(x2), "y2": self.y(y2)}
        SubElement(self.svg, "line", ends | {"class": kind})

    def text(self, at: tuple[float, float], words: str, anchor: str, below: float = 0) -> None:
        """Words, so many pixels below their place."""
        place = {"x": self.x(at[0]), "y": f"{float(self.y(at[1])) + below:.1f}", "text-anchor": anchor}
        SubElement(self.svg, "text", place).text = words

    def path(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A line through points."""
        places = " ".join(f"{self.x(x)},{self.y(y)}" for x, y in points)
        SubElement(self.svg, "polyline", {"points": places, "class": f"curve {kind}"})

    def dot(self, at: tuple[float, float], kind: str, title: str) -> None:
        """A dot; the title shows where the pointer rests."""
        place = {"cx": self.x(at[0]), "cy": self.y(at[1]), "r": "3.5", "class": f"bar {kind}"}
        SubElement(SubElement(self.svg, "circle", place), "title").text = title

    def bar(self, left: float, right: float, top: float, kind: str, title: str, bottom: float = 0) -> None:
        """A bar from `bottom` up to `top`; the title shows where the pointer rests."""
        x, y = float(self.x(left)), float(self.y(top))
        size = {"width": f"{float(self.x(right)) - x:.1f}", "height": f"{float(self.y(bottom)) - y:.1f}"}
        place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "class": f"bar {kind}"}
        SubElement(SubElement(self.svg, "rect", place | size), "title").text = title

    def across(self, name: str) -> None:
        """Names the axis below."""
        self.text((0.5, 0), name, "middle", 30)

    def ticks_across(self, ticks: Ticks = SHARES) -> None:
        """What stands below."""
        for place, words in ticks:
            self.text((place, 0), words, "middle", 14)

    def ticks_up(self, ticks: Ticks = SHARES) -> None:
        """What stands on the left, with a line across for each."""
        for place, words in ticks:
            self.line((0, place), (1, place), "grid")
            self.text((-0.02, place), words, "end", 3.5)

    def markup(self) -> str:
        """The chart as it goes into a page."""
        return tostring(self.svg, encoding="unicode")


def plot(title: str) -> Plot:
    """An empty chart."""
    size = {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "class": "chart", "role": "img", "aria-label": title}
    return Plot(Element("svg", size))
