import io
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from numpy.typing import NDArray
from PIL import Image

from geo.errors import ConfigError
from geo.types import ImageArray
from model.detectors.classifier.network import ConvConfig, build
from model.export import classifier_graph
from model.export import exporter as whole
from model.export.chip_tiling import ChipTiling, boxes
from model.export.classifier_graph import tile_by_tile, tiled
from model.export.signatures import Outputs
from model.inference import weights_io
from model.inference.predictor import load_predictor
from tests.model.export.conftest import pictures

CONFIG = ConvConfig(filters="S", depth=2)
TILING = ChipTiling((0.6, 1.0, 1.7), 6)
WEIGHTS = np.random.default_rng(1).normal(size=(20, 20, 3)).astype(np.float32)
SHAPES = pytest.mark.parametrize(("count", "shape"), [(2, (64, 96)), (1, (32, 160)), (3, (96, 32)), (1, (32, 32))])


def sharp(chips: Any) -> Any:
    """A classifier to which no two tiles are the same, and no two places in a tile."""
    return tf.reduce_sum(chips * WEIGHTS, axis=(1, 2, 3))


def looked_at(images: ImageArray, tiling: ChipTiling) -> Outputs:
    graph = tf.function(lambda pixels: tiled(pixels, sharp, tiling), [tf.TensorSpec((None, None, None, 3), tf.uint8)])
    found, scores = graph(tf.constant(images))
    return found.numpy(), scores.numpy()


def resampled(image: ImageArray, size: tuple[int, int]) -> NDArray[np.float32]:
    """By another library, which rounds as little as ours."""
    bands = [Image.fromarray(image[..., band].astype(np.float32)) for band in range(3)]
    return np.stack([np.asarray(band.resize(size[::-1], Image.Resampling.BILINEAR)) for band in bands], axis=-1)


@SHAPES
def test_the_graph_says_what_a_loop_over_tiles_says(count: int, shape: tuple[int, int]) -> None:
    images = pictures(count, shape=shape)
    for image, of_image, scores in zip(images, *looked_at(images, TILING), strict=True):
        wanted: list[tuple[NDArray[np.float64], float]] = []
        for zoom in TILING.zooms:
            rows, cols = (round(length / zoom) for length in shape)
            zoomed = resampled(image, (rows, cols))
            for y in range(0, rows - 19, 6):
                for x in range(0, cols - 19, 6):
                    score = float(sharp(zoomed[None, y : y + 20, x : x + 20])[0])
                    scale = np.array([shape[1] / cols, shape[0] / rows] * 2)
                    wanted.append((np.array([x, y, x + 20, y + 20]) * scale, score))
        assert len(wanted) == len(scores) == len(of_image)
        np.testing.assert_allclose(of_image, [box for box, _ in wanted], atol=1e-4)
        np.testing.assert_allclose(scores, [score for _, score in wanted], rtol=1e-3, atol=0.5)
        assert np.ptp(scores) > 500  # or it would compare nothing


def test_its_boxes_are_those_of_the_plan() -> None:
    found, scores = looked_at(pictures(2, shape=(160, 224)), ChipTiling())
    plan = boxes(160, 224, ChipTiling())
    assert scores.shape == (2, len(plan))
    for each in found:
        np.testing.assert_allclose(each, plan, atol=1e-4)


@pytest.mark.parametrize("shape", [(32, 32), (64, 32), (32, 64)])
def test_a_picture_in_which_no_tile_fits_has_none(shape: tuple[int, int]) -> None:
    found, scores = looked_at(pictures(2, shape=shape), ChipTiling((2.0,)))
    assert (found.shape, scores.shape) == ((2, 0, 4), (2, 0))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, keras.Model]:
    """A classifier's folder, and what is in it."""
    keras.utils.set_random_seed(3)
    folder = tmp_path_factory.mktemp("classifier") / "model"
    model = build(CONFIG)
    model.get_layer("conv_0").kernel.assign(model.get_layer("conv_0").kernel * 3)  # so that it is sure of something
    weights_io.save_classifier(folder, model, "tiny", CONFIG, 0.75)
    return folder, weights_io.load_classifier(folder)[0]


