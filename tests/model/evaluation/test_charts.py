import math
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from model.common.charts import FIRST, SECOND, svg_chart
from model.evaluation import charts
from model.evaluation.figures import Curves, curves, figures
from model.evaluation.images import compare
from tests.model.evaluation.made_up import detections, drawn, subject

OF = curves([drawn(seed) for seed in range(6)])
FIGURES = figures([drawn(seed) for seed in range(6)], 0.3)
NOTHING = curves([compare(subject("a", np.zeros((0, 4))), detections(np.zeros((0, 4)), np.zeros(0)))])
Plot = Callable[[Axes, Curves], None]
PLOTS: list[Plot] = [
    charts.plot_precision_recall,
    lambda axes, some: charts.plot_reliability(axes, some.reliability),
    charts.plot_score_histogram,
    lambda axes, _: charts.plot_recall_by_size(axes, FIGURES.by_size_px, "px"),
    lambda axes, _: charts.plot_recall_by_size(axes, FIGURES.by_size_m, "m"),
]


def plotted(plot: Callable[[Axes], None]) -> Axes:
    axes = Figure().add_subplot()
    plot(axes)
    return axes


def rectangles(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def bars(axes: Axes, colour: str) -> list[float]:
    """The heights of the bars of a colour."""
    return [bar.get_height() for bar in rectangles(axes) if bar.get_facecolor() == to_rgba(colour)]


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("some", [OF, NOTHING])
def test_charts_stay_in_their_frame(plot: Plot, some: Curves) -> None:
    axes = plotted(lambda axes: plot(axes, some))
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for bar in rectangles(axes):
        assert left <= bar.get_x() <= bar.get_x() + bar.get_width() <= right + 1e-9
        assert bottom <= bar.get_y() <= bar.get_y() + bar.get_height() <= top + 1e-9
    for line in axes.lines:
        points = np.asarray(line.get_xydata())
        assert ((points >= (left, bottom)) & (points <= (right, top))).all()
    assert "nan" not in svg_chart("Chart", plot, some)


def test_precision_falls_from_left_to_right() -> None:
    axes = plotted(lambda axes: charts.plot_precision_recall(axes, OF))
    assert len(axes.lines) == 2
    for line in axes.lines:
        recall, precision = np.asarray(line.get_xydata()).T
        assert len(recall) == 101
        assert (np.diff(recall) > 0).all()
        assert (np.diff(precision) <= 0).all()


def test_a_bar_is_as_high_as_its_recall() -> None:
    axes = plotted(lambda axes: charts.plot_recall_by_size(axes, FIGURES.by_size_px, "px"))
    filled = [each for each in FIGURES.by_size_px if each.airplanes]
    assert bars(axes, FIRST) == pytest.approx([each.recall for each in filled])
    assert [text.get_text() for text in axes.texts] == [str(each.airplanes) for each in filled]


def test_every_bin_of_scores_has_its_bars() -> None:
    axes = plotted(lambda axes: charts.plot_score_histogram(axes, OF))
    assert bars(axes, FIRST) == pytest.approx([math.log1p(n) for n in OF.right if n])
    assert bars(axes, SECOND) == pytest.approx([math.log1p(n) for n in OF.wrong if n])


def test_bins_of_scores_show_the_share_of_airplanes() -> None:
    axes = plotted(lambda axes: charts.plot_reliability(axes, OF.reliability))
    assert bars(axes, FIRST) == pytest.approx(OF.reliability.shares[OF.reliability.counts > 0].tolist())
