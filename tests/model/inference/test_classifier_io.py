from pathlib import Path

import keras
import numpy as np
import pytest
import yaml

from geo.errors import ConfigError
from model.detectors.classifier.network import ClassifierConfig, ConvConfig, DenseConfig, build
from model.inference import classifier_io, weights_io
from model.inference.weights_io import CONFIG_FILE, WEIGHTS_FILE, WeightsError


def images(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 20, 20, 3), dtype=np.uint8)


def trained(config: ClassifierConfig) -> keras.Model:
    """A model whose weights have all moved, the means of normalisation too."""
    model = build(config)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.train_on_batch(images(20), np.arange(20) % 2)
    return model


@pytest.mark.parametrize("config", [DenseConfig(dropout=0.2), ConvConfig(filters="S", depth=4, l2=1e-4)])
def test_what_was_kept_comes_back(config: ClassifierConfig, tmp_path: Path) -> None:
    model = trained(config)
    kept = classifier_io.save(tmp_path / "model", model, "tiny", config, 0.6)
    assert kept.version == f"tiny@{kept.sha256[:12]}"
    assert classifier_io.is_classifier(tmp_path / "model")
    again, read = classifier_io.load(tmp_path / "model")
    assert read == kept
    # Kernels are kept in half precision.
    np.testing.assert_allclose(again.predict_on_batch(images(5)), model.predict_on_batch(images(5)), atol=5e-3)


def test_as_a_detector_it_is_refused_with_the_way_to_make_it_one(tmp_path: Path) -> None:
    classifier_io.save(tmp_path, build(DenseConfig()), "tiny", DenseConfig(), 0.5)
    with pytest.raises(WeightsError, match=r"got a classifier.*model\.export"):
        weights_io.read_config(tmp_path)


def test_a_detector_is_none(model_folder: Path) -> None:
    assert not classifier_io.is_classifier(model_folder)


def test_what_is_damaged_is_refused(tmp_path: Path) -> None:
    config = ConvConfig(filters="S", depth=4)
    classifier_io.save(tmp_path, build(config), "tiny", config, 0.5)
    content = yaml.safe_load((tmp_path / CONFIG_FILE).read_text())
    for change, error, named in (
        ({"min_score": 2}, ConfigError, "min_score"),
        ({"classifier": content["classifier"] | {"kind": "deep"}}, ConfigError, "kind"),
        ({"classifier": content["classifier"] | {"depth": 5}}, WeightsError, "shape"),
    ):
        (tmp_path / CONFIG_FILE).write_text(yaml.safe_dump(content | change))
        with pytest.raises(error, match=named):
            classifier_io.load(tmp_path)
    (tmp_path / CONFIG_FILE).write_text(yaml.safe_dump(content))
    (tmp_path / WEIGHTS_FILE).write_bytes((tmp_path / WEIGHTS_FILE).read_bytes() + b"0")
    with pytest.raises(WeightsError, match="sha256"):
        classifier_io.load(tmp_path)
