"""Thresholds for tests."""

import numpy as np
from numpy.typing import ArrayLike


def in_a_gap(scores: ArrayLike, share: float = 0.5) -> float:
    """A threshold that about this share of the scores are below: in the middle of the widest gap around there.

    On a score, or close to one, the last digit of a sum would decide what is above it, and processors differ in that.
    """
    ranked = np.sort(np.asarray(scores, np.float64), axis=None)
    near = ranked[round((share - 0.15) * len(ranked)) : round((share + 0.15) * len(ranked)) + 1]
    widest = int(np.diff(near).argmax())
    return float(near[widest : widest + 2].mean())
