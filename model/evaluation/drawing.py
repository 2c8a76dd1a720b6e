"""A picture with its truth, what was found on it, and what of that is wrong, to look at while a detector is trained.

Airplanes: green found, red missed. Detections, with their scores: blue right, yellow off in position or size by more
than 30 % of the airplane's size, magenta false. Grey: boxes of either kind that neither count nor harm.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from geo.types import Detections, FloatArray, ImageArray
from model.evaluation import tile_metrics
from model.evaluation.images import Picture

# Pictures are cut to at most this side.
SIDE_PX = 640

Colour = tuple[int, int, int]
FOUND, MISSED = (0, 230, 0), (255, 60, 60)
RIGHT, OFF, FALSE = (0, 170, 255), (255, 220, 0), (255, 0, 255)
VOID = (150, 150, 150)


def draw(picture: Picture, found: Detections, min_score: float) -> ImageArray:
    """Draws a picture around its first airplane.

    Args:
        picture: as it was compared with what was found.
        found: everything that was found, in the picture's pixels.
        min_score: from which a detection is drawn.

    Returns:
        (height, width, 3), at most 640 pixels high and wide.

    Raises:
        RasterError: the picture cannot be read.
    """
    photo, counted, airplanes = picture.subject.photo, picture.found(min_score), picture.compared.airplanes
    image, corner = _cut(photo.pixels(), photo.boxes)
    canvas = ImageDraw.Draw(image)
    everything = np.concatenate([photo.boxes, photo.ignored, found.boxes[found.scores >= min_score]])
    _outline(canvas, everything - corner, [VOID] * len(everything))
    of = tile_metrics.mistakes(counted, airplanes)
    _outline(canvas, airplanes - corner, [MISSED if missed else FOUND for missed in of.missed])
    colours = [FALSE if false else OFF if off else RIGHT for false, off in zip(of.false, of.off, strict=True)]
    _outline(canvas, counted.boxes - corner, colours)
    for box, score, colour in zip(counted.boxes - corner, counted.scores, colours, strict=True):
        canvas.text((box[0], box[3]), f"{score:.2f}", fill=colour)
    return np.asarray(image)


def _cut(pixels: ImageArray, airplanes: FloatArray) -> tuple[Image.Image, FloatArray]:
    """The part that is drawn, and its corner twice (4,)."""
    size = np.array(pixels.shape[1::-1])
    centre = (airplanes[0, :2] + airplanes[0, 2:]) / 2 if len(airplanes) else size / 2
    x, y = np.clip(centre - SIDE_PX / 2, 0, np.maximum(size - SIDE_PX, 0)).astype(int)
    return Image.fromarray(pixels[y : y + SIDE_PX, x : x + SIDE_PX]), np.array([x, y, x, y], np.float64)


def _outline(canvas: ImageDraw.ImageDraw, boxes: FloatArray, colours: Sequence[Colour]) -> None:
    for box, colour in zip(boxes.tolist(), colours, strict=True):
        canvas.rectangle(box, outline=colour)
