import io
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from geo.errors import ConfigError
from geo.types import ImageArray
from model.detectors.classifier import build
from model.detectors.config import ConvConfig
from model.export import classifier_graph
from model.export.classifier_graph import chip_boxes, classify_tiled, predict_chips, zoomed_length
from model.export.config import ChipTiling
from model.export.exporter import export
from model.export.formats import Outputs
from model.inference import weights_io
from model.inference.predictor import load_predictor
from tests.model.export.conftest import random_images

CONFIG = ConvConfig(filters="S", depth=2)
TILING = ChipTiling((0.6, 1.0, 1.7), 6)
WEIGHTS = np.random.default_rng(1).normal(size=(20, 20, 3)).astype(np.float32)
SHAPES = pytest.mark.parametrize(("count", "shape"), [(2, (64, 96)), (1, (32, 160)), (3, (96, 32)), (1, (32, 32))])


def checksum(chips: Any) -> Any:
    """A classifier whose score depends on every pixel and its position."""
    return tf.reduce_sum(chips * WEIGHTS, axis=(1, 2, 3))


def run_graph(images: ImageArray, tiling: ChipTiling) -> Outputs:
    spec = tf.TensorSpec((None, None, None, 3), tf.uint8)
    graph = tf.function(lambda pixels: classify_tiled(pixels, checksum, tiling), [spec])
    boxes, scores = graph(tf.constant(images))
    return boxes.numpy(), scores.numpy()


def resampled(image: ImageArray, size: tuple[int, int]) -> NDArray[np.float32]:
    """Resample with another library, in floating point."""
    bands = [Image.fromarray(image[..., band].astype(np.float32)) for band in range(3)]
    return np.stack([np.asarray(band.resize(size[::-1], Image.Resampling.BILINEAR)) for band in bands], axis=-1)


@SHAPES
def test_the_graph_agrees_with_a_loop_over_chips(count: int, shape: tuple[int, int]) -> None:
    images = random_images(count, shape=shape)
    for image, image_boxes, scores in zip(images, *run_graph(images, TILING), strict=True):
        expected: list[tuple[NDArray[np.float64], float]] = []
        for zoom in TILING.zooms:
            rows, cols = (round(length / zoom) for length in shape)
            zoomed = resampled(image, (rows, cols))
            for y in range(0, rows - 19, 6):
                for x in range(0, cols - 19, 6):
                    score = float(checksum(zoomed[None, y : y + 20, x : x + 20])[0])
                    scale = np.array([shape[1] / cols, shape[0] / rows] * 2)
                    expected.append((np.array([x, y, x + 20, y + 20]) * scale, score))
        assert len(expected) == len(scores) == len(image_boxes)
        np.testing.assert_allclose(image_boxes, [box for box, _ in expected], atol=1e-4)
        np.testing.assert_allclose(scores, [score for _, score in expected], rtol=1e-3, atol=0.5)
        assert np.ptp(scores) > 500  # else the test would compare nothing


def test_the_boxes_of_the_graph_are_those_of_the_tiling() -> None:
    boxes, scores = run_graph(random_images(2, shape=(160, 224)), ChipTiling())
    expected = chip_boxes(160, 224, ChipTiling())
    assert scores.shape == (2, len(expected))
    for each in boxes:
        np.testing.assert_allclose(each, expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(32, 32), (64, 32), (32, 64)])
def test_images_smaller_than_a_chip_have_no_outputs(shape: tuple[int, int]) -> None:
    boxes, scores = run_graph(random_images(2, shape=shape), ChipTiling((2.0,)))
    assert (boxes.shape, scores.shape) == ((2, 0, 4), (2, 0))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, keras.Model]:
    """The folder of a classifier, and its model."""
    keras.utils.set_random_seed(3)
    folder = tmp_path_factory.mktemp("classifier") / "model"
    model = build(CONFIG)
    model.get_layer("conv_0").kernel.assign(model.get_layer("conv_0").kernel * 3)  # for some high scores
    weights_io.save_classifier(folder, model, "tiny", CONFIG, 0.75)
    return folder, weights_io.load_classifier(folder)[0]


