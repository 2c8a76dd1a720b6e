"""The kinds of detectors, and the parts of each: the only module that tells them apart."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from model.detectors import anchor_free, backbones, grid
from model.detectors.config import DetectorConfig, GridConfig

#: Encodes airplanes (N, 4), boxes to ignore (M, 4), and an image's height and width in pixels as targets (h, w, ...).
Targets = Callable[[NDArray[np.float64], NDArray[np.float64], int, int], NDArray[np.float32]]

#: Decodes raw cells (B, h, w, ...) to boxes (B, h, w, ..., 4) in pixels of the image, and scores (B, h, w, ...), 0..1.
Decode = Callable[[Any], tuple[Any, Any]]

#: Weights by path.
Weights = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class DetectorKind:
    """The parts of a kind of detector.

    Attributes:
        build: builds the network for training, with random weights: pixels (B, H, W, 3), 0..255, to raw cells.
        build_folded: builds the same network for inference, which may have fewer layers.
        fold: converts the weights of the former into those of the latter; a KeyError names one that is missing.
        decode: decodes raw cells.
        targets: encodes the truth.
        loss: makes the loss of targets and raw cells for `fit`.
        loss_parts: the terms of the loss by name, each a function of targets and raw cells.
    """

    build: Callable[[], keras.Model]
    build_folded: Callable[[], keras.Model]
    fold: Callable[[Weights], Weights]
    decode: Decode
    targets: Targets
    loss: Callable[[], keras.losses.Loss]
    loss_parts: Mapping[str, Callable[[Any, Any], Any]]


def get(config: DetectorConfig | GridConfig) -> DetectorKind:
    """Return the parts of the detector that a config describes."""
    return _grid(config) if isinstance(config, GridConfig) else _anchor_free(config)


def _anchor_free(config: DetectorConfig) -> DetectorKind:
    return DetectorKind(
        build=functools.partial(anchor_free.network.build, config),
        build_folded=functools.partial(anchor_free.network.build, config, folded=True),
        fold=backbones.fold,
        decode=lambda cells: (anchor_free.network.decode_boxes(cells), anchor_free.network.decode_scores(cells)),
        targets=anchor_free.losses.targets,
        loss=anchor_free.losses.DetectionLoss,
        loss_parts={"objectness": anchor_free.losses.objectness_loss, "box": anchor_free.losses.box_loss},
    )


def _grid(config: GridConfig) -> DetectorKind:
    build = functools.partial(grid.network.build, config)
    return DetectorKind(
        build=build,
        build_folded=build,
        fold=lambda weights: weights,
        decode=lambda cells: (grid.network.decode_boxes(cells, config), grid.network.decode_scores(cells)),
        targets=functools.partial(grid.losses.targets, config=config),
        loss=functools.partial(grid.losses.GridLoss, config),
        loss_parts=grid.losses.parts(config),
    )
