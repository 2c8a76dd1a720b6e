"""Pictures with made-up detections, without a file behind them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geo.raster.header import SceneHeader
from geo.raster.radiometry import Radiometry
from geo.types import Detections
from model.data.labels import AnnotatedImage
from model.evaluation.images import Picture, Subject, compare

SIZE = 1000


def subject(path: str, boxes: NDArray[np.float64], resolution_m: float = 0.5, known: bool = True) -> Subject:
    photo = AnnotatedImage(Path(path), "some", boxes.reshape(-1, 4), resolution_m, known)
    metres, radiometry = (resolution_m, resolution_m), Radiometry((1, 2, 3), None, None)
    header = SceneHeader(path, SIZE, SIZE, 3, "uint8", None, metres, f"id of {path}", radiometry)
    return Subject(photo, header)


def detections(boxes: NDArray[np.float64], scores: NDArray[np.float64]) -> Detections:
    return Detections(boxes.reshape(-1, 4), scores, np.full(len(scores), 0.5))


def squares(*sides: float) -> NDArray[np.float64]:
    """Boxes that do not touch one another, of these sides."""
    low = np.array([[20 + 150 * (n % 6), 20 + 150 * (n // 6)] for n in range(len(sides))], np.float64).reshape(-1, 2)
    return np.concatenate([low, low + np.array(sides)[:, None]], axis=1)


def drawn(seed: int, known: bool = True) -> Picture:
    """A picture with airplanes of all sizes, most of them found, and some false hits."""
    generator = np.random.default_rng(seed)
    truth = squares(*generator.uniform(4, 140, generator.integers(1, 20)))
    hit = truth[generator.random(len(truth)) < 0.8]
    boxes = np.concatenate([hit + generator.normal(0, 0.5, hit.shape), squares(*generator.uniform(5, 30, 6)) + 70])
    return compare(
        subject(f"{seed}.png", truth, 0.5, known), detections(boxes, generator.integers(2, 99, len(boxes)) / 99)
    )
