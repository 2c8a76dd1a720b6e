"""Images with synthetic annotations and detections, without a file."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geo.raster.header import SceneHeader
from geo.raster.radiometry import Radiometry
from geo.types import Detections
from model.data.labels import AnnotatedImage
from model.evaluation.images import ComparedImage, EvaluationImage, compare_image

SIZE = 1000


def evaluation_image(
    path: str, boxes: NDArray[np.float64], resolution_m: float = 0.5, known: bool = True
) -> EvaluationImage:
    image = AnnotatedImage(Path(path), "some", boxes.reshape(-1, 4), resolution_m, known)
    metres, radiometry = (resolution_m, resolution_m), Radiometry((1, 2, 3), None, None)
    header = SceneHeader(path, SIZE, SIZE, 3, "uint8", None, metres, f"id of {path}", radiometry)
    return EvaluationImage(image, header)


def detections(boxes: NDArray[np.float64], scores: NDArray[np.float64]) -> Detections:
    return Detections(boxes.reshape(-1, 4), scores, np.full(len(scores), 0.5))


def squares(*sides: float) -> NDArray[np.float64]:
    """Boxes of these sides that do not touch one another."""
    low = np.array([[20 + 150 * (n % 6), 20 + 150 * (n // 6)] for n in range(len(sides))], np.float64).reshape(-1, 2)
    return np.concatenate([low, low + np.array(sides)[:, None]], axis=1)


def random_image(seed: int, known: bool = True) -> ComparedImage:
    """An image with airplanes of all sizes, most of them detected, and some false detections."""
    generator = np.random.default_rng(seed)
    airplanes = squares(*generator.uniform(4, 140, generator.integers(1, 20)))
    hit = airplanes[generator.random(len(airplanes)) < 0.8]
    boxes = np.concatenate([hit + generator.normal(0, 0.5, hit.shape), squares(*generator.uniform(5, 30, 6)) + 70])
    scores = generator.integers(2, 99, len(boxes)) / 99
    return compare_image(evaluation_image(f"{seed}.png", airplanes, 0.5, known), detections(boxes, scores))
