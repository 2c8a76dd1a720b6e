from collections.abc import Callable
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from model.evaluation import charts, plot
from model.evaluation.figures import Curves, curves, figures
from model.evaluation.images import compare
from tests.model.evaluation.made_up import detections, drawn, subject

OF = curves([drawn(seed) for seed in range(6)])
FIGURES = figures([drawn(seed) for seed in range(6)], 0.3)
NOTHING = curves([compare(subject("a", np.zeros((0, 4))), detections(np.zeros((0, 4)), np.zeros(0)))])
MADE: list[Callable[[Curves], str]] = [
    charts.precision_recall,
    lambda of: charts.reliability(of.reliability),
    charts.score_histogram,
    lambda _: charts.recall_by_size(FIGURES.by_size_px, "<px>"),
    lambda _: charts.recall_by_size(FIGURES.by_size_m, "m"),
]


def numbers(element: ElementTree.Element, *names: str) -> list[float]:
    return [float(element.attrib[name]) for name in names]


@pytest.mark.parametrize("make", MADE)
@pytest.mark.parametrize("of", [OF, NOTHING])
def test_charts_are_whole_and_stay_in_their_frame(make: Callable[[Curves], str], of: Curves) -> None:
    svg = ElementTree.fromstring(make(of))  # noqa: S314  # made by ourselves
    for bar in svg.iter("rect"):
        left, top, width, height = numbers(bar, "x", "y", "width", "height")
        assert min(left, top, width, height) >= 0
        assert left + width <= plot.WIDTH
        assert top + height <= plot.HEIGHT
    for text in svg.iter("text"):
        x, y = numbers(text, "x", "y")
        assert 0 <= x <= plot.WIDTH
        assert 0 <= y <= plot.HEIGHT
    assert "nan" not in make(of)


def test_precision_falls_from_left_to_right() -> None:
    svg = ElementTree.fromstring(charts.precision_recall(OF))  # noqa: S314
    curves_drawn = [line.attrib["points"].split() for line in svg.iter("polyline")]
    assert [len(points) for points in curves_drawn] == [101, 101]
    for points in curves_drawn:
        places = [tuple(map(float, point.split(","))) for point in points]
        for (x, y), (next_x, next_y) in pairwise(places):
            assert next_x > x
            assert next_y >= y  # down the page


def test_a_bar_is_as_high_as_its_share() -> None:
    svg = ElementTree.fromstring(charts.recall_by_size(FIGURES.by_size_px, "px"))  # noqa: S314
    full = plot.HEIGHT - 34 - 14
    heights = [numbers(bar, "height")[0] / full for bar in svg.iter("rect")]
    assert heights == pytest.approx([each.recall for each in FIGURES.by_size_px if each.airplanes], abs=0.002)


def test_every_bin_of_scores_has_its_bars() -> None:
    svg = ElementTree.fromstring(charts.score_histogram(OF))  # noqa: S314
    kinds = [bar.attrib["class"] for bar in svg.iter("rect")]
    assert kinds.count("bar first") == (OF.right > 0).sum()
    assert kinds.count("bar second") == (OF.wrong > 0).sum()


def test_words_are_escaped() -> None:
    assert "<px>" not in charts.recall_by_size(FIGURES.by_size_px, "<px>")
