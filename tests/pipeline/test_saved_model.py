"""The main job with somebody's own detector, a SavedModel."""

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from pipeline import run
from pipeline.sinks.files import read_geojson
from tests.pipeline.scenes import write_scene

AIRPLANE = (200, 60, 214, 84, 240)
SETTINGS = """
model: none
min_score: null
precision: auto
batch_size: 2
block_tiles: 3
tiling: {levels_m: [0.5], tile_px: 128, halo_px: 16}
suppression: {iou: 0.5, containment: 0.8}
"""


class Brightest(tf.Module):  # type: ignore[misc]  # TensorFlow publishes no types
    """The bounding box of the bright pixels of an image; its score is the brightest red."""

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, "pixels")])  # type: ignore[untyped-decorator]
    def detect(self, pixels: Any) -> dict[str, Any]:
        red = tf.cast(pixels[..., 0], tf.float32)
        bright = red > 100
        columns, rows = (tf.cast(tf.reduce_any(bright, axis=axis), tf.float32) for axis in (1, 2))
        low = [self._first(line) for line in (columns, rows)]
        high = [tf.cast(tf.shape(line)[1], tf.float32) - self._first(tf.reverse(line, [1])) for line in (columns, rows)]
        return {
            "boxes": tf.stack([*low, *high], axis=-1)[:, None],
            "scores": tf.reduce_max(tf.where(bright, red, 0.0), axis=(1, 2))[:, None] / 255,
        }

    @staticmethod
    def _first(line: Any) -> Any:
        return tf.cast(tf.argmax(line, axis=1), tf.float32)


@pytest.fixture
def args(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    module = Brightest()
    tf.saved_model.save(module, str(tmp_path / "brightest"), {"detect": module.detect})
    write_scene(tmp_path / "a.tif", [AIRPLANE])
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    return ["--input", "a.tif", "--output", "x.geojson", "--config", "settings.yaml", "--model", "brightest"]


def test_a_saved_model_is_run(args: list[str]) -> None:
    assert run.main([*args, "--trust-model"]) == 0
    (airplane,) = read_geojson(Path("x.geojson"))
    assert (airplane.xmin_px, airplane.ymin_px, airplane.xmax_px, airplane.ymax_px) == AIRPLANE[:4]
    assert airplane.score == pytest.approx(240 / 255, abs=1e-6)
    assert airplane.model.startswith("brightest@")


def test_an_untrusted_saved_model_is_refused(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(args) == 2
    assert "a SavedModel can run code when it is loaded: add --trust-model" in capsys.readouterr().err
    assert not Path("x.geojson").exists()
