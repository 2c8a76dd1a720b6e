"""Charts as inline SVG, for a page that opens without a network. Colours and type come from the page's style.

What they return is markup, with every word escaped.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from model.calibration import Reliability
from model.evaluation.figures import CURVES, Curves, SizeBin
from model.evaluation.tables import number, span

WIDTH, HEIGHT = 340, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 8, 14, 34
_TICKS = (0, 0.25, 0.5, 0.75, 1)
# Classes of the page's style, for the first curve and the second.
_SERIES = ("first", "second")


@dataclass(frozen=True, slots=True)
class _Plot:
    """A chart in the making: both axes go from 0 to 1."""

    svg: Element

    @staticmethod
    def x(value: float) -> str:
        return f"{_LEFT + value * (WIDTH - _LEFT - _RIGHT):.1f}"

    @staticmethod
    def y(value: float) -> str:
        return f"{HEIGHT - _BOTTOM - value * (HEIGHT - _TOP - _BOTTOM):.1f}"

    def line(self, start: tuple[float, float], end: tuple[float, float], kind: str) -> None:
        (x1, y1), (x2, y2) = start, end
        ends = {"x1": self.x(x1), "y1": self.y(y1), "x2": self.x(x2), "y2": self.y(y2)}
        SubElement(self.svg, "line", ends | {"class": kind})

    def text(self, at: tuple[float, float], words: str, anchor: str, below: float = 0) -> None:
        place = {"x": self.x(at[0]), "y": f"{float(self.y(at[1])) + below:.1f}", "text-anchor": anchor}
        SubElement(self.svg, "text", place).text = words

    def path(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        places = " ".join(f"{self.x(x)},{self.y(y)}" for x, y in points)
        SubElement(self.svg, "polyline", {"points": places, "class": f"curve {kind}"})

    def bar(self, left: float, right: float, top: float, kind: str, title: str) -> None:
        """A bar from 0 up to `top`; the title shows where the pointer rests."""
        x, y = float(self.x(left)), float(self.y(top))
        size = {"width": f"{float(self.x(right)) - x:.1f}", "height": f"{float(self.y(0)) - y:.1f}"}
        place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "class": f"bar {kind}"}
        SubElement(SubElement(self.svg, "rect", place | size), "title").text = title

    def across(self, name: str) -> None:
        """Names the axis below."""
        self.text((0.5, 0), name, "middle", 30)

    def ticks_across(self) -> None:
        for tick in _TICKS:
            self.text((tick, 0), f"{tick:g}", "middle", 14)

    def ticks_up(self) -> None:
        for tick in _TICKS:
            self.line((0, tick), (1, tick), "grid")
            self.text((-0.02, tick), f"{tick:g}", "end", 3.5)

    def markup(self) -> str:
        return tostring(self.svg, encoding="unicode")


def _plot(title: str) -> _Plot:
    size = {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "class": "chart", "role": "img", "aria-label": title}
    return _Plot(Element("svg", size))


def precision_recall(of: Curves) -> str:
    """Precision against recall, a curve for each overlap in `CURVES`."""
    plot = _plot("Precision against recall")
    plot.ticks_up()
    plot.ticks_across()
    plot.across("recall, and precision up")
    for place, (iou, kind) in enumerate(zip(CURVES, _SERIES, strict=True)):
        if iou in of.precision:
            curve = of.precision[iou]
            plot.path([(n / (len(curve) - 1), float(value)) for n, value in enumerate(curve)], kind)
            plot.line((0.04, 0.06 + 0.08 * place), (0.1, 0.06 + 0.08 * place), f"curve {kind}")
            plot.text((0.12, 0.06 + 0.08 * place), f"IoU {iou:g}: {number(float(curve.mean()))}", "start", 3.5)
    return plot.markup()


def reliability(of: Reliability) -> str:
    """Of the detections of a score, how many are airplanes; on the diagonal the score says what is true."""
    plot = _plot("Reliability")
    plot.ticks_up()
    plot.ticks_across()
    plot.across("score, and share of airplanes up")
    for place, count in enumerate(of.counts):
        if count:
            share, score = float(of.shares[place]), float(of.scores[place])
            title = f"{count} detections, score {score:.3f}, {share:.3f} are airplanes"
            plot.bar(float(of.edges[place]), float(of.edges[place + 1]), share, "first", title)
    plot.line((0, 0), (1, 1), "diagonal")
    plot.text((0.03, 0.94), f"calibration error {number(of.error)}", "start")
    return plot.markup()


def _brief(count: int) -> str:
    return f"{count // 1000}k" if count >= 1000 else str(count)


def recall_by_size(of: Sequence[SizeBin], unit: str) -> str:
    """Recall in bins of size, with the number of airplanes above each."""
    plot = _plot(f"Recall by size, {unit}")
    plot.ticks_up()
    plot.across(f"longer side, {unit}")
    for place, each in enumerate(of):
        middle, half = (place + 0.5) / len(of), 0.4 / len(of)
        plot.text((middle, 0), span(each), "middle", 14)
        if each.airplanes:
            title = f"{each.found} of {each.airplanes} airplanes of {span(each)} {unit}"
            plot.bar(middle - half, middle + half, each.recall, "first", title)
            plot.text((middle, each.recall), str(each.airplanes), "middle", -3)
    return plot.markup()


def score_histogram(of: Curves) -> str:
    """How many detections score what, right ones beside wrong ones; the height is the logarithm of their number."""
    plot = _plot("Detections by score")
    top = math.log1p(max(1.0, float(of.right.max()), float(of.wrong.max())))
    for count in (10**power for power in range(8)):
        if math.log1p(count) <= top:
            plot.line((0, math.log1p(count) / top), (1, math.log1p(count) / top), "grid")
            plot.text((-0.02, math.log1p(count) / top), _brief(count), "end", 3.5)
    plot.ticks_across()
    plot.across("score, and detections up: right ones beside wrong ones")
    width = 1 / len(of.right)
    for place, low in enumerate(of.edges[:-1]):
        for counts, kind, start in ((of.right, "first", 0.05), (of.wrong, "second", 0.5)):
            left, count = float(low) + start * width, int(counts[place])
            if count:
                word = "right" if kind == "first" else "wrong"
                title = f"{count} {word} from {low:.2f} on"
                plot.bar(left, left + 0.45 * width, math.log1p(count) / top, kind, title)
    return plot.markup()