@pytest.fixture(scope="module")
def exported(classifier: tuple[Path, keras.Model], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("exported") / "tiny"
    found = whole.export(classifier[0], output, ("saved_model", "frozen_graph"), pictures(), TILING)
    assert set(found) == {"saved_model detect", "saved_model detect_jpeg", "frozen_graph"}
    assert all(0 <= of.boxes_px < 0.05 and 0 <= of.scores < 1e-3 for of in found.values())
    return output


def wanted(model: keras.Model, images: ImageArray) -> NDArray[np.float32]:
    """The classifier itself on every tile of pictures that are looked at as they are."""
    return np.stack(
        [
            [
                model(image[None, y : y + 20, x : x + 20].astype(np.float32), training=False).numpy()[0, 1]
                for y in range(0, image.shape[0] - 19, TILING.step_px)
                for x in range(0, image.shape[1] - 19, TILING.step_px)
            ]
            for image in images
        ]
    )


def test_the_check_itself_says_what_the_classifier_says(
    classifier: tuple[Path, keras.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier_graph, "_CHECK_BATCH", 7)
    images, tiling = pictures(2, shape=(32, 64)), ChipTiling((1.0,), TILING.step_px)
    found, scores = tile_by_tile(classifier[1], tiling, images)
    np.testing.assert_allclose(scores, wanted(classifier[1], images), atol=1e-5)
    np.testing.assert_allclose(found, [boxes(32, 64, tiling)] * 2)
    assert np.ptp(scores) > 0.1


def test_pixels_and_jpeg_files_give_what_the_classifier_gives(
    classifier: tuple[Path, keras.Model], exported: Path
) -> None:
    signatures = tf.saved_model.load(str(exported / "saved_model")).signatures
    assert set(signatures) == {"serving_default", "detect", "detect_jpeg"}
    smooth = [Image.fromarray(image).resize((64, 32)) for image in pictures(2, shape=(8, 8))]
    files = [io.BytesIO(), io.BytesIO()]
    for image, file in zip(smooth, files, strict=True):
        image.save(file, "JPEG", quality=95, subsampling=0)
    images = np.stack([np.asarray(Image.open(file)) for file in files])
    at_1 = slice(
        len(boxes(32, 64, ChipTiling(TILING.zooms[:1], 6))), len(boxes(32, 64, ChipTiling(TILING.zooms[:2], 6)))
    )
    from_pixels = signatures["detect"](pixels=tf.constant(images))
    from_files = signatures["detect_jpeg"](jpeg=tf.constant([file.getvalue() for file in files]))
    for found in (from_pixels, from_files):
        np.testing.assert_allclose(found["boxes"], [boxes(32, 64, TILING)] * 2, atol=1e-4)
        np.testing.assert_allclose(found["scores"][:, at_1], wanted(classifier[1], images), atol=1e-4)
        assert found["scores"].dtype == found["boxes"].dtype == tf.float32


def test_it_is_a_predictor_like_any_other(classifier: tuple[Path, keras.Model], exported: Path) -> None:
    predictor = load_predictor(str(exported / "saved_model"), 2, 0.6, trusted=True)
    assert predictor.name.startswith("tiny@")
    assert predictor.default_min_score == 0.75
    images = pictures(3)
    surest = tile_by_tile(classifier[1], TILING, images)[1].max(axis=1)
    for found, score in zip(predictor(images), surest, strict=True):
        assert found.scores.max(initial=0.0) == pytest.approx(score if score >= 0.6 else 0.0, abs=1e-4)
    assert surest.max() >= 0.6


def test_the_description_travels_along(classifier: tuple[Path, keras.Model], exported: Path) -> None:
    content = yaml.safe_load((exported / "saved_model" / "assets.extra" / "config.yaml").read_text())
    assert content == yaml.safe_load((classifier[0] / "config.yaml").read_text())


def test_onnx_is_refused(classifier: tuple[Path, keras.Model], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="onnx"):
        whole.export(classifier[0], tmp_path / "out", ("onnx",), pictures(), TILING)
    assert not (tmp_path / "out").exists()
