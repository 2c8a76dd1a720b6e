"""What a score means: of the detections with score 0.8, about 80 % should be airplanes.

A detector's raw scores are put right by a map with four numbers, fitted on detections whose truth is known. Three are
those of Kull, Silva Filho and Flach 2017, "Beta calibration"; the fourth is our own:

    ln(p / (1 - p)) = a ln(s) - b ln(1 - s) + c + d ln(side / 32 px),  a, b >= 0

The side is that of a square as large as the box, in the pixels that the detector saw. A small spot that looks a little
like an airplane is much less often one than something large with the same raw score. For boxes of one size the map
rises everywhere, so their order stays as it is. a = b = 1, c = d = 0 leaves scores as they are.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from geo.errors import ConfigError
from geo.types import FloatArray

# Scores are kept this far from 0 and 1, where the logarithms end; in float32 there is room for it on both sides.
_EPSILON = 1e-6
# Boxes that are smaller or larger, square pixels, count as if they were this large: the fit knows few of them.
_LEAST_AREA, _MOST_AREA = 8.0**2, 128.0**2
_MIDDLE_AREA = 32.0**2


@dataclass(frozen=True, slots=True)
class Calibration:
    """The four numbers of the map.

    Attributes:
        a: weight of ln(s), 0 or more.
        b: weight of -ln(1 - s), 0 or more; a and b are not both 0.
        c: added to the log-odds.
        d: weight of the logarithm of the box's side.
    """

    a: float
    b: float
    c: float
    d: float = 0.0

    def __post_init__(self) -> None:
        numbers = self.a, self.b, self.c, self.d
        if not (all(map(math.isfinite, numbers)) and min(self.a, self.b) >= 0 < self.a + self.b):
            raise ValueError(
                "calibration: expected a and b of 0 or more, not both 0, and numbers c and d, "
                f"got {', '.join(map(str, numbers))}"
            )

    def apply(self, scores: Any, boxes: Any, ops: Any = np) -> Any:
        """Raw scores to the probability that a detection is an airplane.

        Args:
            scores: of any shape (...), 0..1.
            boxes: (..., 4) in the pixels that the detector saw.
            ops: where they live: NumPy, or `keras.ops` to make it a part of a graph.

        Returns:
            Probabilities (...) of the same type, 0..1; of boxes of one size in the same order.
        """
        from_score, from_complement, one, from_side = _features(scores, boxes, ops)
        log_odds = self.a * from_score + self.b * from_complement + self.c * one + self.d * from_side
        return 1 / (1 + ops.exp(-log_odds))


def _features(scores: Any, boxes: Any, ops: Any) -> tuple[Any, Any, float, Any]:
    """What a, b, c and d weigh."""
    kept = ops.clip(scores, _EPSILON, 1 - _EPSILON)
    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return ops.log(kept), -ops.log(1 - kept), 1.0, ops.log(ops.clip(area, _LEAST_AREA, _MOST_AREA) / _MIDDLE_AREA) / 2


def fit(scores: FloatArray, boxes: FloatArray, correct: NDArray[np.bool_]) -> Calibration:
    """The calibration under which what is known of these detections is the likeliest.

    Args:
        scores: (N,) raw, 0..1.
        boxes: (N, 4) in the pixels that the detector saw.
        correct: (N,) whether each is an airplane.

    Raises:
        ConfigError: all detections are airplanes, or none is, so that nothing can be learned.
    """
    if correct.all() or not correct.any():
        raise ConfigError(
            f"expected right and wrong detections to calibrate scores on, got {int(correct.sum())} right ones "
            f"of {len(correct)}: choose more or larger sets"
        )
    features = np.stack(np.broadcast_arrays(*_features(scores, boxes, np)), axis=1)
    # a and b a hair above 0: with both at 0 the order of detections would be lost. d no wilder than real data ask for:
    # among few detections, size alone may tell the right ones.
    bounds = [(1e-3, None), (1e-3, None), (None, None), (-4, 4)]
    first, exact = (1.0, 1.0, 0.0, 0.0), {"ftol": 1e-14, "gtol": 1e-9}
    found = optimize.minimize(_mean_loss, first, (features, correct), jac=True, bounds=bounds, options=exact)
    return Calibration(*(round(float(value), 4) for value in found.x))


def _mean_loss(numbers: FloatArray, features: FloatArray, correct: NDArray[np.bool_]) -> tuple[float, FloatArray]:
    """Mean negative log-likelihood, and its gradient by a, b, c and d."""
    log_odds = features @ numbers
    loss = np.logaddexp(0, log_odds) - np.where(correct, log_odds, 0)
    return float(loss.mean()), np.asarray((special.expit(log_odds) - correct) @ features / len(correct))


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """What scores say and what is true, in bins of equal width.

    Attributes:
        edges: (B + 1,) scores between the bins.
        counts: (B,) detections in each.
        scores: (B,) their mean score; NaN where there are none.
        shares: (B,) the share of them that are airplanes; NaN where there are none.
    """

    edges: FloatArray
    counts: NDArray[np.int64]
    scores: FloatArray
    shares: FloatArray

    @property
    def error(self) -> float:
        """The expected calibration error; NaN without detections.

        ECE = sum over bins of n_b / n |share_b - score_b| (Naeini, Cooper and Hauskrecht 2015, "Obtaining well
        calibrated probabilities using Bayesian binning"), here over detections, not over pictures.
        """
        filled = self.counts > 0
        if not filled.any():
            return math.nan
        return float(np.average(np.abs(self.shares - self.scores)[filled], weights=self.counts[filled]))


def reliability(scores: FloatArray, correct: NDArray[np.bool_], bins: int, least: float) -> Reliability:
    """Compares scores with what is true.

    Args:
        scores: (N,) 0..1.
        correct: (N,) whether each is an airplane.
        bins: bins of equal width from 0 to 1.
        least: detections below this score are left out: there are any number of them, and nobody looks at them.
    """
    kept = scores >= least
    edges = np.linspace(0, 1, bins + 1)
    places = np.clip(np.searchsorted(edges, scores[kept], side="right") - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = np.bincount(places, scores[kept], bins) / counts
        shares = np.bincount(places, correct[kept], bins) / counts
    return Reliability(edges, counts, means, shares)
