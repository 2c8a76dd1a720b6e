import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import safetensors.numpy
import yaml
from numpy.typing import NDArray

from geo.errors import ConfigError, FinderError
from model.detectors.anchor_free.network import build
from model.detectors.classifier import build as build_classifier
from model.detectors.config import ClassifierConfig, ConvConfig, DenseConfig, DetectorConfig
from model.inference import weights_io
from model.inference.calibration import Calibration
from model.inference.model_folder import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    ModelConfig,
    WeightsError,
    is_classifier,
    read_config,
    resolve,
    write_config,
)


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of a sound model folder, to damage."""
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


def weights_by_path(model: Any) -> dict[str, NDArray[np.float32]]:
    return {variable.path: variable.value.numpy() for variable in model.variables}


def one_line(error: pytest.ExceptionInfo[WeightsError], file: Path) -> str:
    """Return the message of an error, which is one line that names the file."""
    message = str(error.value)
    assert str(file) in message
    assert "\n" not in message
    return message


@pytest.fixture(scope="module")
def loaded(model_folder: Path) -> tuple[Any, ModelConfig]:
    return weights_io.load(model_folder)


def test_a_saved_model_comes_back(network: Any, loaded: tuple[Any, ModelConfig]) -> None:
    model, config = loaded
    assert (config.name, config.detector, config.min_score) == ("tiny", DetectorConfig(), 0.25)
    pixels = np.random.default_rng(1).uniform(0, 255, (1, 64, 96, 3)).astype(np.float32)
    np.testing.assert_allclose(model(pixels), network(pixels, training=False), rtol=1e-3, atol=1e-3)


def test_saved_weights_can_be_trained_further(network: Any, model_folder: Path) -> None:
    model = build(DetectorConfig())
    weights_io.load_into(model, model_folder / WEIGHTS_FILE)
    actual, expected = weights_by_path(model), weights_by_path(network)
    assert actual.keys() == expected.keys()
    for path, array in expected.items():
        np.testing.assert_array_equal(actual[path], array)


def test_kernels_are_stored_in_half_precision_and_the_rest_exactly(tmp_path: Path) -> None:
    layers = [keras.layers.Dense(30, name="a"), keras.layers.BatchNormalization(name="b")]
    model = keras.Sequential([keras.Input((20,)), *layers])
    for variable in model.variables:
        variable.assign(np.random.default_rng(1).lognormal(0, 2, variable.shape))
    before = weights_by_path(model)
    weights_io.save(tmp_path, model, "tiny", DetectorConfig(), 0.5)
    for variable in model.variables:
        variable.assign(variable.value * 0)
    weights_io.load_into(model, tmp_path / WEIGHTS_FILE)
    for path, array in weights_by_path(model).items():
        if array.ndim == 1:
            np.testing.assert_array_equal(array, before[path])
        else:
            # Half precision has 11 bits, and steps of 6e-8 near nothing.
            np.testing.assert_allclose(array, before[path], rtol=2**-11, atol=6e-8)
    stored = safetensors.numpy.load_file(tmp_path / WEIGHTS_FILE)
    assert {array.dtype for array in stored.values() if array.ndim > 1} == {np.dtype(np.float16)}


def test_the_same_weights_give_the_same_bytes(
    loaded: tuple[Any, ModelConfig], network: Any, model_folder: Path, tmp_path: Path
) -> None:
    _, config = loaded
    again = weights_io.save(tmp_path, network, config.name, config.detector, config.min_score)
    assert again == config
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        assert (tmp_path / name).read_bytes() == (model_folder / name).read_bytes()


def test_the_config_names_the_weights_by_their_digest(model_folder: Path) -> None:
    config = read_config(model_folder)
    assert config.sha256 == hashlib.sha256((model_folder / WEIGHTS_FILE).read_bytes()).hexdigest()
    assert config.version == f"tiny@{config.sha256[:12]}"


def test_a_new_threshold_leaves_the_weights_as_they_are(folder: Path) -> None:
    config = read_config(folder)
    write_config(folder, replace(config, min_score=0.75))
    assert read_config(folder) == replace(config, min_score=0.75)
    write_config(folder, replace(config, calibration=Calibration(2.5, 0.5, -1.0)))
    assert read_config(folder) == replace(config, calibration=Calibration(2.5, 0.5, -1.0))


@pytest.mark.parametrize("index", [0, 8, 1000, -1])
def test_a_flipped_bit_is_detected(folder: Path, index: int) -> None:
    content = bytearray((folder / WEIGHTS_FILE).read_bytes())
    content[index] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(content)
    for use in (read_config, weights_io.load):
        with pytest.raises(WeightsError) as error:
            use(folder)
        assert "sha256" in one_line(error, folder / WEIGHTS_FILE)


@pytest.mark.parametrize("length", [0, 7, 5000, -1])
def test_a_truncated_file_is_detected(folder: Path, network: Any, length: int) -> None:
    file = folder / WEIGHTS_FILE
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(WeightsError) as error:
        weights_io.load(folder)
    one_line(error, file)
    with pytest.raises(WeightsError) as error:
        weights_io.load_into(network, file)
    one_line(error, file)


def test_missing_weights_are_named(folder: Path, network: Any) -> None:
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(WeightsError) as error:
        weights_io.load(folder)
    one_line(error, folder / WEIGHTS_FILE)
    with pytest.raises(WeightsError) as error:
        weights_io.load_into(network, folder / WEIGHTS_FILE)
    one_line(error, folder / WEIGHTS_FILE)


def test_weights_of_another_network_are_refused_and_change_nothing(model_folder: Path) -> None:
    model = build(DetectorConfig(channels=8))
    before = weights_by_path(model)
    with pytest.raises(WeightsError) as error:
        weights_io.load_into(model, model_folder / WEIGHTS_FILE)
    message = one_line(error, model_folder / WEIGHTS_FILE)
    assert "cells/kernel" in message
    assert "(2, 2, 5, 8)" in message
    assert "(2, 2, 5, 64)" in message
    for path, array in weights_by_path(model).items():
        np.testing.assert_array_equal(array, before[path])


def test_weights_of_something_else_are_refused(folder: Path) -> None:
    config = read_config(folder)
    raw = safetensors.numpy.save({"head_norm/gamma": np.ones(3, np.float32)})
    (folder / WEIGHTS_FILE).write_bytes(raw)
    write_config(folder, replace(config, sha256=hashlib.sha256(raw).hexdigest()))
    with pytest.raises(WeightsError) as error:
        weights_io.load(folder)
    assert "head_norm" in one_line(error, folder / WEIGHTS_FILE)


def test_a_config_of_another_network_is_refused(folder: Path) -> None:
    config = read_config(folder)
    write_config(folder, replace(config, detector=DetectorConfig(channels=8)))
    with pytest.raises(WeightsError) as error:
        weights_io.load(folder)
    assert "detector" in one_line(error, folder / WEIGHTS_FILE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("min_score: 0.25", "min_score: 1.5"),
        ("min_score: 0.25", "min_score: .nan"),
        ("min_score: 0.25", "threshold: 0.25"),
        ("efficientnet_lite0", "resnet"),
        ("channels: 64", "channels: -1"),
        ("sha256", "md5"),
    ],
)
def test_a_damaged_config_is_refused_by_name(folder: Path, old: str, new: str) -> None:
    file = folder / CONFIG_FILE
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=str(file)):
        weights_io.load(folder)


def test_a_model_is_found_by_its_folder(model_folder: Path) -> None:
    assert resolve(str(model_folder)) == model_folder


def test_a_packaged_model_is_found_by_its_name(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(model_folder, tmp_path / "packaged" / "tiny")
    monkeypatch.setattr("model.inference.model_folder.PACKAGED", tmp_path / "packaged")
    assert resolve("tiny") == tmp_path / "packaged" / "tiny"
    with pytest.raises(WeightsError, match=r"huge.*\(tiny\)"):
        resolve("huge")


def test_a_path_without_a_model_is_refused(tmp_path: Path) -> None:
    for name in ("no-such-model", str(tmp_path), str(tmp_path / "nowhere"), ""):
        with pytest.raises(WeightsError, match="expected a packaged model"):
            resolve(name)


def test_the_error_is_one_a_user_can_cause() -> None:
    assert issubclass(WeightsError, FinderError)
    assert issubclass(WeightsError, ValueError)


def chips(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 20, 20, 3), dtype=np.uint8)


def trained_classifier(config: ClassifierConfig) -> keras.Model:
    """A model whose weights have all moved, the means of normalisation too."""
    model = build_classifier(config)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.train_on_batch(chips(20), np.arange(20) % 2)
    return model


@pytest.mark.parametrize("config", [DenseConfig(dropout=0.2), ConvConfig(filters="S", depth=4, l2=1e-4)])
def test_a_saved_classifier_comes_back(config: ClassifierConfig, tmp_path: Path) -> None:
    model = trained_classifier(config)
    saved = weights_io.save_classifier(tmp_path / "model", model, "tiny", config, 0.6)
    assert saved.version == f"tiny@{saved.sha256[:12]}"
    assert is_classifier(tmp_path / "model")
    loaded, config_read = weights_io.load_classifier(tmp_path / "model")
    assert config_read == saved
    # Kernels are stored in half precision.
    np.testing.assert_allclose(loaded.predict_on_batch(chips(5)), model.predict_on_batch(chips(5)), atol=5e-3)


def test_a_classifier_is_refused_as_a_detector_with_the_remedy(tmp_path: Path) -> None:
    weights_io.save_classifier(tmp_path, build_classifier(DenseConfig()), "tiny", DenseConfig(), 0.5)
    with pytest.raises(WeightsError, match=r"got a classifier.*model\.export"):
        read_config(tmp_path)


def test_a_detector_is_no_classifier(model_folder: Path) -> None:
    assert not is_classifier(model_folder)


def test_a_damaged_classifier_is_refused(tmp_path: Path) -> None:
    config = ConvConfig(filters="S", depth=4)
    weights_io.save_classifier(tmp_path, build_classifier(config), "tiny", config, 0.5)
    content = yaml.safe_load((tmp_path / CONFIG_FILE).read_text())
    for change, error, message in (
        ({"min_score": 2}, ConfigError, "min_score"),
        ({"classifier": content["classifier"] | {"kind": "deep"}}, ConfigError, "kind"),
        ({"classifier": content["classifier"] | {"depth": 5}}, WeightsError, "shape"),
    ):
        (tmp_path / CONFIG_FILE).write_text(yaml.safe_dump(content | change))
        with pytest.raises(error, match=message):
            weights_io.load_classifier(tmp_path)
    (tmp_path / CONFIG_FILE).write_text(yaml.safe_dump(content))
    (tmp_path / WEIGHTS_FILE).write_bytes((tmp_path / WEIGHTS_FILE).read_bytes() + b"0")
    with pytest.raises(WeightsError, match="sha256"):
        weights_io.load_classifier(tmp_path)