@pytest.fixture(scope="module")
def exported(classifier: tuple[Path, keras.Model], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("exported") / "tiny"
    differences = export(classifier[0], output, ("saved_model", "frozen_graph"), random_images(), TILING)
    assert set(differences) == {"saved_model detect", "saved_model detect_jpeg", "frozen_graph"}
    assert all(0 <= each.boxes_px < 0.05 and 0 <= each.scores < 1e-3 for each in differences.values())
    return output


def chip_scores(model: keras.Model, images: ImageArray) -> NDArray[np.float32]:
    """Apply the classifier itself to every chip of images at zoom 1."""
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


def test_the_outputs_of_the_check_are_those_of_the_classifier(
    classifier: tuple[Path, keras.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier_graph, "_CHECK_BATCH", 7)
    images, tiling = random_images(2, shape=(32, 64)), ChipTiling((1.0,), TILING.step_px)
    boxes, scores = predict_chips(classifier[1], tiling, images)
    np.testing.assert_allclose(scores, chip_scores(classifier[1], images), atol=1e-5)
    np.testing.assert_allclose(boxes, [chip_boxes(32, 64, tiling)] * 2)
    assert np.ptp(scores) > 0.1


def test_pixels_and_jpeg_files_give_the_outputs_of_the_classifier(
    classifier: tuple[Path, keras.Model], exported: Path
) -> None:
    signatures = tf.saved_model.load(str(exported / "saved_model")).signatures
    assert set(signatures) == {"serving_default", "detect", "detect_jpeg"}
    smooth = [Image.fromarray(image).resize((64, 32)) for image in random_images(2, shape=(8, 8))]
    files = [io.BytesIO(), io.BytesIO()]
    for image, file in zip(smooth, files, strict=True):
        image.save(file, "JPEG", quality=95, subsampling=0)
    images = np.stack([np.asarray(Image.open(file)) for file in files])
    at_1 = slice(*(len(chip_boxes(32, 64, ChipTiling(TILING.zooms[:k], 6))) for k in (1, 2)))
    from_pixels = signatures["detect"](pixels=tf.constant(images))
    from_files = signatures["detect_jpeg"](jpeg=tf.constant([file.getvalue() for file in files]))
    for boxes in (from_pixels, from_files):
        np.testing.assert_allclose(boxes["boxes"], [chip_boxes(32, 64, TILING)] * 2, atol=1e-4)
        np.testing.assert_allclose(boxes["scores"][:, at_1], chip_scores(classifier[1], images), atol=1e-4)
        assert boxes["scores"].dtype == boxes["boxes"].dtype == tf.float32


def test_an_exported_classifier_works_as_a_predictor(classifier: tuple[Path, keras.Model], exported: Path) -> None:
    predictor = load_predictor(str(exported / "saved_model"), 2, 0.6, trusted=True)
    assert predictor.name.startswith("tiny@")
    assert predictor.default_min_score == 0.75
    images = random_images(3)
    highest = predict_chips(classifier[1], TILING, images)[1].max(axis=1)
    for boxes, score in zip(predictor(images), highest, strict=True):
        assert boxes.scores.max(initial=0.0) == pytest.approx(score if score >= 0.6 else 0.0, abs=1e-4)
    assert highest.max() >= 0.6


def test_the_config_is_copied(classifier: tuple[Path, keras.Model], exported: Path) -> None:
    content = yaml.safe_load((exported / "saved_model" / "assets.extra" / "config.yaml").read_text())
    assert content == yaml.safe_load((classifier[0] / "config.yaml").read_text())


def test_onnx_is_refused(classifier: tuple[Path, keras.Model], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="onnx"):
        export(classifier[0], tmp_path / "out", ("onnx",), random_images(), TILING)
    assert not (tmp_path / "out").exists()


tilings = st.builds(
    ChipTiling,
    st.lists(st.floats(0.3, 4), min_size=1, max_size=3).map(tuple),
    st.integers(1, 25),
)


@given(st.integers(1, 120), st.integers(1, 120), tilings)
def test_chips_lie_in_the_image_and_have_20_px_at_their_zoom(height: int, width: int, tiling: ChipTiling) -> None:
    boxes = chip_boxes(height, width, tiling)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= np.array([width, height]) + 1e-9).all()
    sides = {(round(x, 6), round(y, 6)) for x, y in boxes[:, 2:] - boxes[:, :2]}
    size = np.array([width, height])
    expected = [size / [zoomed_length(length, zoom) for length in size] * 20 for zoom in tiling.zooms]
    assert sides <= {(round(x, 6), round(y, 6)) for x, y in expected}
    by_zoom = [chip_boxes(height, width, ChipTiling((zoom,), tiling.step_px)) for zoom in tiling.zooms]
    np.testing.assert_array_equal(np.concatenate(by_zoom), boxes)


@given(st.integers(20, 120), st.integers(20, 120), st.integers(1, 20))
def test_chips_are_a_step_apart_and_less_than_a_step_is_left_over(height: int, width: int, step: int) -> None:
    boxes = chip_boxes(height, width, ChipTiling((1.0,), step))
    for axis, length in ((0, width), (1, height)):
        begins = np.unique(boxes[:, axis])
        assert begins[0] == 0
        assert (np.diff(begins) == step).all()
        assert length - step < begins[-1] + 20 <= length


def test_chips_at_zoom_2_have_40_px() -> None:
    boxes = chip_boxes(50, 90, ChipTiling((2.0,), 5))
    assert boxes.tolist() == [[x, 0, x + 40, 40] for x in (0, 10, 20, 30, 40, 50)] + [
        [x, 10, x + 40, 50] for x in (0, 10, 20, 30, 40, 50)
    ]


def test_an_image_smaller_than_a_chip_has_none() -> None:
    assert chip_boxes(19, 64, ChipTiling((1.0, 2.0))).shape == (0, 4)


@pytest.mark.parametrize(
    ("zooms", "step", "named"),
    [((), 4, "zooms"), ((1.0, 0.0), 4, "zooms"), ((float("nan"),), 4, "zooms"), ((1.0,), 0, "step_px")],
)
def test_invalid_tilings_are_refused(zooms: tuple[float, ...], step: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ChipTiling(zooms, step)
