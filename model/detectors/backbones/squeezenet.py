"""A backbone in the manner of SqueezeNet (arXiv:1602.07360), as the talk builds its detectors on it.

What is given: fire modules (squeeze 1x1, then expand 1x1 and 3x3 side by side, concatenated); 2x2 max pooling; batch
normalisation; of 12 layers the first has 32 filters of 6x6 with stride 2 and a depth step of 5, of 17 layers the first
has 128 filters of 3x3 and a depth step of 8. What is not given is as in SqueezeNet 1.1: pooling after the first layer
and then after every second module; a squeeze of an eighth of the module's depth, and half of the depth from each
expansion; the squeeze of each module is deeper by one depth step than that of the module before, from one step on.
Every depth below 17 begins as the 12 layers do, every other as the 17.
"""

from typing import Any, NamedTuple

from keras import layers

from model.detectors.backbones.stacked import conv_norm_relu, min_layers, stack_modules


class Start(NamedTuple):
    """The first layer, by how many channels the squeezes deepen, and the number of poolings after it."""

    filters: int
    kernel: int
    strides: int
    depth_step: int
    stages: int


_FAST = Start(filters=32, kernel=6, strides=2, depth_step=5, stages=3)
_FINE = Start(filters=128, kernel=3, strides=1, depth_step=8, stages=4)
_FINE_FROM = 17
MIN_LAYERS = min_layers(_FAST.stages)


def features(pixels: Any, layer_count: int, dropout: float = 0.0) -> Any:
    """Build the network without its last convolution.

    Args:
        pixels: Keras tensor (B, H, W, 3), H and W multiples of 16.
        layer_count: Of the whole network, from `MIN_LAYERS` on.
        dropout: Share of the channels dropped after each fire module in training, 0..1.

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
