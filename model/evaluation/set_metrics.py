"""Metrics and curves of a set of images, and their tables as text for a terminal of 120 columns."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

import numpy as np

from geo.types import FloatArray
from model.evaluation import metrics
from model.evaluation.images import ComparedImage
from model.evaluation.metrics import TILE_PX, Matches
from model.inference.calibration import Reliability, reliability

# Edges of the bins of size in which recall is counted, by the longer side of an airplane's box.
SIZES_PX = (0, 8, 12, 16, 24, 32, 64, 128, math.inf)
SIZES_M = (0, 10, 15, 20, 30, 45, 60, math.inf)
# The calibration error uses this many bins, and detections from this score on.
CALIBRATION_BINS = 15
CALIBRATION_MIN_SCORE = 0.05
_SCORE_BINS = 20
# IoU thresholds of the precision-recall curves.
CURVE_IOUS = (0.5, 0.75)
# Rows of cells; the first row holds the column titles.
Rows = list[list[str]]


@dataclass(frozen=True, slots=True)
class SizeBin:
    """Airplanes of `min_size` to below `max_size` (infinite in the last bin), and how many of them are detected."""

    min_size: float
    max_size: float
    airplanes: int
    detected: int

    @property
    def recall(self) -> float:
        """Share of the airplanes that are detected; NaN where there are none."""
        return self.detected / self.airplanes if self.airplanes else math.nan


@dataclass(frozen=True, slots=True)
class SetMetrics:
    """Metrics of one set, under the names of the results file; NaN where one is undefined.

    Attributes:
        pictures, airplanes: number of images, and of airplanes that are not cut by an image's edge.
        ap50, ap75, ap: average precision at IoU 0.5, at 0.75, and its mean over IoU 0.50, 0.55, ... 0.95.
        best_f1, best_f1_min_score: highest F1 at IoU 0.5 over all score thresholds, and that threshold.
        suggested_min_score: threshold for imagery like this, see `model.evaluation.metrics.suggest_min_score`.
        precision, recall: at the given score threshold, IoU 0.5.
        mean_recall: at that threshold, mean over IoU 0.50, 0.55, ... 0.95.
        false, false_per_picture: false detections at that threshold.
        background_km2: ground area of the images without the boxes of their airplanes.
        false_elsewhere: false detections whose centre lies in no airplane's box, where the resolution is known.
        false_per_100km2: the same per 100 km2 of background.
        tiles: tiles of the two metrics below, see `model.evaluation.metrics.split_into_tiles`.
        tile_iou: mean of `model.evaluation.metrics.union_iou` over the tiles that have boxes.
        mistakes_per_tile: mean number of false, missed and imprecise airplanes at that threshold.
        calibration_error: see `model.inference.calibration.Reliability.error`.
        by_size_px, by_size_m: recall at the threshold by the longer side of an airplane's box.
    """

    pictures: int
    airplanes: int
    ap50: float
    ap75: float
    ap: float
    best_f1: float
    best_f1_min_score: float
    suggested_min_score: float
    precision: float
    recall: float
    mean_recall: float
    false: int
    false_per_picture: float
    background_km2: float
    false_elsewhere: int
    false_per_100km2: float
    tiles: int
    tile_iou: float
    mistakes_per_tile: float
    calibration_error: float
    by_size_px: tuple[SizeBin, ...]
    by_size_m: tuple[SizeBin, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Curves and histograms of one set, under the names of the results file.

    Attributes:
        precision: (101,) at the recalls 0, 0.01, ... 1, for each of `CURVE_IOUS`; empty without airplanes.
        reliability: share of airplanes by score.
        edges: (B + 1,) of the histograms of scores.
        right: (B,) correct detections by score.
        wrong: (B,) false detections by score.
    """

    precision: dict[float, FloatArray]
    reliability: Reliability
    edges: FloatArray
    right: FloatArray
    wrong: FloatArray


def concatenate_matches(images: Sequence[ComparedImage]) -> dict[float, Matches]:
    """Return the matches of all images together, by IoU threshold."""
    return {iou: Matches.concatenate([image.comparison.matches[iou] for image in images]) for iou in metrics.IOUS}


