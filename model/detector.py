"""The airplane detector: backbone, neck and head, from leaf to whole."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from model.backbones import efficientnet_lite

OUTPUT_STRIDE = 8
# Objectness of an untrained detector: one cell in a hundred, about what training begins from.
_PRIOR = 0.01


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """What fixes a detector's layers, and so the names and shapes of its weights.

    Attributes:
        backbone: the network below; `efficientnet_lite0` is the one there is.
        channels: width of the neck and of the head.
    """

    backbone: str = "efficientnet_lite0"
    channels: int = 64

    def __post_init__(self) -> None:
        if self.backbone != "efficientnet_lite0":
            raise ValueError(f"backbone: expected efficientnet_lite0, got {self.backbone!r}")
        if self.channels < 1:
            raise ValueError(f"channels: expected a positive number, got {self.channels}")


def build(config: DetectorConfig) -> keras.Model:
    """Builds the detector with random weights.

    Returns:
        A model from pixels (B, H, W, 3), 0..255, H and W multiples of 32, to raw cells (B, H/8, W/8, 5): the logit
        of objectness, and the logarithms of the distances from the cell's centre to the box's left, top, right and
        bottom sides, in cells.
    """
    pixels = keras.Input((None, None, 3), name="pixels")
    found = efficientnet_lite.features(layers.Rescaling(1 / 128, offset=-127 / 128, name="scaled")(pixels))
    x = _top_down(found, config.channels)
    for number in range(2):
        x = _conv(x, config.channels, 3, f"head_{number}")
    cells = layers.Conv2D(5, 1, bias_initializer=_first_bias, name="cells")(x)
    return keras.Model(pixels, cells, name="detector")


def _first_bias(shape: tuple[int, ...], dtype: str | None = None) -> Any:  # noqa: ARG001  # the form Keras asks for
    """Rare airplanes, of boxes some five cells wide: what an untrained detector says."""
    return keras.ops.convert_to_tensor([np.log(_PRIOR / (1 - _PRIOR)), 1.0, 1.0, 1.0, 1.0], dtype)


def _top_down(found: dict[int, Any], channels: int) -> Any:
    """Adds the coarser features, enlarged, to the finer ones (FPN, arXiv:1612.03144, section 3)."""
    strides = sorted(found, reverse=True)
    x = _conv(found[strides[0]], channels, 1, f"lateral_{strides[0]}")
    for stride in strides[1:]:
        x = layers.UpSampling2D(2, name=f"enlarged_{stride}")(x)
        x = layers.Add(name=f"merged_{stride}")([x, _conv(found[stride], channels, 1, f"lateral_{stride}")])
    return x


def _conv(x: Any, channels: int, kernel: int, name: str) -> Any:
    x = layers.Conv2D(channels, kernel, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(epsilon=efficientnet_lite.BATCH_NORM_EPSILON, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
