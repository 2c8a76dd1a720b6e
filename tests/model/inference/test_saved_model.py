import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from geo.errors import ConfigError, RasterError
from geo.types import Detections, ImageArray
from model.export.exporter import export
from model.inference.calibration import Calibration
from model.inference.model_folder import WeightsError, read_config, write_config
from model.inference.predictor import load_predictor
from model.inference.saved_model import SavedModelPredictor

BATCH = 2


class Bright(tf.Module):  # type: ignore[misc]  # TensorFlow publishes no types
    """A detector of a user: one box around each image, its score the mean of red; and a row of padding."""

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, "pixels")])  # type: ignore[untyped-decorator]
    def detect(self, pixels: Any) -> dict[str, Any]:
        count, height, width, _ = tf.unstack(tf.shape(pixels))
        box = tf.cast(tf.stack([0, 0, width, height]), tf.float32)[None, None]
        boxes = tf.tile(tf.concat([box, tf.zeros_like(box)], axis=1), (count, 1, 1))
        score = tf.reduce_mean(tf.cast(pixels[..., 0], tf.float32), axis=(1, 2)) / 255
        return {"boxes": boxes, "scores": tf.stack([score, tf.zeros_like(score)], axis=1)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "jpeg")])  # type: ignore[untyped-decorator]
    def detect_jpeg(self, jpeg: Any) -> dict[str, Any]:
        output: dict[str, Any] = self.detect(tf.io.decode_jpeg(jpeg[0], channels=3)[None])
        return output


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "bright"
    module = Bright()
    tf.saved_model.save(module, str(folder), {"detect": module.detect, "detect_jpeg": module.detect_jpeg})
    return folder


def uniform_images(count: int, level: int = 200) -> ImageArray:
    return np.full((count, 64, 96, 3), level, np.uint8)


def test_an_export_detects_what_the_model_detects(model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    write_config(folder, read_config_with(folder, Calibration(1.5, 0.7, -0.2)))
    images = np.random.default_rng(3).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    (folder / "README.md").write_text("A card.")
    export(folder, tmp_path / "export", ["saved_model"], images)
    ours = load_predictor(str(folder), BATCH, 0.0)
    exported = load_predictor(str(tmp_path / "export" / "saved_model"), BATCH, 0.0, trusted=True)
    assert exported.default_min_score == ours.default_min_score == 0.25
    assert exported.name.startswith("tiny@")
    for detections, expected in zip(exported(images), ours(images), strict=True):
        assert len(detections) == len(expected) > 0
        np.testing.assert_allclose(detections.scores, expected.scores, atol=1e-5)
        np.testing.assert_allclose(detections.boxes, expected.boxes, atol=1e-2)


def read_config_with(folder: Path, calibration: Calibration) -> Any:
    from dataclasses import replace

    return replace(read_config(folder), calibration=calibration)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_model_decodes_files_itself(own: Path, kind: str) -> None:
    predictor = load_predictor(str(own), BATCH, 0.0, trusted=True)
    assert isinstance(predictor, SavedModelPredictor)
    assert predictor.decodes_files
    file = io.BytesIO()
    Image.fromarray(uniform_images(1)[0][:50, :70]).save(file, kind)
    (detections,) = predictor.detect_in_files([file.getvalue()])
    np.testing.assert_allclose(detections.boxes, [[0, 0, 70, 50]])
    np.testing.assert_allclose(detections.scores, [200 / 255], atol=1e-3)
    with pytest.raises(RasterError, match="JPEG or PNG"):
        predictor.detect_in_files([file.getvalue()[:60]])


def test_a_detector_of_a_third_party_is_a_predictor(own: Path) -> None:
    predictor = load_predictor(str(own), BATCH, 0.0, trusted=True)
    assert isinstance(predictor, SavedModelPredictor)
    assert predictor.default_min_score == 0.5
    detections = predictor(np.concatenate([uniform_images(2), uniform_images(1, level=51)]))
    assert [isinstance(each, Detections) for each in detections] == [True] * 3
    # Padding is left out.
    assert [each.boxes.tolist() for each in detections] == [[[0, 0, 96, 64]]] * 3
    assert [each.scores.tolist() for each in detections] == [pytest.approx([level / 255]) for level in (200, 200, 51)]
    assert [len(each) for each in load_predictor(str(own), BATCH, 0.3, trusted=True)(uniform_images(1, level=51))] == [
        0
    ]


def test_its_name_is_its_folder_and_a_digest_of_its_files(own: Path, tmp_path: Path) -> None:
    name, digest = load_predictor(str(own), BATCH, 0.5, trusted=True).name.split("@")
    assert name == "bright"
    assert len(digest) == 12
    copy = Path(shutil.copytree(own, tmp_path / "copy"))
    assert load_predictor(str(copy), BATCH, 0.5, trusted=True).name == f"copy@{digest}"
    (copy / "variables" / "more").write_text("another")
    assert not load_predictor(str(copy), BATCH, 0.5, trusted=True).name.endswith(digest)


def test_a_config_beside_it_gives_name_and_threshold(own: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(own, tmp_path / "copy"))
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "config.yaml").write_text("name: mine\nmin_score: 0.7\nother: 3\n")
    predictor = load_predictor(str(folder), BATCH, 0.5, trusted=True)
    assert (predictor.name.split("@")[0], predictor.default_min_score) == ("mine", 0.7)
    (folder / "assets.extra" / "config.yaml").write_text("name: mine\nmin_score: high\n")
    with pytest.raises(ConfigError, match="min_score"):
        load_predictor(str(folder), BATCH, 0.5, trusted=True)


def test_an_untrusted_one_is_not_loaded(own: Path) -> None:
    with pytest.raises(ConfigError, match="--trust-model"):
        load_predictor(str(own), BATCH, 0.5)


def test_it_has_no_raw_scores(own: Path) -> None:
    with pytest.raises(ConfigError, match="SavedModel"):
        load_predictor(str(own), BATCH, 0.5, calibrated=False, trusted=True)


def test_one_with_another_signature_is_refused(tmp_path: Path) -> None:
    module = tf.Module()
    module.detect = tf.function(lambda image: {"boxes": image}, [tf.TensorSpec((None,), tf.float32, "image")])
    tf.saved_model.save(module, str(tmp_path), {"detect": module.detect})
    with pytest.raises(WeightsError, match="pixels to boxes and scores, got image to boxes"):
        load_predictor(str(tmp_path), BATCH, 0.5, trusted=True)


def test_a_damaged_one_is_refused_in_one_line(own: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(own, tmp_path / "copy"))
    (folder / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(WeightsError, match="does not load") as caught:
        load_predictor(str(folder), BATCH, 0.5, trusted=True)
    assert "\n" not in str(caught.value)
