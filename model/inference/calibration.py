"""What a score means: of the detections with score 0.8, about 80 % should be airplanes.

A detector's raw scores are mapped to probabilities by four parameters, fitted on detections whose truth is known. Three
are those of Kull, Silva Filho and Flach 2017, "Beta calibration"; the fourth is our own:

    ln(p / (1 - p)) = a ln(s) - b ln(1 - s) + c + d ln(side / 32 px),  a, b >= 0

The side is that of a square as large as the box, in pixels of the detector's input. A small box is much less often an
airplane than a large one with the same raw score. For boxes of one size the map is monotonic, so their order stays.
a = b = 1, c = d = 0 is the identity.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo.errors import ConfigError
from geo.types import FloatArray

# Scores are clipped this far from 0 and 1, for the logarithms; float32 can represent it on both sides.
_EPSILON = 1e-6
# Areas are clipped to this range, square pixels: the fit has few smaller or larger boxes.
_MIN_AREA, _MAX_AREA = 8.0**2, 128.0**2
_REFERENCE_AREA = 32.0**2


@dataclass(frozen=True, slots=True)
class Calibration:
    """The four parameters of the map.

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
        """Map raw scores to the probability that a detection is an airplane.

        Args:
            scores: raw, of any shape (...), 0..1.
            boxes: (..., 4) in pixels of the detector's input.
            ops: NumPy, or `keras.ops` to compute inside of a graph.

        Returns:
            Probabilities (...) of the same type, 0..1; for boxes of one size in the same order.
        """
        score_term, complement_term, constant, side_term = _features(scores, boxes, ops)
        log_odds = self.a * score_term + self.b * complement_term + self.c * constant + self.d * side_term
        return 1 / (1 + ops.exp(-log_odds))


def _features(scores: Any, boxes: Any, ops: Any) -> tuple[Any, Any, float, Any]:
    """Return the features that a, b, c and d weight."""
    clipped = ops.clip(scores, _EPSILON, 1 - _EPSILON)
    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return (
        ops.log(clipped),
        -ops.log(1 - clipped),
        1.0,
        ops.log(ops.clip(area, _MIN_AREA, _MAX_AREA) / _REFERENCE_AREA) / 2,
    )


def fit(scores: FloatArray, boxes: FloatArray, correct: NDArray[np.bool_]) -> Calibration:
    """Fit a calibration by maximum likelihood.

    Args:
        scores: (N,) raw, 0..1.
        boxes: (N, 4) in pixels of the detector's input.
        correct: (N,) whether each detection is an airplane.

    Raises:
        ConfigError: all detections are airplanes, or none is.
    """
    if correct.all() or not correct.any():
        raise ConfigError(
            f"expected right and wrong detections to calibrate scores on, got {int(correct.sum())} right ones "
            f"of {len(correct)}: choose more or larger sets"
        )
    features = np.stack(np.broadcast_arrays(*_features(scores, boxes, np)), axis=1)
    # a and b above 0, or the order of detections could be lost. d within what real data give: among few detections,
    # size alone may separate the right ones.
    bounds = [(1e-3, None), (1e-3, None), (None, None), (-4, 4)]
    initial, tolerances = (1.0, 1.0, 0.0, 0.0), {"ftol": 1e-14, "gtol": 1e-9}
    from scipy import optimize  # slow to import, and needed for fitting only

    result = optimize.minimize(_mean_loss, initial, (features, correct), jac=True, bounds=bounds, options=tolerances)
    return Calibration(*(round(float(value), 4) for value in result.x))


def _mean_loss(parameters: FloatArray, features: FloatArray, correct: NDArray[np.bool_]) -> tuple[float, FloatArray]:
    """Return the mean negative log-likelihood, and its gradient by a, b, c and d."""
    from scipy import special

    log_odds = features @ parameters
    loss = np.logaddexp(0, log_odds) - np.where(correct, log_odds, 0)
    return float(loss.mean()), np.asarray((special.expit(log_odds) - correct) @ features / len(correct))


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Scores and precision, in bins of equal width.

    Attributes:
        edges: (B + 1,) scores between the bins.
        counts: (B,) detections in each.
        scores: (B,) mean score; NaN without detections.
        shares: (B,) share of airplanes; NaN without detections.
    """

    edges: FloatArray
    counts: NDArray[np.int64]
    scores: FloatArray
    shares: FloatArray

    @property
    def error(self) -> float:
        """Expected calibration error; NaN without detections.

        ECE = sum over bins of n_b / n |share_b - score_b| (Naeini, Cooper and Hauskrecht 2015, "Obtaining well
        calibrated probabilities using Bayesian binning"), here over detections, not over images.
        """
        filled = self.counts > 0
        if not filled.any():
            return math.nan
        return float(np.average(np.abs(self.shares - self.scores)[filled], weights=self.counts[filled]))


def reliability(scores: FloatArray, correct: NDArray[np.bool_], bins: int, min_score: float) -> Reliability:
    """Compare scores with the truth.

    Args:
        scores: (N,) 0..1.
        correct: (N,) whether each detection is an airplane.
        bins: number of bins of equal width from 0 to 1.
        min_score: detections below it are left out: there are very many of them, and nobody uses them.
    """
    kept = scores >= min_score
    edges = np.linspace(0, 1, bins + 1)
    indices = np.clip(np.searchsorted(edges, scores[kept], side="right") - 1, 0, bins - 1)
    counts = np.bincount(indices, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = np.bincount(indices, scores[kept], bins) / counts
        shares = np.bincount(indices, correct[kept], bins) / counts
    return Reliability(edges, counts, means, shares)
