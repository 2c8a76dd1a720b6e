"""What a look at a picture costs, whatever the machine."""

import keras
import numpy as np
from keras import layers


def flop(model: keras.Model, height: int, width: int) -> int:
    """Floating-point operations of a model's convolutions on one picture; a multiplication and an addition are two.

    What lies between the convolutions (additions, rectifiers) is left out, as is the custom: it is some per cent.

    Args:
        model: a network of convolutions, see `model.detectors.anchor_free.network.build`.
        height: of the picture, a multiple of the model's coarsest stride.
        width: likewise.
    """
    if len(model.inputs) != 1:
        raise ValueError(f"expected a model of one input, got {len(model.inputs)}")
    places = _places(model, height, width)
    return sum(2 * places[layer.name] * int(np.prod(layer.kernel.shape)) for layer in model.layers if _counts(layer))


def _counts(layer: keras.Layer) -> bool:
    return isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D | layers.Conv2DTranspose)


def _places(model: keras.Model, height: int, width: int) -> dict[str, int]:
    """How often each layer's kernel is applied: for each place of its output, or of its input where it enlarges."""
    shapes = {
        layer.name: layer.input if isinstance(layer, layers.Conv2DTranspose) else layer.output
        for layer in model.layers
        if _counts(layer)
    }
    probe = keras.Model(model.inputs, list(shapes.values()))
    found = probe.compute_output_spec(keras.KerasTensor((1, height, width, model.input.shape[-1])))
    return {name: int(np.prod(tensor.shape[1:3])) for name, tensor in zip(shapes, found, strict=True)}
