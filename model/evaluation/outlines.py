"""Outlines of detections against annotated points: errors of heading, length and wingspan; overlap of rectangles."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS

from geo.boxes import match, match_pairs, score_order
from geo.errors import RasterError
from geo.georef import BaseGeoReference, GeoReference
from geo.outline import measure, rectangle
from geo.raster.header import SceneHeader
from geo.raster.reader import RasterReader
from geo.types import FloatArray
from model.data.sources import read_points
from model.evaluation import metrics
from model.evaluation.metrics import Matches
from model.evaluation.predictions import Predictions
from model.evaluation.set_metrics import Rows, number
from model.inference.outlines import Outline, measure_outlines

# Edges of the size classes: longer side of the annotated box, pixels of the image.
SIDES_PX = (0, 24, 48, math.inf)
IOUS = (0.5, 0.75)
# Overlap of a detection with the annotated box: a box around points is looser than the detector's.
_MIN_IOU = 0.4
# Detections below this score are not measured: they hardly change an average precision, and are many.
_MIN_SCORE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class OutlineErrors:
    """Errors of one measured airplane.

    Attributes:
        heading_deg: absolute, 0 to 180; NaN where the heading is unknown.
        length: relative to the true one, absolute.
        wingspan: likewise.
        ratios: (3,) errors of heading, length and wingspan in units of the expected ones; NaN where unknown.
    """

    heading_deg: float
    length: float
    wingspan: float
    ratios: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class ComparedOutlines:
    """The detections of one image against its annotated points.

    Attributes:
        matches: of rectangles, by IoU threshold; those of airplanes with hidden points are void.
        sides_px: (M,) longer sides of the annotated boxes of airplanes with four points.
        scores: (M,) of the detection of each; NaN if missed.
        errors: of each; None if missed or not measured.
    """

    matches: dict[float, Matches]
    sides_px: FloatArray
    scores: FloatArray
    errors: list[OutlineErrors | None]


@dataclass(frozen=True, slots=True)
class OutlineBin:
    """Errors of the detected airplanes of one size class; NaN where there are none.

    Attributes:
        min_side_px, max_side_px: the class, infinite in the last one.
        detected: airplanes that are detected.
        measured: those of them whose points are known.
        headings: those of them whose heading is known.
        reversed: those of them with nose and tail exchanged.
        heading_deg: median error of the others.
        length, wingspan: median relative errors.
        within_sd: share of the errors of all three kinds that are below the expected one.
    """

    min_side_px: float
    max_side_px: float
    detected: int
    measured: int
    headings: int
    reversed: int
    heading_deg: float
    length: float
    wingspan: float
    within_sd: float


@dataclass(frozen=True, slots=True)
class OutlineMetrics:
    """Metrics of the outlines of one set.

    Attributes:
        airplanes: annotated ones with four points that no edge cuts.
        ap50, ap75: average precision, the overlap being that of rectangles turned with the airplanes.
        by_side_px: errors by size.
    """

    airplanes: int
    ap50: float
    ap75: float
    by_side_px: tuple[OutlineBin, ...]


def compare_outlines(predictions: Predictions, keypoint_model: str) -> list[ComparedOutlines]:
    """Measure the detections of a set, and compare them with its points; empty if its labels have none.

    Args:
        predictions: the set's images and detections.
        keypoint_model: name or folder of the keypoint model.

    Raises:
        ConfigError: the points are damaged.
        WeightsError: there is no such model, or it is damaged.
        RasterError: an image cannot be read.
    """
    compared = []
    for image, detections in zip(predictions.images, predictions.detections, strict=True):
        annotated = read_points(image.image)
        if annotated is None:
            return []
        chosen = detections.take(detections.scores >= _MIN_SCORE)
        georef = _georeference(image.header)
        with RasterReader(image.header.uri, image.header.radiometry, image.header.version) as reader:
            measured = measure_outlines(reader, georef, chosen.boxes, keypoint_model)
        outlines: list[Outline | None] = []
        for outline in measured:
            if isinstance(outline, RasterError):
                raise outline
            outlines.append(outline)
        compared.append(_compare(chosen.boxes, chosen.scores, outlines, *annotated, image.header, georef))
    return compared


def _georeference(header: SceneHeader) -> BaseGeoReference:
    """Return the georeference of an image; one that has none is taken to lie north up in the middle of a UTM zone."""
    if header.georef is not None:
        return header.georef
    width, height = header.resolution_m
    return GeoReference(Affine(width, 0, 500_000, 0, -height, 5_000_000), CRS.from_epsg(32631))


def _compare(
    boxes: FloatArray,
    scores: FloatArray,
    outlines: Sequence[Outline | None],
    true_boxes: FloatArray,
    points: FloatArray,
    header: SceneHeader,
    georef: BaseGeoReference,
) -> ComparedOutlines:
    known = np.asarray(~np.isnan(points).any(axis=(1, 2)))
    void = metrics.touches_edge(true_boxes, header.width, header.height) | ~known
    at_edge = metrics.touches_edge(boxes, header.width, header.height)
    order = score_order(boxes, scores)
    shapes = _rectangles(boxes, [None if outline is None else outline.points for outline in outlines])
    true_shapes = _rectangles(
        true_boxes, [ends if is_known else None for ends, is_known in zip(points, known, strict=True)]
    )
    matches = _match_shapes(shapes, scores, order, true_shapes, void, at_edge)
    detection_of = {int(target): index for index, target in enumerate(match(boxes, scores, true_boxes, _MIN_IOU))}
    counted = np.flatnonzero(~void).tolist()
    detected_scores, errors = [], []
    for airplane in counted:
        index = detection_of.get(airplane)
        outline = None if index is None else outlines[index]
        detected_scores.append(math.nan if index is None else scores[index])
        errors.append(None if outline is None else _errors(outline, points[airplane], georef))
    sides = (true_boxes[counted, 2:] - true_boxes[counted, :2]).max(axis=1, initial=0)
    return ComparedOutlines(matches, sides, np.array(detected_scores, np.float64), errors)


def _rectangles(boxes: FloatArray, points: Sequence[FloatArray | None]) -> NDArray[np.object_]:
    """Return the polygon of each airplane: the rectangle around its points, or its box where they are not known."""
    upright = shapely.box(*boxes.T)
    shapes = [
        box if ends is None else shapely.Polygon(rectangle(ends)) for box, ends in zip(upright, points, strict=True)
    ]
    return np.array(shapes, dtype=object)


def _match_shapes(
    shapes: NDArray[np.object_],
    scores: FloatArray,
    order: NDArray[np.int64],
    true_shapes: NDArray[np.object_],
    void: NDArray[np.bool_],
    at_edge: NDArray[np.bool_],
) -> dict[float, Matches]:
    detection, target = shapely.STRtree(true_shapes).query(shapes)
    shared = shapely.area(shapely.intersection(shapes[detection], true_shapes[target]))
    areas, true_areas = shapely.area(shapes)[detection], shapely.area(true_shapes)[target]
    pairs = match_pairs(detection, target, shared / (areas + true_areas - shared), order, IOUS)
    void_overlap = np.zeros(len(shapes))
    np.maximum.at(void_overlap, detection, np.where(void[target], shared / np.minimum(areas, true_areas), 0.0))
    correct, counted = metrics.count_pairs(pairs, void, void_overlap, at_edge, IOUS)
    airplanes = int((~void).sum())
    return {iou: Matches(scores[counted[k]], correct[k][counted[k]], airplanes, 1) for k, iou in enumerate(IOUS)}


def _errors(outline: Outline, points: FloatArray, georef: BaseGeoReference) -> OutlineErrors:
    truth = measure(points, georef)
    heading = ratio = math.nan
    if outline.heading_deg is not None and outline.heading_sd_deg is not None:
        heading = abs((outline.heading_deg - truth.heading_deg + 180) % 360 - 180)
        ratio = heading / outline.heading_sd_deg
    length, wingspan = abs(outline.length_m - truth.length_m), abs(outline.wingspan_m - truth.wingspan_m)
    ratios = np.array([ratio, length / outline.length_sd_m, wingspan / outline.wingspan_sd_m])
    return OutlineErrors(heading, length / truth.length_m, wingspan / truth.wingspan_m, ratios)


def compute_outline_metrics(images: Sequence[ComparedOutlines], min_score: float) -> OutlineMetrics:
    """Compute the metrics of a set; errors are those of detections from a score on."""
    ap50, ap75 = (
        metrics.average_precision(Matches.concatenate([image.matches[iou] for image in images])) for iou in IOUS
    )
    rows = [
        (side, errors)
        for image in images
        for side, score, errors in zip(image.sides_px, image.scores, image.errors, strict=True)
        if score >= min_score
    ]
    bins = [
        _bin(low, high, [errors for side, errors in rows if low <= side < high])
        for low, high in itertools.pairwise(SIDES_PX)
    ]
    return OutlineMetrics(sum(len(image.sides_px) for image in images), ap50, ap75, tuple(bins))


def _bin(low: float, high: float, detected: Sequence[OutlineErrors | None]) -> OutlineBin:
    measured = [errors for errors in detected if errors is not None]
    headings = np.array([errors.heading_deg for errors in measured if not math.isnan(errors.heading_deg)])
    ratios = np.concatenate([np.zeros(0), *(errors.ratios for errors in measured)])
    ratios = ratios[~np.isnan(ratios)]
    return OutlineBin(
        min_side_px=low,
        max_side_px=high,
        detected=len(detected),
        measured=len(measured),
        headings=len(headings),
        reversed=int((headings > 90).sum()),
        heading_deg=_median(headings[headings <= 90]),
        length=_median([errors.length for errors in measured]),
        wingspan=_median([errors.wingspan for errors in measured]),
        within_sd=float((ratios < 1).mean()) if len(ratios) else math.nan,
    )


def _median(values: Sequence[float] | FloatArray) -> float:
    return float(np.median(values)) if len(values) else math.nan


def outline_tables(sets: Mapping[str, Sequence[ComparedOutlines]], min_score: float) -> list[Rows]:
    """Return the tables of sets whose labels have points: average precision of rectangles, and errors by size."""
    if not sets:
        return []
    precisions = [["rectangles", "planes", "AP50", "AP75"]]
    errors = [["outlines", "px", "detected", "measured", "heading", "reversed", "length", "wingspan", "within sd"]]
    for name, images in sets.items():
        row = compute_outline_metrics(images, min_score)
        precisions.append([name, str(row.airplanes), number(row.ap50), number(row.ap75)])
        for size in row.by_side_px:
            if size.detected:
                errors.append([name, *_cells(size)])
    return [precisions, errors]


def _cells(size: OutlineBin) -> list[str]:
    upper = "" if math.isinf(size.max_side_px) else f"{size.max_side_px:g}"
    return [
        f"{size.min_side_px:g}-{upper}",
        str(size.detected),
        str(size.measured),
        f"{number(size.heading_deg, 1)} deg",
        f"{size.reversed} of {size.headings}",
        f"{number(100 * size.length, 1)} %",
        f"{number(100 * size.wingspan, 1)} %",
        f"{number(100 * size.within_sd, 0)} %",
    ]
