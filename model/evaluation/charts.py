"""The charts of an evaluation, as inline SVG (see `model.evaluation.plot`)."""

import math
from collections.abc import Sequence

from model.evaluation.figures import CURVES, Curves, SizeBin
from model.evaluation.plot import plot
from model.evaluation.tables import number, span
from model.inference.calibration import Reliability

# Classes of the page's style, for the first curve and the second.
_SERIES = ("first", "second")


def precision_recall(of: Curves) -> str:
    """Precision against recall, a curve for each overlap in `CURVES`."""
    chart = plot("Precision against recall")
    chart.ticks_up()
    chart.ticks_across()
    chart.across("recall, and precision up")
    for place, (iou, kind) in enumerate(zip(CURVES, _SERIES, strict=True)):
        if iou in of.precision:
            curve = of.precision[iou]
            chart.path([(n / (len(curve) - 1), float(value)) for n, value in enumerate(curve)], kind)
            chart.line((0.04, 0.06 + 0.08 * place), (0.1, 0.06 + 0.08 * place), f"curve {kind}")
            chart.text((0.12, 0.06 + 0.08 * place), f"IoU {iou:g}: {number(float(curve.mean()))}", "start", 3.5)
    return chart.markup()


def reliability(of: Reliability) -> str:
    """Of the detections of a score, how many are airplanes; on the diagonal the score says what is true."""
    chart = plot("Reliability")
    chart.ticks_up()
    chart.ticks_across()
    chart.across("score, and share of airplanes up")
    for place, count in enumerate(of.counts):
        if count:
            share, score = float(of.shares[place]), float(of.scores[place])
            title = f"{count} detections, score {score:.3f}, {share:.3f} are airplanes"
            chart.bar(float(of.edges[place]), float(of.edges[place + 1]), share, "first", title)
    chart.line((0, 0), (1, 1), "diagonal")
    chart.text((0.03, 0.94), f"calibration error {number(of.error)}", "start")
    return chart.markup()


def _brief(count: int) -> str:
    return f"{count // 1000}k" if count >= 1000 else str(count)


def recall_by_size(of: Sequence[SizeBin], unit: str) -> str:
    """Recall in bins of size, with the number of airplanes above each."""
    chart = plot(f"Recall by size, {unit}")
    chart.ticks_up()
    chart.across(f"longer side, {unit}")
    for place, each in enumerate(of):
        middle, half = (place + 0.5) / len(of), 0.4 / len(of)
        chart.text((middle, 0), span(each), "middle", 14)
        if each.airplanes:
            title = f"{each.found} of {each.airplanes} airplanes of {span(each)} {unit}"
            chart.bar(middle - half, middle + half, each.recall, "first", title)
            chart.text((middle, each.recall), str(each.airplanes), "middle", -3)
    return chart.markup()


def score_histogram(of: Curves) -> str:
    """How many detections score what, right ones beside wrong ones; the height is the logarithm of their number."""
    chart = plot("Detections by score")
    top = math.log1p(max(1.0, float(of.right.max()), float(of.wrong.max())))
    for count in (10**power for power in range(8)):
        if math.log1p(count) <= top:
            chart.line((0, math.log1p(count) / top), (1, math.log1p(count) / top), "grid")
            chart.text((-0.02, math.log1p(count) / top), _brief(count), "end", 3.5)
    chart.ticks_across()
    chart.across("score, and detections up: right ones beside wrong ones")
    width = 1 / len(of.right)
    for place, low in enumerate(of.edges[:-1]):
        for counts, kind, start in ((of.right, "first", 0.05), (of.wrong, "second", 0.5)):
            left, count = float(low) + start * width, int(counts[place])
            if count:
                word = "right" if kind == "first" else "wrong"
                title = f"{count} {word} from {low:.2f} on"
                chart.bar(left, left + 0.45 * width, math.log1p(count) / top, kind, title)
    return chart.markup()
