import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from geo.types import ImageArray
from model.detectors.anchor_free.network import decode_boxes, decode_scores
from model.export.exporter import Difference, export
from model.export.formats import Outputs
from model.inference.calibration import Calibration
from model.inference.model_folder import read_config, write_config

CARD = "# tiny\n\nDetects next to nothing.\n"
# The output, and its differences from the model.
ExportRun = tuple[Path, dict[str, Difference]]
CALIBRATION = Calibration(0.8, 1.1, 1.5)


def random_images(count: int = 2, seed: int = 1, shape: tuple[int, int] = (64, 96)) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape, 3), dtype=np.uint8)


def expected_outputs(network: Any, images: ImageArray) -> Outputs:
    """Outputs of the network itself, calibrated as in the exported model."""
    cells = network(images.astype(np.float32), training=False)
    boxes, raw = (keras.ops.convert_to_numpy(each(cells)) for each in (decode_boxes, decode_scores))
    scores = 1 / (1 + (1 - raw) ** CALIBRATION.b / raw**CALIBRATION.a * np.exp(-CALIBRATION.c))
    assert np.ptp(scores) > 0.005  # else the test would compare nothing
    return boxes.reshape(len(images), -1, 4), scores.reshape(len(images), -1)


def assert_close(outputs: Outputs, expected: Outputs) -> None:
    for actual, wanted in zip(outputs, expected, strict=True):
        assert actual.shape == wanted.shape
        assert actual.dtype == np.float32
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(outputs[1], expected[1], atol=1e-4)


@pytest.fixture(scope="session")
def calibrated_folder(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a calibration and a card; not to be changed."""
    folder = tmp_path_factory.mktemp("calibrated") / "model"
    shutil.copytree(model_folder, folder)
    write_config(folder, replace(read_config(folder), calibration=CALIBRATION))
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def export_run(calibrated_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportRun:
    output = tmp_path_factory.mktemp("exported") / "tiny"
    return output, export(calibrated_folder, output, ("saved_model", "frozen_graph", "litert", "onnx"), random_images())


@pytest.fixture(scope="session")
def exported(export_run: ExportRun) -> Path:
    """That model in every format; not to be changed."""
    return export_run[0]
