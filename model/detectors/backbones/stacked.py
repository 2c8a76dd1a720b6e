"""The talk's backbones, on Darknet and on SqueezeNet: plain stacks of normalised convolutions, with max pooling.

Depth is the number of convolutions in a row: the first, modules of two each, and the last, which is the head's (see
`model.detectors.grid.network`). An odd number has one more plain 3x3 convolution after the first. Nothing is ever
folded: the names of normalisations lack the suffix that `model.detectors.normalization` looks for.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

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
        layer_count: convolutions of the whole network, see above; at least 2 + 2 * stages.
        stages: each begins with 2x2 max pooling. Modules are spread evenly, the first stages get the remainder.
        depth: output channels of a module, by the index of its stage and its own, both from 0.
        module: builds two layers: (Keras tensor, name, depth) to Keras tensor.
        dropout: share of the channels dropped after each module in training (spatial dropout), 0..1.
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


_DARKNET_STAGES = 4


def darknet_features(pixels: Any, layer_count: int, dropout: float = 0.0) -> Any:
    """Build a backbone in the manner of Darknet: 3x3 and 1x1 convolutions in turn, without the last convolution.

    The talk gives the alternation, 10 and 17 layers, 2x2 max pooling and batch normalisation. The rest is as in
    Darknet-19 (arXiv:1612.08242, table 6): the first layer has 32 filters; every pooling doubles the depth of the 3x3
    layers, from 64 on; a 1x1 layer between them has half the depth of the one that follows.

    Args:
        pixels: Keras tensor (B, H, W, 3), H and W multiples of 16.
        layer_count: convolutions of the whole network, at least 10.
        dropout: share of the channels dropped after each 3x3 layer but the first ones in training, 0..1.

    Returns:
        (B, H/16, W/16, 512).
    """
    x = conv_norm_relu(pixels, "first", 32, 3)
    return stack_modules(x, layer_count, _DARKNET_STAGES, lambda stage, _: 64 * 2**stage, _pair, dropout)


def _pair(x: Any, name: str, depth: int) -> Any:
    return conv_norm_relu(conv_norm_relu(x, f"{name}_narrow", depth // 2, 1), f"{name}_wide", depth, 3)


class _Start(NamedTuple):
    """The first layer, by how many channels the squeezes deepen, and the number of poolings after it."""

    filters: int
    kernel: int
    strides: int
    depth_step: int
    stages: int


_FAST = _Start(filters=32, kernel=6, strides=2, depth_step=5, stages=3)
_FINE = _Start(filters=128, kernel=3, strides=1, depth_step=8, stages=4)
_FINE_FROM = 17


def squeezenet_features(pixels: Any, layer_count: int, dropout: float = 0.0) -> Any:
    """Build a backbone in the manner of SqueezeNet, of fire modules, without the last convolution.

    A fire module squeezes by 1x1, then expands by 1x1 and 3x3 side by side, concatenated. The talk gives 2x2 max
    pooling, batch normalisation, and for 12 layers a first layer of 32 filters of 6x6 with stride 2 and a depth step of
    5, for 17 layers one of 128 filters of 3x3 and a depth step of 8. The rest is as in SqueezeNet 1.1
    (arXiv:1602.07360): pooling after the first layer and then after every second module; a squeeze of an eighth of the
    module's depth, and half of the depth from each expansion; each squeeze is deeper than the one before by a depth
    step, from one step on. Networks below 17 layers begin like the one of 12, all others like the one of 17.

    Args:
        pixels: Keras tensor (B, H, W, 3), H and W multiples of 16.
        layer_count: convolutions of the whole network, at least 8.
        dropout: share of the channels dropped after each fire module in training, 0..1.

    Returns:
        (B, H/16, W/16, channels); 200 channels of 12 layers, 448 of 17.
    """
    start = _FAST if layer_count < _FINE_FROM else _FINE
    x = conv_norm_relu(pixels, "first", start.filters, start.kernel, start.strides)
    return stack_modules(
        x, layer_count, start.stages, lambda _, number: 8 * start.depth_step * (number + 1), _fire, dropout
    )


def _fire(x: Any, name: str, depth: int) -> Any:
    x = conv_norm_relu(x, f"{name}_squeeze", depth // 8, 1)
    narrow = conv_norm_relu(x, f"{name}_expand_1", depth // 2, 1)
    wide = conv_norm_relu(x, f"{name}_expand_3", depth // 2, 3)
    return layers.Concatenate(name=f"{name}_expanded")([narrow, wide])
