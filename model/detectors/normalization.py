"""A convolution and its batch normalisation: two layers in training, one in inference.

Batch normalisation (arXiv:1502.03167) makes training faster and steadier. After training it is a scale and a shift of
each channel, which are folded into the kernel and the bias of the convolution: a sixth of the time is saved.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import layers
from numpy.typing import NDArray

SUFFIX = "_norm"
_EPSILON = 1e-3


def conv_norm(x: Any, layer: type[Any], name: str, *, folded: bool, **settings: Any) -> Any:
    """Apply a convolution and its normalisation.

    Args:
        x: Keras tensor.
        layer: a convolutional layer class of Keras.
        name: name of the layer; the normalisation's is the same with `_norm`.
        folded: whether the normalisation is folded into kernel and bias, see `fold`.
        settings: further arguments of the layer.
    """
    x = layer(use_bias=folded, name=name, **settings)(x)
    return x if folded else layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}{SUFFIX}")(x)


def fold(weights: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Convert the weights of a trained network into those of the same network, folded.

    gamma * (k * x - mean) / sqrt(variance + epsilon) + beta, with the scale moved into k and the rest into the bias.

    Args:
        weights: by path, `layer/weight`.
    """
    precise = {path: array.astype(np.float64) for path, array in weights.items()}
    folded = {path: array for path, array in precise.items() if not path.split("/")[0].endswith(SUFFIX)}
    for layer in [path.split("/")[0] for path in precise if path.endswith(f"{SUFFIX}/gamma")]:
        conv = layer.removesuffix(SUFFIX)
        gamma, beta, mean, variance = (
            precise[f"{layer}/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        scale = gamma / np.sqrt(variance + _EPSILON)
        # (y, x, in, out), or (y, x, channel, 1) of a depthwise convolution.
        kernel = precise[f"{conv}/kernel"]
        folded[f"{conv}/kernel"] = kernel * (scale if kernel.shape[3] == len(scale) else scale[:, None])
        folded[f"{conv}/bias"] = beta - mean * scale
    return {path: array.astype(np.float32) for path, array in folded.items()}
