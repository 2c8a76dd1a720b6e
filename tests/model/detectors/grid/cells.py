"""What a grid detector that knows the truth would say."""

import numpy as np
from numpy.typing import NDArray

from model.detectors.grid.assignment import PLANE, POSITION, SIZE
from model.detectors.grid.network import GridConfig

# tanh and the logistic function reach their bounds nowhere, but in float32 they come as near as this.
_NEARLY = 1 - 1e-7


def ideal(target: NDArray[np.float32], config: GridConfig, logit: float = 20.0) -> NDArray[np.float32]:
    """Raw cells that say a target (..., boxes, 5), written from the words of `model.detectors.grid.network.build`."""
    plane = target[..., PLANE] > 0
    cells = np.zeros((*target.shape[:-1], 5))
    cells[..., :2] = np.arctanh(np.clip(target[..., POSITION] / config.cell_grow, -_NEARLY, _NEARLY))
    size = np.clip(target[..., SIZE].astype(float), 1 - _NEARLY, _NEARLY)
    cells[..., 2] = np.where(plane, np.log(size / (1 - size)), 0)
    cells[..., 3], cells[..., 4] = np.where(plane, -logit / 2, logit / 2), np.where(plane, logit / 2, -logit / 2)
    return cells.astype(np.float32)
