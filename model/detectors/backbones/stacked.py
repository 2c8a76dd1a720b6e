"""The frame of the plain backbones: normalised convolutions, in stages with max pooling between them.

Depth is the number of convolutions in a row: the first, modules of two each, and the last, which is the head's (see
`model.detectors.grid.network`). An odd number has one more plain 3x3 convolution after the first. Nothing is ever
folded: the names of normalisations lack the suffix that `model.detectors.normalization` looks for.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import layers

# Input pixels per feature, whatever the depth: a tile of 256 px has 16 x 16 features.
FEATURE_STRIDE = 16
MOMENTUM = 0.993


def conv_norm_relu(x: Any, name: str, filters: int, kernel: int, strides: int = 1) -> Any:
    """Apply a convolution, batch normalisation (without a scale, which the next layer makes up for) and ReLU."""
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


def min_layers(stages: int) -> int:
    """Return the smallest number of layers that gives each stage a module."""
    return 2 + 2 * stages


def stack_modules(
    x: Any,
    layer_count: int,
    stages: int,
    depth: Callable[[int, int], int],
    module: Callable[[Any, str, int], Any],
    dropout: float,
) -> Any:
    """Stack everything between the first convolution and the last.

    Args:
        x: Keras tensor, the output of the first convolution.
        layer_count: Of the whole network, see above; at least `min_layers(stages)`.
        stages: Each begins with 2x2 max pooling. Modules are spread evenly, the first stages get the remainder.
        depth: Output channels of a module, by the index of its stage and its own, both from 0.
        module: Builds two layers: (Keras tensor, name, depth) to Keras tensor.
        dropout: Share of the channels dropped after each module in training (spatial dropout), 0..1.
    """
    numbers_by_stage = np.array_split(np.arange((layer_count - 2) // 2), stages)
    for stage, numbers in enumerate(numbers_by_stage):
        x = layers.MaxPooling2D(2, name=f"pool_{stage}")(x)
        if stage == 0 and layer_count % 2:
            x = conv_norm_relu(x, "second", depth(0, 0), 3)
        for number in numbers.tolist():
            x = module(x, f"module_{number}", depth(stage, number))
            x = layers.SpatialDropout2D(dropout, name=f"dropout_{number}")(x) if dropout else x
    return x
