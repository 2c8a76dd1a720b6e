"""Charts of an evaluation, to be drawn with `model.common.charts.svg_chart`."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator

from model.common.charts import FIRST, INK, SECOND, set_tooltip
from model.evaluation.figures import CURVES, Curves, SizeBin
from model.evaluation.tables import number, span
from model.inference.calibration import Reliability


def plot_precision_recall(axes: Axes, curves: Curves) -> None:
    """Plot precision over recall, one curve per IoU threshold in `CURVES`."""
    _unit_scale(axes, "recall", "precision")
    for iou, colour in zip(CURVES, (FIRST, SECOND), strict=True):
        if iou in curves.precision:
            precision = curves.precision[iou]
            recall = [k / (len(precision) - 1) for k in range(len(precision))]
            axes.plot(recall, precision, color=colour, label=f"IoU {iou:g}: {number(float(precision.mean()))}")
    if curves.precision:
        axes.legend(loc="lower left")


def plot_reliability(axes: Axes, reliability: Reliability) -> None:
    """Plot the share of airplanes among detections by score; perfectly calibrated scores lie on the diagonal."""
    _unit_scale(axes, "score", "share of airplanes")
    widths = reliability.edges[1:] - reliability.edges[:-1]
    for k in reliability.counts.nonzero()[0]:
        score, share = float(reliability.scores[k]), float(reliability.shares[k])
        tooltip = f"{reliability.counts[k]} detections, score {score:.3f}, {share:.3f} are airplanes"
        _bar(axes, float(reliability.edges[k]), float(widths[k]), share, FIRST, tooltip)
    axes.plot((0, 1), (0, 1), color=INK, linestyle="--", linewidth=1)
    axes.text(0.03, 0.94, f"calibration error {number(reliability.error)}")


def plot_recall_by_size(axes: Axes, bins: Sequence[SizeBin], unit: str) -> None:
    """Plot recall in bins of size, with the number of airplanes above each bar."""
    _unit_scale(axes, f"longer side, {unit}", "recall")
    axes.set_xlim(0, len(bins))
    axes.set_xticks([k + 0.5 for k in range(len(bins))], [span(size_bin) for size_bin in bins])
    for k, size_bin in enumerate(bins):
        if size_bin.airplanes:
            tooltip = f"{size_bin.found} of {size_bin.airplanes} airplanes of {span(size_bin)} {unit}"
            _bar(axes, k + 0.1, 0.8, size_bin.recall, FIRST, tooltip)
            axes.text(k + 0.5, size_bin.recall + 0.015, str(size_bin.airplanes), ha="center")


def plot_score_histogram(axes: Axes, curves: Curves) -> None:
    """Plot the number of right and wrong detections by score, on a logarithmic scale of n + 1."""
    _unit_scale(axes, "score; right detections beside wrong ones", "detections")
    top = math.log1p(max(1.0, float(curves.right.max()), float(curves.wrong.max())))
    axes.set_ylim(0, top)
    ticks = [10**power for power in range(8) if math.log1p(10**power) <= top]
    axes.set_yticks([math.log1p(n) for n in ticks], [f"{n // 1000}k" if n >= 1000 else str(n) for n in ticks])
    width = 1 / len(curves.right)
    for counts, colour, word, offset in ((curves.right, FIRST, "right", 0.05), (curves.wrong, SECOND, "wrong", 0.5)):
        for k in counts.nonzero()[0]:
            low, count = float(curves.edges[k]), int(counts[k])
            tooltip = f"{count} {word} from {low:.2f} on"
            _bar(axes, low + offset * width, 0.45 * width, math.log1p(count), colour, tooltip)


def _unit_scale(axes: Axes, xlabel: str, ylabel: str) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=xlabel, ylabel=ylabel)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(0.25))
        axis.set_major_formatter("{x:g}")


def _bar(axes: Axes, left: float, width: float, height: float, colour: str, tooltip: str) -> None:
    (bar,) = axes.bar(left, height, width, align="edge", color=colour)
    set_tooltip(bar, tooltip)
