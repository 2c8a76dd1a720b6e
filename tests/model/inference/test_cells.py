"""Cells of any engine to detections."""

import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from geo.types import Detections, ImageArray
from model.inference import cells
from model.inference.cells import CellPredictor


def brightest_corner(images: ImageArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One cell for each image: a box as wide as its first pixel is bright."""
    width = images[:, 0, 0, 0].astype(np.float32)
    zeros = np.zeros_like(width)
    return np.stack([zeros, zeros, width, zeros + 8], axis=-1)[:, None], np.full((len(images), 1), 0.9, np.float32)


def images_of(widths: list[int]) -> ImageArray:
    images = np.zeros((len(widths), 32, 32, 3), np.uint8)
    images[:, 0, 0, 0] = widths
    return images


def test_detections_come_in_the_order_of_the_images_and_batches_are_full() -> None:
    sizes = []

    def engine(images: ImageArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        sizes.append(len(images))
        return brightest_corner(images)

    predictor = CellPredictor("fake@0", 0.5, engine, 3, 0.5)
    widths = [5, 9, 7, 30, 12, 20, 11]
    assert [float(each.boxes[0, 2]) for each in predictor(images_of(widths))] == widths
    assert sizes == [3, 3, 3]
    assert predictor(images_of([])) == []


def test_the_engine_runs_while_previous_cells_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    second_batch = threading.Event()
    calls = []

    def engine(images: ImageArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        calls.append(len(images))
        if len(calls) == 2:
            second_batch.set()
        return brightest_corner(images)

    tile_detections = cells.tile_detections

    def waiting(*arguments: Any) -> Detections:
        # The first image's cells are not reduced before the engine has the second batch.
        assert second_batch.wait(timeout=60)
        return tile_detections(*arguments)

    monkeypatch.setattr(cells, "tile_detections", waiting)
    assert len(CellPredictor("fake@0", 0.5, engine, 1, 0.5)(images_of([4, 6]))) == 2
