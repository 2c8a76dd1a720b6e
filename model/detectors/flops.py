"""FLOPs of a network."""

import keras
import numpy as np
from keras import layers


def count_flops(model: keras.Model, height: int, width: int) -> int:
    """Return the FLOPs of a model's convolutions on one image; a multiplication and an addition are two.

    Operations between the convolutions (additions, rectifiers) are not counted, as is the custom: a few per cent.

    Args:
        model: A network of convolutions, see `model.detectors.anchor_free.network.build`.
        height: Of the image, a multiple of the model's coarsest stride.
        width: Likewise.
    """
    if len(model.inputs) != 1:
        raise ValueError(f"expected a model of one input, got {len(model.inputs)}")
    positions = _kernel_positions(model, height, width)
    convolutions = filter(_is_convolution, model.layers)
    return sum(2 * positions[layer.name] * int(np.prod(layer.kernel.shape)) for layer in convolutions)


def _is_convolution(layer: keras.Layer) -> bool:
    return isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D | layers.Conv2DTranspose)


def _kernel_positions(model: keras.Model, height: int, width: int) -> dict[str, int]:
    """Return how often each layer applies its kernel: once per output pixel, or input pixel if it is transposed."""
    tensors = {
        layer.name: layer.input if isinstance(layer, layers.Conv2DTranspose) else layer.output
        for layer in filter(_is_convolution, model.layers)
    }
    probe = keras.Model(model.inputs, list(tensors.values()))
    outputs = probe.compute_output_spec(keras.KerasTensor((1, height, width, model.input.shape[-1])))
    return {name: int(np.prod(output.shape[1:3])) for name, output in zip(tensors, outputs, strict=True)}
