"""The result page: tables, charts, and crops of missed airplanes and false detections, in one HTML file.

It shows crops of the images of the data sets, whose licences may not allow it to be published.
"""

import base64
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator
from PIL import Image

from geo.grid import Level
from geo.raster.reader import RasterReader
from geo.types import FloatArray, ImageArray, Window
from model.common.charts import FIRST, INK, SECOND, set_tooltip, svg_chart
from model.common.pages import render_template
from model.evaluation.images import ComparedImage
from model.evaluation.measure import ALL_SETS, EvaluationResult
from model.evaluation.outlines import outline_tables
from model.evaluation.set_metrics import (
    CURVE_IOUS,
    Curves,
    SetMetrics,
    SizeBin,
    all_tables,
    compute_curves,
    compute_metrics,
    number,
    size_range,
)
from model.inference.calibration import Reliability

# Crops of each kind per set.
_CROPS = 16
# A crop is this many times as large as the box, at least this many pixels of the image, and stored with at most these.
_CROP_SCALE = 3.0
_MIN_CROP_PX = 72
_MAX_STORED_PX = 240
_QUALITY = 80


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A crop of an image with the boxes on it.

    Attributes:
        pixels: as a data URI.
        window: in pixels of the image.
        airplanes: (M, 4) annotated boxes in the window, in pixels of the image.
        detections: (N, 4) boxes of the detections in it above the threshold.
        box: (4,) the missed airplane or false detection.
        caption: the kind of mistake.
        location: name of the image, and position of the box.
    """

    pixels: str
    window: Window
    airplanes: FloatArray
    detections: FloatArray
    box: FloatArray
    caption: str
    location: str


@dataclass(frozen=True, slots=True, eq=False)
class _Section:
    """One set on the page: charts with their titles, and crops, which all sets together do not repeat."""

    name: str
    charts: list[tuple[str, str]]
    with_crops: bool
    misses: list[Crop]
    false_hits: list[Crop]


def render(result: EvaluationResult, split: str) -> str:
    """Return the HTML of the page.

    Raises:
        RasterError: an image can no longer be read.
    """
    metrics = {name: compute_metrics(images, result.min_score) for name, images in result.sets.items()}
    return render_template(
        Path(__file__).with_name("page.html"),
        styles=[Path(__file__).with_name("page.css")],
        model=result.model,
        split=split,
        min_score=f"{result.min_score:.3f}",
        tables=[*all_tables(metrics), *outline_tables(result.outlines, result.min_score)],
        sets=[_section(name, images, metrics[name], result.min_score) for name, images in result.sets.items()],
        boxes=crop_boxes,
    )


def _section(name: str, images: Sequence[ComparedImage], metrics: SetMetrics, min_score: float) -> _Section:
    shown = [] if name == ALL_SETS else images
    return _Section(
        name=name,
        charts=_charts(compute_curves(images), metrics),
        with_crops=name != ALL_SETS,
        misses=missed_crops(shown, min_score, _CROPS),
        false_hits=false_crops(shown, min_score, _CROPS),
    )


def _charts(curves: Curves, metrics: SetMetrics) -> list[tuple[str, str]]:
    """Draw the charts of a set; those about airplanes, or about metres, only where there are any."""
    charts = [
        ("Reliability", svg_chart("Reliability", plot_reliability, curves.reliability)),
        ("Scores", svg_chart("Detections by score", plot_score_histogram, curves)),
    ]
    if metrics.airplanes:
        precision_recall = svg_chart("Precision against recall", plot_precision_recall, curves)
        by_size = svg_chart("Recall by size, px", plot_recall_by_size, metrics.by_size_px, "px")
        charts = [("Precision and recall", precision_recall), *charts, ("Recall by size in the picture", by_size)]
    if any(size_bin.airplanes for size_bin in metrics.by_size_m):
        by_size = svg_chart("Recall by size, m", plot_recall_by_size, metrics.by_size_m, "m")
        charts.append(("Recall by size on the ground", by_size))
    return charts


def plot_precision_recall(axes: Axes, curves: Curves) -> None:
    """Plot precision over recall, one curve per IoU threshold in `CURVE_IOUS`."""
    _unit_scale(axes, "recall", "precision")
    for iou, colour in zip(CURVE_IOUS, (FIRST, SECOND), strict=True):
        if iou in curves.precision:
            precision = curves.precision[iou]
            label = f"IoU {iou:g}: {number(float(precision.mean()))}"
            axes.plot(np.linspace(0, 1, len(precision)), precision, color=colour, label=label)
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
    axes.set_xticks([k + 0.5 for k in range(len(bins))], [size_range(size_bin) for size_bin in bins])
    for k, size_bin in enumerate(bins):
        if size_bin.airplanes:
            tooltip = f"{size_bin.detected} of {size_bin.airplanes} airplanes of {size_range(size_bin)} {unit}"
            _bar(axes, k + 0.1, 0.8, size_bin.recall, FIRST, tooltip)
            axes.text(k + 0.5, size_bin.recall + 0.015, str(size_bin.airplanes), ha="center")


def plot_score_histogram(axes: Axes, curves: Curves) -> None:
    """Plot the number of correct and false detections by score, on a logarithmic scale of n + 1."""
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


def missed_crops(images: Sequence[ComparedImage], min_score: float, count: int) -> list[Crop]:
    """Cut out the largest and the smallest airplanes that are missed at a threshold, by falling size.

    Raises:
        RasterError: an image cannot be read.
    """
    missed = []
    for image in images:
        scores = image.comparison.airplane_scores
        for k in np.flatnonzero(~(scores >= min_score)):
            missed.append((float(image.sizes_px[k]), image, image.comparison.airplanes[k], float(scores[k])))
    missed.sort(key=lambda each: -each[0])
    chosen = missed if len(missed) <= count else missed[: count // 2] + missed[count // 2 - count :]
    return [
        _crop(image, box, f"{size:.0f} px, {_missed_caption(score)}", min_score) for size, image, box, score in chosen
    ]


def false_crops(images: Sequence[ComparedImage], min_score: float, count: int) -> list[Crop]:
    """Cut out the false detections of the highest scores; the captions mark those below the threshold.

    Raises:
        RasterError: an image cannot be read.
    """
    false = []
    for image in images:
        matches = image.comparison.matches[0.5]
        for k in np.flatnonzero(~matches.correct):
            false.append((float(matches.scores[k]), image, image.comparison.detections.boxes[k]))
    false.sort(key=lambda each: -each[0])
    return [
        _crop(image, box, f"score {score:.2f}{'' if score >= min_score else ', below the threshold'}", min_score)
        for score, image, box in false[:count]
    ]


def _missed_caption(score: float) -> str:
    return "not found" if math.isnan(score) else f"found at {score:.2f} alone"


def _crop(image: ComparedImage, box: FloatArray, caption: str, min_score: float) -> Crop:
    header = image.source.header
    window = _window(box, header.width, header.height)
    return Crop(
        pixels=_data_uri(_read_window(image, window)),
        window=window,
        airplanes=_within(image.source.image.boxes, window),
        detections=_within(image.detections(min_score).boxes, window),
        box=box,
        caption=caption,
        location=f"{image.source.image.path.name}, column {box[0]:.0f}, row {box[1]:.0f}",
    )


def _window(box: FloatArray, width: int, height: int) -> Window:
    """Return a square around the box, moved and cut to lie in the image."""
    side = math.ceil(max(_CROP_SCALE * float((box[2:] - box[:2]).max()), _MIN_CROP_PX))
    columns, rows = min(side, width), min(side, height)
    col = round(float(box[0] + box[2]) / 2 - columns / 2)
    row = round(float(box[1] + box[3]) / 2 - rows / 2)
    return Window(min(max(col, 0), width - columns), min(max(row, 0), height - rows), columns, rows)


def _within(boxes: FloatArray, window: Window) -> FloatArray:
    edges = np.array([window.right, window.bottom, window.col, window.row])
    return boxes[(boxes[:, :2] < edges[:2]).all(axis=1) & (boxes[:, 2:] > edges[2:]).all(axis=1)]


def _read_window(image: ComparedImage, window: Window) -> ImageArray:
    header = image.source.header
    full_resolution = Level(math.nan, header.width, header.height, 1.0, 1.0)
    with RasterReader(header.uri, header.radiometry) as reader:
        return reader.read_window(window, full_resolution)


def _data_uri(pixels: ImageArray) -> str:
    """Encode an image (H, W, 3) as a data URI, reduced to at most 240 px a side."""
    image = Image.fromarray(pixels)
    image.thumbnail((_MAX_STORED_PX, _MAX_STORED_PX))
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def crop_boxes(crop: Crop) -> Iterable[tuple[str, list[float]]]:
    """Yield the CSS class of each box on a crop, and its left, top, width and height in pixels of the image."""
    for kind, boxes in (("truth", crop.airplanes), ("found", crop.detections), ("about", crop.box[None])):
        for left, top, right, bottom in boxes.tolist():
            yield kind, [round(left, 2), round(top, 2), round(right - left, 2), round(bottom - top, 2)]
