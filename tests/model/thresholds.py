"""Thresholds for tests."""

import numpy as np
from numpy.typing import ArrayLike


def in_a_gap(scores: ArrayLike, fraction: float = 0.5) -> float:
    """Return a threshold above about this fraction of the scores, in the middle of the widest gap near it.

    Close to a score, the last digits of a sum decide what is above it, and processors differ in these.
    """
    ranked = np.sort(np.asarray(scores, np.float64), axis=None)
    near = ranked[round((fraction - 0.15) * len(ranked)) : round((fraction + 0.15) * len(ranked)) + 1]
    widest = int(np.diff(near).argmax())
    return float(near[widest : widest + 2].mean())
