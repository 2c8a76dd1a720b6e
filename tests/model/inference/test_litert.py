import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from geo.types import ImageArray
from model.inference import engine_cache, litert, model_folder
from model.inference.frozen_graph import FrozenPredictor
from model.inference.litert import LitertPredictor
from model.inference.predictor import load_predictor
from model.synthetic import paint_blocks, render
from tests.model.thresholds import in_a_gap


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of its own, which one conversion fills for all tests."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(engine_cache.CACHE_VARIABLE, str(folder))
        LitertPredictor("airplanes-lite0", 0.5, True)
        yield folder


@pytest.fixture(scope="module")
def image() -> ImageArray:
    scene = render(640, 7, 0.5)
    return np.concatenate([block for _, block in paint_blocks(scene)], axis=1)[None]


def test_litert_agrees_with_tensorflow(image: ImageArray) -> None:
    (every,) = FrozenPredictor("airplanes-lite0", 1, 0.05, True, "float32")(image)
    min_score = in_a_gap(every.scores)
    (expected,) = FrozenPredictor("airplanes-lite0", 1, min_score, True, "float32")(image)
    (detections,) = LitertPredictor("airplanes-lite0", min_score, True)(image)
    assert len(expected) >= 3
    assert len(detections) == len(expected)
    np.testing.assert_allclose(detections.scores, expected.scores, atol=1e-3)
    np.testing.assert_allclose(detections.boxes, expected.boxes, atol=0.05)


def test_images_of_several_sizes_are_detected_in_turn(image: ImageArray) -> None:
    predictor = LitertPredictor("airplanes-lite0", 0.3, True)
    sizes = (image, image[:, :320, :416], image, image[:, :320, :416])
    results = [predictor(np.ascontiguousarray(part))[0] for part in sizes]
    for first, second in ((0, 2), (1, 3)):
        np.testing.assert_array_equal(results[first].boxes, results[second].boxes)
    assert len(results[0]) > len(results[1])


def test_few_interpreters_are_kept(image: ImageArray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litert, "_MAX_PIXELS", 640 * 640 + 2 * 64 * 64)
    predictor = LitertPredictor("airplanes-lite0", 0.3, True)
    assert isinstance(predictor.engine, litert.LitertEngine)
    (first,) = predictor(image)
    for side in (64, 96, 128, 160):
        predictor(np.ascontiguousarray(image[:, :side, :side]))
    kept = list(predictor.engine._interpreters)
    assert sum(height * width for height, width, _ in kept) <= litert._MAX_PIXELS
    assert kept[-1] == (160, 160, 3)
    (again,) = predictor(image)
    np.testing.assert_array_equal(again.boxes, first.boxes)


def test_images_of_a_batch_do_not_affect_each_other(image: ImageArray) -> None:
    predictor = LitertPredictor("airplanes-lite0", 0.3, True)
    batch = np.concatenate([image, image[:, ::-1]])
    for detections, alone in zip(predictor(batch), (batch[:1], batch[1:]), strict=True):
        np.testing.assert_array_equal(detections.boxes, predictor(alone)[0].boxes)


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"", lambda content: content[::-1]])
def test_a_damaged_cache_is_rebuilt(
    cache: Path, image: ImageArray, damage: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = cache.iterdir()
    content = file.read_bytes()
    monkeypatch.setattr(litert, "_convert", lambda *_: content[32:])  # without another conversion
    file.write_bytes(damage(content))  # type: ignore[operator]
    assert len(LitertPredictor("airplanes-lite0", 0.3, True)(image)[0]) >= 3
    assert file.read_bytes() == content


def test_other_weights_have_another_file_in_the_cache() -> None:
    folder = model_folder.resolve("airplanes-lite0")
    config = model_folder.read_config(folder)
    names = {engine_cache.flatbuffer_file(folder, config, calibrated) for calibrated in (True, False)}
    names.add(engine_cache.flatbuffer_file(folder, dataclasses.replace(config, sha256="0" * 64), True))
    assert len(names) == 3


def test_it_works_without_a_cache(image: ImageArray, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = cache.iterdir()
    flatbuffer = file.read_bytes()[32:]
    monkeypatch.setattr(litert, "_convert", lambda *_: flatbuffer)
    monkeypatch.setenv(engine_cache.CACHE_VARIABLE, "/proc/no-such-folder")
    assert len(LitertPredictor("airplanes-lite0", 0.3, True)(image)[0]) >= 3


def test_it_loads_neither_tensorflow_nor_keras() -> None:
    program = (
        "import sys; from model.inference.predictor import load_predictor; "
        "load_predictor('airplanes-lite0', 1, 0.5, engine='litert'); "
        "print([name for name in ('tensorflow', 'keras', 'apache_beam') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_model_that_does_not_convert_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(engine_cache.CACHE_VARIABLE, str(tmp_path))
    folder = model_folder.resolve("airplanes-lite0")
    config = model_folder.read_config(folder)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(model_folder.WeightsError, match="converts to LiteRT"):
        litert.load_flatbuffer(folder, config, True)


def test_the_predictor_of_the_engine_is_loaded() -> None:
    assert isinstance(load_predictor("airplanes-lite0", 1, 0.5, engine="litert"), LitertPredictor)
