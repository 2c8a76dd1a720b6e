"""Properties of a network, read off its graph."""

from typing import Any

import keras
from keras import layers


def longest_chain(tensor: Any) -> int:
    """Return the largest number of convolutions in a row on the way to a Keras tensor."""
    known: dict[Any, int] = {}

    def chain(operation: Any) -> int:
        if operation not in known:
            inputs = operation.input if isinstance(operation.input, list) else [operation.input]
            before = [] if isinstance(operation, layers.InputLayer) else [x._keras_history.operation for x in inputs]
            known[operation] = isinstance(operation, layers.Conv2D) + max(map(chain, before), default=0)
        return known[operation]

    return chain(tensor._keras_history.operation)


def convolutions(model: keras.Model) -> list[tuple[int, int, int, int]]:
    """Return input channels, side of the kernel, output channels and side of the output of each convolution."""
    return [
        (layer.kernel.shape[2], layer.kernel_size[0], layer.filters, layer.output.shape[1])
        for layer in model.layers
        if isinstance(layer, layers.Conv2D)
    ]
