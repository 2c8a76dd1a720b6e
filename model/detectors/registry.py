"""The kinds of detectors, and what each brings: so training, keeping and using one need not know which it is."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from model.detectors import normalization
from model.detectors.anchor_free import assignment, decode, losses
from model.detectors.anchor_free import network as detector
from model.detectors.anchor_free.network import DetectorConfig
from model.detectors.grid import assignment as grid_assignment
from model.detectors.grid import decode as grid_decode
from model.detectors.grid import losses as grid_losses
from model.detectors.grid import network as grid_detector
from model.detectors.grid.network import GridConfig

#: Makes targets (h, w, ...) of airplanes (N, 4), boxes to ignore (M, 4), and a picture's height and width in pixels.
Targets = Callable[[NDArray[np.float64], NDArray[np.float64], int, int], NDArray[np.float32]]

#: Makes boxes (B, h, w, ..., 4), pixels of the picture, and scores (B, h, w, ...), 0..1, of raw cells (B, h, w, ...).
Decode = Callable[[Any], tuple[Any, Any]]

#: Weights by name.
Weights = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a kind of detector brings.

    Attributes:
        build: the network as it is trained, from pixels (B, H, W, 3), 0..255, to raw cells, with random weights.
        build_folded: the same as it is used, which may have fewer layers.
        fold: makes weights of the latter of weights of the former; a KeyError names one that is missing.
        decode: of raw cells.
        targets: what its cells are to be taught.
        loss: of targets and raw cells, as `fit` takes it.
        parts: of the loss, by name, each a function of targets and raw cells.
    """

    build: Callable[[], keras.Model]
    build_folded: Callable[[], keras.Model]
    fold: Callable[[Weights], Weights]
    decode: Decode
    targets: Targets
    loss: Callable[[], keras.losses.Loss]
    parts: Mapping[str, Callable[[Any, Any], Any]]


def of(config: DetectorConfig | GridConfig) -> Architecture:
    """What the kind of detector that a config describes brings."""
    return _grid(config) if isinstance(config, GridConfig) else _anchor_free(config)


def _anchor_free(config: DetectorConfig) -> Architecture:
    return Architecture(
        build=functools.partial(detector.build, config),
        build_folded=functools.partial(detector.build, config, folded=True),
        fold=normalization.fold,
        decode=lambda cells: (decode.boxes(cells), decode.scores(cells)),
        targets=assignment.targets,
        loss=losses.DetectionLoss,
        parts={"objectness": losses.objectness_loss, "box": losses.box_loss},
    )


def _grid(config: GridConfig) -> Architecture:
    build = functools.partial(grid_detector.build, config)
    return Architecture(
        build=build,
        build_folded=build,
        fold=lambda weights: weights,
        decode=lambda cells: (grid_decode.boxes(cells, config), grid_decode.scores(cells)),
        targets=functools.partial(grid_assignment.targets, config=config),
        loss=functools.partial(grid_losses.GridLoss, config),
        parts=grid_losses.parts(config),
    )