def compute_metrics(images: Sequence[ComparedImage], min_score: float) -> SetMetrics:
    """Compute the metrics of a set at a score threshold."""
    by_iou = concatenate_matches(images)
    matches = by_iou[0.5]
    at_min_score = metrics.at_threshold(matches, min_score)
    best = metrics.best_f1(matches) if matches.num_airplanes and len(matches.scores) else None
    background_km2 = float(np.nansum([image.background_km2 for image in images]))
    false_elsewhere = sum(_count_false_elsewhere(image, min_score) for image in images)
    by_tile = metrics.tile_metrics([tile for image in images for tile in image.tiles(min_score)])
    return SetMetrics(
        pictures=matches.num_images,
        airplanes=matches.num_airplanes,
        ap50=metrics.average_precision(matches),
        ap75=metrics.average_precision(by_iou[0.75]),
        ap=metrics.mean_average_precision(by_iou),
        best_f1=best.f1 if best else math.nan,
        best_f1_min_score=best.min_score if best else math.nan,
        suggested_min_score=metrics.suggest_min_score(matches, min_score),
        precision=at_min_score.precision if (matches.scores >= min_score).any() else math.nan,
        recall=at_min_score.recall if matches.num_airplanes else math.nan,
        mean_recall=metrics.mean_recall(by_iou, min_score),
        false=at_min_score.false_positives,
        false_per_picture=at_min_score.false_positives / matches.num_images if matches.num_images else math.nan,
        background_km2=background_km2,
        false_elsewhere=false_elsewhere,
        false_per_100km2=100 * false_elsewhere / background_km2 if background_km2 else math.nan,
        tiles=by_tile.tiles,
        tile_iou=by_tile.iou,
        mistakes_per_tile=by_tile.mistakes,
        calibration_error=_reliability(matches).error,
        by_size_px=_size_bins([image.sizes_px for image in images], images, SIZES_PX, min_score),
        by_size_m=_size_bins([image.sizes_m for image in images], images, SIZES_M, min_score),
    )


def compute_curves(images: Sequence[ComparedImage]) -> Curves:
    """Compute the curves of a set."""
    by_iou = concatenate_matches(images)
    matches = by_iou[0.5]
    edges = np.linspace(0, 1, _SCORE_BINS + 1)
    return Curves(
        precision={iou: metrics.precision_at_recalls(by_iou[iou]) for iou in CURVE_IOUS if matches.num_airplanes},
        reliability=_reliability(matches),
        edges=edges,
        right=np.histogram(matches.scores[matches.correct], edges)[0].astype(np.float64),
        wrong=np.histogram(matches.scores[~matches.correct], edges)[0].astype(np.float64),
    )


