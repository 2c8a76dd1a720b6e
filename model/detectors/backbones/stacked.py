"""What the plain backbones share: convolutions that are normalised, in stages with max pooling between them.

Depth is counted in convolutions, as their descriptions do, one after the other: the first, modules of two each, and the
last, which is the head's (see `model.detectors.grid.network`). An odd number has one plain 3x3 convolution more,
after the first. Nothing is ever folded (see `model.detectors.normalization`): names of normalisations do not end as
that looks for.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import layers

# Input pixels to a feature, whatever the depth: 16 x 16 features of a tile of 256 px.
FEATURE_STRIDE = 16
MOMENTUM = 0.993


def convolved(x: Any, name: str, filters: int, kernel: int, strides: int = 1) -> Any:
    """Convolves, normalises (without a scale: what comes after rectifying takes up any) and rectifies."""
    x = layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(scale=False, momentum=MOMENTUM, name=f"{name}_normalised")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def least_layers(stages: int) -> int:
    """How many layers give each of these stages a module."""
    return 2 + 2 * stages


def body(
    x: Any,
    layer_count: int,
    stages: int,
    depth: Callable[[int, int], int],
    module: Callable[[Any, str, int], Any],
    dropout: float,
) -> Any:
    """Stacks everything between the first convolution and the last.

    Args:
        x: Keras tensor, what the first convolution gives.
        layer_count: of the whole network, see above; at least `least_layers(stages)`.
        stages: each begins with 2x2 max pooling. They share the modules evenly; what is left over goes to the first.
        depth: channels that a module gives, by the number of its stage and its own, both from 0.
        module: two layers: (Keras tensor, name, depth) to Keras tensor.
        dropout: share of the channels that are dropped after each module in training (spatial dropout), 0..1.
    """
    shares = np.array_split(np.arange((layer_count - 2) // 2), stages)
    for stage, numbers in enumerate(shares):
        x = layers.MaxPooling2D(2, name=f"pool_{stage}")(x)
        if stage == 0 and layer_count % 2:
            x = convolved(x, "second", depth(0, 0), 3)
        for number in numbers.tolist():
            x = module(x, f"module_{number}", depth(stage, number))
            x = layers.SpatialDropout2D(dropout, name=f"dropout_{number}")(x) if dropout else x
    return x
