"""The figures of a set of pictures."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from geo.types import FloatArray
from model.evaluation import metrics, tile_metrics
from model.evaluation.images import Picture
from model.evaluation.metrics import Outcomes
from model.inference.calibration import Reliability, reliability

# Longer sides of airplanes between which recall is counted: pixels of the picture, and metres.
SIZES_PX = (0, 8, 12, 16, 24, 32, 64, 128, math.inf)
SIZES_M = (0, 10, 15, 20, 30, 45, 60, math.inf)
# Calibration is measured in this many bins, over detections from this score on.
CALIBRATION_BINS = 15
CALIBRATION_LEAST = 0.05
_SCORE_BINS = 20
# Overlaps whose curves are kept.
CURVES = (0.5, 0.75)


@dataclass(frozen=True, slots=True)
class SizeBin:
    """Airplanes of `least` and more, below `below` (infinite in the last one), and how many of them are found."""

    least: float
    below: float
    airplanes: int
    found: int

    @property
    def recall(self) -> float:
        """Share of the airplanes that are found; NaN where there are none."""
        return self.found / self.airplanes if self.airplanes else math.nan


@dataclass(frozen=True, slots=True)
class Figures:
    """What is said of one set; numbers that make no sense for it are NaN.

    Attributes:
        pictures, airplanes: how many; airplanes cut by a picture's edge are not counted.
        ap50, ap75, ap: average precision at IoU 0.5, at 0.75, and its mean over 0.50, 0.55, ... 0.95.
        best_f1, best_f1_min_score: highest F1 at IoU 0.5 over all thresholds, and that threshold.
        precision, recall: at the threshold asked for, IoU 0.5.
        mean_recall: at that threshold, mean over IoU 0.50, 0.55, ... 0.95.
        false, false_per_picture: wrong detections at that threshold.
        background_km2: what the pictures show beside airplanes.
        false_elsewhere: wrong detections whose centre lies in no airplane's box, where the resolution is known.
        false_per_100km2: these for 100 km2 of background.
        tiles: into which the pictures are cut for the next two, see `model.evaluation.tile_metrics.cut`.
        tile_iou: how much of the ground told to be airplane, or that is one, is both; mean over tiles that have any.
        mistakes_per_tile: false, missed, or off in position or size by more than 30 %, at that threshold.
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
    """What is drawn of one set.

    Attributes:
        precision: at the recalls 0, 0.01, ... 1 for each of `CURVES`; empty without airplanes.
        reliability: scores against shares of airplanes.
        edges: (B + 1,) of the histograms of scores.
        right: (B,) detections that are airplanes, by score.
        wrong: (B,) those that are not.
    """

    precision: dict[float, FloatArray]
    reliability: Reliability
    edges: FloatArray
    right: FloatArray
    wrong: FloatArray


def together(pictures: Sequence[Picture]) -> dict[float, Outcomes]:
    """The outcomes of all pictures, for each overlap."""
    return {iou: Outcomes.concatenate([each.compared.outcomes[iou] for each in pictures]) for iou in metrics.IOUS}


def figures(pictures: Sequence[Picture], min_score: float) -> Figures:
    """The figures of a set at a threshold."""
    of = together(pictures)
    loose = of[0.5]
    at = metrics.at_threshold(loose, min_score)
    best = metrics.best_f1(loose) if loose.truths and len(loose.scores) else None
    background_km2 = float(np.nansum([each.background_km2 for each in pictures]))
    elsewhere = sum(_false_elsewhere(each, min_score) for each in pictures)
    by_tile = tile_metrics.figures([tile for each in pictures for tile in each.tiles(min_score)])
    return Figures(
        pictures=loose.pictures,
        airplanes=loose.truths,
        ap50=metrics.average_precision(loose),
        ap75=metrics.average_precision(of[0.75]),
        ap=metrics.mean_average_precision(of),
        best_f1=best.f1 if best else math.nan,
        best_f1_min_score=best.min_score if best else math.nan,
        precision=at.precision if at.right + at.wrong else math.nan,
        recall=at.recall if loose.truths else math.nan,
        mean_recall=metrics.mean_recall(of, min_score),
        false=at.wrong,
        false_per_picture=at.wrong / loose.pictures if loose.pictures else math.nan,
        background_km2=background_km2,
        false_elsewhere=elsewhere,
        false_per_100km2=100 * elsewhere / background_km2 if background_km2 else math.nan,
        tiles=by_tile.tiles,
        tile_iou=by_tile.iou,
        mistakes_per_tile=by_tile.mistakes,
        calibration_error=_reliability(loose).error,
        by_size_px=_by_size([each.sizes_px for each in pictures], pictures, SIZES_PX, min_score),
        by_size_m=_by_size([each.sizes_m for each in pictures], pictures, SIZES_M, min_score),
    )


def curves(pictures: Sequence[Picture]) -> Curves:
    """What is drawn of a set."""
    of = together(pictures)
    loose = of[0.5]
    edges = np.linspace(0, 1, _SCORE_BINS + 1)
    return Curves(
        precision={iou: metrics.precision_at_recalls(of[iou]) for iou in CURVES if loose.truths},
        reliability=_reliability(loose),
        edges=edges,
        right=np.histogram(loose.scores[loose.correct], edges)[0].astype(np.float64),
        wrong=np.histogram(loose.scores[~loose.correct], edges)[0].astype(np.float64),
    )


def plain(of: Any) -> Any:
    """Figures or curves as JSON has them: dataclasses as mappings, arrays as lists, NaN and infinity as None."""
    if isinstance(of, SizeBin):
        return plain(asdict(of) | {"recall": of.recall})
    if isinstance(of, Figures | Curves | Reliability):
        return {name: plain(getattr(of, name)) for name in of.__slots__}
    if isinstance(of, dict):
        return {str(name): plain(value) for name, value in of.items()}
    if isinstance(of, tuple | list | np.ndarray):
        return [plain(each) for each in of]
    if isinstance(of, np.generic):
        return plain(of.item())
    return None if isinstance(of, float) and not math.isfinite(of) else of


def _reliability(of: Outcomes) -> Reliability:
    return reliability(of.scores, of.correct, CALIBRATION_BINS, CALIBRATION_LEAST)


def _false_elsewhere(picture: Picture, min_score: float) -> int:
    of = picture.compared.outcomes[0.5]
    known = picture.subject.photo.resolution_known
    return int((picture.elsewhere & ~of.correct & (of.scores >= min_score)).sum()) if known else 0


def _by_size(
    sizes: Sequence[FloatArray], pictures: Sequence[Picture], edges: Sequence[float], min_score: float
) -> tuple[SizeBin, ...]:
    all_sizes = np.concatenate([np.zeros(0), *sizes])
    found = np.concatenate([np.zeros(0), *(each.compared.found_at for each in pictures)]) >= min_score
    bins = []
    for least, below in itertools.pairwise(edges):
        chosen = (all_sizes >= least) & (all_sizes < below)
        bins.append(SizeBin(least, below, int(chosen.sum()), int((chosen & found).sum())))
    return tuple(bins)
