"""Raw cells of a perfect grid detector."""

import numpy as np
from numpy.typing import NDArray

from model.detectors.config import GridConfig
from model.detectors.grid.losses import PLANE, POSITION, SIZE

# tanh and the logistic function reach their bounds nowhere, but in float32 they come as near as this.
_BOUND = 1 - 1e-7


def perfect_cells(target: NDArray[np.float32], config: GridConfig, logit: float = 20.0) -> NDArray[np.float32]:
    """Return the raw cells of a target (..., boxes, 5), by the docstring of `model.detectors.grid.network.build`."""
    plane = target[..., PLANE] > 0
    cells = np.zeros((*target.shape[:-1], 5))
    cells[..., :2] = np.arctanh(np.clip(target[..., POSITION] / config.cell_grow, -_BOUND, _BOUND))
    size = np.clip(target[..., SIZE].astype(float), 1 - _BOUND, _BOUND)
    cells[..., 2] = np.where(plane, np.log(size / (1 - size)), 0)
    cells[..., 3], cells[..., 4] = np.where(plane, -logit / 2, logit / 2), np.where(plane, logit / 2, -logit / 2)
    return cells.astype(np.float32)
