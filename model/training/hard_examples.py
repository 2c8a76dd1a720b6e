"""Places where an earlier model was wrong, to train on more often: false hits, and airplanes that it missed."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from geo.boxes import iou_matrix
from geo.raster.header import read_header
from geo.types import Detections, FloatArray
from model.common.atomic import write_atomically
from model.data.sources import Photo
from model.inference.predictor import Predictor
from model.inference.scan import MARGIN_PX, ScanConfig, scan_all

# A detection that overlaps every airplane less than this is false; between the two it is a matter of the box alone.
_FALSE_IOU = 0.1
_FOUND_IOU = 0.5


def mistakes(found: Detections, truth: FloatArray) -> FloatArray:
    """Where a model was wrong in one picture.

    Args:
        found: what it found, in the picture's pixels.
        truth: the airplanes (M, 4).

    Returns:
        (K, 4): the boxes of false hits, then those of missed airplanes.
    """
    overlaps = iou_matrix(found.boxes, truth)
    false = overlaps.max(axis=1, initial=0) < _FALSE_IOU
    missed = overlaps.max(axis=0, initial=0) < _FOUND_IOU
    return np.concatenate([found.boxes[false], truth[missed]])


def mine(photos: Sequence[Photo], predictor: Predictor, config: ScanConfig, batch: int) -> list[FloatArray]:
    """The mistakes of a model in every photo, looked at as the pipeline would."""
    headers = (read_header(str(photo.path), photo.resolution_m) for photo in photos)
    found = scan_all(headers, config, predictor, batch, MARGIN_PX)
    return [mistakes(some, photo.boxes) for some, photo in zip(found, photos, strict=True)]


def write(places: dict[str, list[FloatArray]], file: Path) -> None:
    """Keeps mistakes, by data set and photo; the file appears whole or not at all."""
    content = {name: [boxes.tolist() for boxes in some] for name, some in places.items()}
    write_atomically(file, json.dumps(content))


def read(file: Path) -> dict[str, list[FloatArray]]:
    """What `write` has kept."""
    content = json.loads(file.read_text())
    return {name: [np.array(boxes, np.float64).reshape(-1, 4) for boxes in some] for name, some in content.items()}