def to_json(value: Any) -> Any:
    """Convert metrics or curves to JSON values: dataclasses to mappings, arrays to lists, NaN and infinity to None."""
    if isinstance(value, SizeBin):
        names = {"least": value.min_size, "below": value.max_size, "airplanes": value.airplanes}
        return to_json(names | {"found": value.detected, "recall": value.recall})
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(name): to_json(each) for name, each in value.items()}
    if isinstance(value, tuple | list | np.ndarray):
        return [to_json(each) for each in value]
    if isinstance(value, np.generic):
        return to_json(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _reliability(matches: Matches) -> Reliability:
    return reliability(matches.scores, matches.correct, CALIBRATION_BINS, CALIBRATION_MIN_SCORE)


def _count_false_elsewhere(image: ComparedImage, min_score: float) -> int:
    matches = image.comparison.matches[0.5]
    known = image.source.image.resolution_known
    return int((image.on_background & ~matches.correct & (matches.scores >= min_score)).sum()) if known else 0


def _size_bins(
    sizes: Sequence[FloatArray], images: Sequence[ComparedImage], edges: Sequence[float], min_score: float
) -> tuple[SizeBin, ...]:
    all_sizes = np.concatenate([np.zeros(0), *sizes])
    scores = np.concatenate([np.zeros(0), *(image.comparison.airplane_scores for image in images)])
    bins = []
    for low, high in itertools.pairwise(edges):
        chosen = (all_sizes >= low) & (all_sizes < high)
        bins.append(SizeBin(low, high, int(chosen.sum()), int((chosen & (scores >= min_score)).sum())))
    return tuple(bins)


_NAME_WIDTH = 18
_Columns = Mapping[str, Callable[[SetMetrics], str]]
_MAIN: _Columns = {
    "pictures": lambda row: str(row.pictures),
    "planes": lambda row: str(row.airplanes),
    "AP50": lambda row: number(row.ap50),
    "AP75": lambda row: number(row.ap75),
    "AP": lambda row: number(row.ap),
    "best F1": lambda row: number(row.best_f1),
    "at": lambda row: number(row.best_f1_min_score),
    "prec.": lambda row: number(row.precision),
    "recall": lambda row: number(row.recall),
    "AR": lambda row: number(row.mean_recall),
    "false": lambda row: str(row.false),
    "a picture": lambda row: number(row.false_per_picture, 2),
    "ECE": lambda row: number(row.calibration_error),
}

_TILES: _Columns = {
    "tiles": lambda row: str(row.tiles),
    "IOU of detected and true ground": lambda row: number(row.tile_iou),
    "mistakes a tile": lambda row: number(row.mistakes_per_tile),
}

_BACKGROUND: _Columns = {
    "km2": lambda row: number(row.background_km2, 1),
    "false": lambda row: str(row.false_elsewhere),
    "per 100 km2": lambda row: number(row.false_per_100km2, 1),
}


def format_tables(sets: Mapping[str, SetMetrics]) -> str:
    """Return all tables as text."""
    return "\n\n".join(align(rows) for rows in all_tables(sets))


def all_tables(sets: Mapping[str, SetMetrics]) -> list[Rows]:
    """Return the main metrics, per-tile metrics, false detections on background, and recall by size in px and m.

    Tables that would be empty are left out.
    """
    background = {name: row for name, row in sets.items() if row.background_km2}
    tables = [
        _table("set", _MAIN, sets),
        _table(f"{TILE_PX} px tiles", _TILES, sets),
        _table("background", _BACKGROUND, background),
        _recall_table(sets, "px"),
        _recall_table(sets, "m"),
    ]
    return [rows for rows in tables if len(rows) > 1]


def _table(title: str, columns: _Columns, sets: Mapping[str, SetMetrics]) -> Rows:
    rows = [[_shorten(name), *(cell(row) for cell in columns.values())] for name, row in sets.items()]
    return [[title, *columns], *rows]


def _recall_table(sets: Mapping[str, SetMetrics], unit: Literal["px", "m"]) -> Rows:
    """Recall by the longer side of an airplane, for the sets that have airplanes of known size."""
    bins = {name: row.by_size_px if unit == "px" else row.by_size_m for name, row in sets.items()}
    titles = [f"{size_range(size_bin)} {unit}" for size_bin in next(iter(bins.values()))]
    known = {name: row for name, row in bins.items() if any(size_bin.airplanes for size_bin in row)}
    return [["recall (airplanes)", *titles], *([_shorten(name), *map(_recall, row)] for name, row in known.items())]


def number(value: float, digits: int = 3) -> str:
    """Format a number with this many decimals; NaN and infinity as a dash."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def size_range(size_bin: SizeBin) -> str:
    """Format the sizes of a bin."""
    if not size_bin.min_size:
        return f"<{size_bin.max_size:g}"
    unbounded = math.isinf(size_bin.max_size)
    return f">={size_bin.min_size:g}" if unbounded else f"{size_bin.min_size:g}-{size_bin.max_size:g}"


def align(rows: Rows) -> str:
    """Format rows as text, with all columns but the first aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def _shorten(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else f"..{name[2 - _NAME_WIDTH :]}"


def _recall(size_bin: SizeBin) -> str:
    return f"{size_bin.recall:.3f} ({size_bin.airplanes})" if size_bin.airplanes else "-"
