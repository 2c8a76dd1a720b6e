"""Hard examples: where an earlier model was wrong, to train on more often; false positives and missed airplanes."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from geo.boxes import iou_matrix
from geo.raster.header import read_header
from geo.types import Detections, FloatArray
from model.common.atomic import write_atomically
from model.data.labels import AnnotatedImage
from model.inference.predictor import Predictor
from model.inference.scan import scan_all
from model.inference.scan_config import ScanConfig

# A detection whose IOU with every airplane is below this is a false positive; between the two only its box is off.
_FALSE_IOU = 0.1
_DETECTED_IOU = 0.5


def select_hard_boxes(detections: Detections, truth: FloatArray) -> FloatArray:
    """Select the boxes where a model was wrong in one image.

    Args:
        detections: the model's detections, in the image's pixels.
        truth: the airplanes (M, 4).

    Returns:
        (K, 4): the boxes of false positives, then those of missed airplanes.
    """
    overlaps = iou_matrix(detections.boxes, truth)
    false = overlaps.max(axis=1, initial=0) < _FALSE_IOU
    missed = overlaps.max(axis=0, initial=0) < _DETECTED_IOU
    return np.concatenate([detections.boxes[false], truth[missed]])


def mine_hard_examples(
    images: Sequence[AnnotatedImage], predictor: Predictor, config: ScanConfig, batch: int
) -> list[FloatArray]:
    """Return the hard boxes (K, 4) of every image, scanned as the pipeline would."""
    headers = (read_header(str(image.path), image.resolution_m) for image in images)
    detections = scan_all(headers, config, predictor, batch)
    return [select_hard_boxes(of_image, image.boxes) for of_image, image in zip(detections, images, strict=True)]


def write_hard_examples(examples: dict[str, list[FloatArray]], file: Path) -> None:
    """Write hard boxes, by data set and image, atomically."""
    write_atomically(
        file, json.dumps({name: [boxes.tolist() for boxes in images] for name, images in examples.items()})
    )


def read_hard_examples(file: Path) -> dict[str, list[FloatArray]]:
    """Read what `write_hard_examples` has written."""
    content = json.loads(file.read_text(encoding="utf-8"))
    return {name: [np.array(boxes, np.float64).reshape(-1, 4) for boxes in images] for name, images in content.items()}
