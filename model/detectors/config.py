"""Layers of the networks, as model folders and training configs describe them. Reading a config needs no Keras."""

from dataclasses import dataclass
from typing import Literal

#: Side of the tiles that the grid detector is made for; predicted sizes are shares of it, whatever the input.
TILE_PX = 256
#: The first and the last layer, and two for each of the 3 or 4 stages of a backbone.
MIN_LAYERS = {"squeezenet": 8, "darknet": 10}


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """The layers of the detector, and so the names and shapes of its weights.

    Attributes:
        kind: the kind of detector.
        backbone: the feature extractor; only `efficientnet_lite0`.
        channels: width of the neck and of the head.
    """

    kind: Literal["anchor_free"] = "anchor_free"
    backbone: str = "efficientnet_lite0"
    channels: int = 64

    def __post_init__(self) -> None:
        if self.backbone != "efficientnet_lite0":
            raise ValueError(f"backbone: expected efficientnet_lite0, got {self.backbone!r}")
        if self.channels < 1:
            raise ValueError(f"channels: expected a positive number, got {self.channels}")


@dataclass(frozen=True, slots=True)
class GridConfig:
    """The layers of the detector, and its training targets and loss.

    Attributes:
        kind: the kind of detector.
        backbone: the feature extractor.
        layers: convolutions from the first to the last; the talk has 12 and 17 of `squeezenet`, 10 and 17 of `darknet`.
        grid: cells on the side of a tile of 256 px; so a cell is 256 / grid px wide.
        boxes: boxes of a cell, its slots.
        cell_grow: how far a box's centre may be from that of its cell, in half cells, on each axis.
        assignment: which cells an airplane is assigned to, see `model.detectors.grid.losses`.
        spatial_dropout: share of channels dropped after each module of the backbone in training.
        loss_weights: weights of plane or not, position and size; their sum does not matter.
    """

    kind: Literal["grid"] = "grid"
    backbone: Literal["squeezenet", "darknet"] = "squeezenet"
    layers: int = 12
    grid: Literal[4, 8, 16] = 16
    boxes: Literal[1, 2, 4] = 2
    cell_grow: float = 1.3
    assignment: Literal["swarm", "plain"] = "swarm"
    spatial_dropout: float = 0.0
    loss_weights: tuple[float, float, float] = (1.0, 3.0, 30.0)

    def __post_init__(self) -> None:
        min_layers = MIN_LAYERS[self.backbone]
        if self.layers < min_layers:
            raise ValueError(f"layers: expected {min_layers} or more for {self.backbone}, got {self.layers}")
        if not 1 <= self.cell_grow < float("inf"):
            raise ValueError(f"cell_grow: expected a number from 1 on, lest cells leave gaps, got {self.cell_grow}")
        if not 0 <= self.spatial_dropout < 1:
            raise ValueError(f"spatial_dropout: expected a number from 0 on and below 1, got {self.spatial_dropout}")
        if not (min(self.loss_weights) >= 0 and 0 < sum(self.loss_weights) < float("inf")):
            raise ValueError(f"loss_weights: expected numbers from 0 on, not all 0, got {self.loss_weights}")

    @property
    def cell_px(self) -> int:
        """Side of a cell in pixels."""
        return TILE_PX // self.grid


def _check(dropout: float, l2: float) -> None:
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout: expected a number from 0 on and below 1, got {dropout}")
    if not l2 >= 0:
        raise ValueError(f"l2: expected a number from 0 on, got {l2}")


@dataclass(frozen=True, slots=True)
class DenseConfig:
    """Dense layers of 200, 20 and 2.

    Attributes:
        kind: `dense`.
        dropout: share of the 200 units dropped in training.
        l2: weight of the L2 penalty of kernels in the loss.
    """

    kind: Literal["dense"] = "dense"
    dropout: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        _check(self.dropout, self.l2)


@dataclass(frozen=True, slots=True)
class ConvConfig:
    """Three convolutions, of strides 1, 2 and 2, and dense layers of 80 and 2.

    Attributes:
        kind: `conv`.
        filters: sides of the filters: S 4, 3, 2; M 5, 4, 3; L 6, 5, 4.
        depth: channels of the first convolution; the second has twice as many, the third four times.
        batch_norm_momentum: momentum of the moving means of batch normalisation.
        dropout: share of the 80 units dropped in training.
        l2: weight of the L2 penalty of kernels in the loss.
    """

    kind: Literal["conv"] = "conv"
    filters: Literal["S", "M", "L"] = "M"
    depth: int = 16
    batch_norm_momentum: float = 0.99
    dropout: float = 0.3
    l2: float = 0.0

    def __post_init__(self) -> None:
        _check(self.dropout, self.l2)
        if self.depth < 1:
            raise ValueError(f"depth: expected a whole number from 1 on, got {self.depth}")
        if not 0 <= self.batch_norm_momentum < 1:
            raise ValueError(
                f"batch_norm_momentum: expected a number from 0 on and below 1, got {self.batch_norm_momentum}"
            )


ClassifierConfig = DenseConfig | ConvConfig
