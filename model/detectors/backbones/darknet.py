"""A backbone in the manner of Darknet (arXiv:1612.08242, table 6): a plain stack of 3x3 and 1x1 convolutions in turn.

What is given: the alternation, 10 and 17 layers, 2x2 max pooling, batch normalisation. What is not given is as in
Darknet-19: the first layer has 32 filters; every pooling doubles the depth of the 3x3 layers, from 64 on; a 1x1 layer
between them has half the depth of the one that follows.
"""

from typing import Any

from model.detectors.backbones.stacked import conv_norm_relu, min_layers, stack_modules

_STAGES = 4
MIN_LAYERS = min_layers(_STAGES)


def features(pixels: Any, layer_count: int, dropout: float = 0.0) -> Any:
    """Build the network without its last convolution.

    Args:
        pixels: Keras tensor (B, H, W, 3), H and W multiples of 16.
        layer_count: Of the whole network, from `MIN_LAYERS` on.
        dropout: Share of the channels dropped after each 3x3 layer but the first ones in training, 0..1.

    Returns:
        (B, H/16, W/16, 512).
    """
    x = conv_norm_relu(pixels, "first", 32, 3)
    return stack_modules(x, layer_count, _STAGES, lambda stage, _: 64 * 2**stage, _pair, dropout)


def _pair(x: Any, name: str, depth: int) -> Any:
    return conv_norm_relu(conv_norm_relu(x, f"{name}_narrow", depth // 2, 1), f"{name}_wide", depth, 3)
