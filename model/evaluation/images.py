"""Images of a data set, compared with their detections and drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from geo.boxes import area
from geo.raster.header import SceneHeader, read_header
from geo.types import Detections, FloatArray, ImageArray
from model.data.labels import AnnotatedImage
from model.evaluation import metrics
from model.evaluation.metrics import Comparison

# Drawn images are cut to at most this side.
DRAWN_SIDE_PX = 640

Colour = tuple[int, int, int]
DETECTED, MISSED = (0, 230, 0), (255, 60, 60)
CORRECT, IMPRECISE, FALSE = (0, 170, 255), (255, 220, 0), (255, 0, 255)
VOID = (150, 150, 150)


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationImage:
    """An image to evaluate on.

    Attributes:
        image: its file and annotations.
        header: size and ground resolution, as the detector reads it.
    """

    image: AnnotatedImage
    header: SceneHeader


@dataclass(frozen=True, slots=True, eq=False)
class ComparedImage:
    """An image whose detections are compared with its annotations.

    Attributes:
        source: the image.
        comparison: at the IoU thresholds `metrics.IOUS`.
        on_background: (N,) which of `comparison.detections` have their centre in no airplane's box.
        background_km2: ground area without the boxes of airplanes; NaN where the resolution is not known.
    """

    source: EvaluationImage
    comparison: Comparison
    on_background: NDArray[np.bool_]
    background_km2: float

    def detections(self, min_score: float) -> Detections:
        """Return the detections that count, from a score on."""
        detections = self.comparison.detections
        return detections.take(detections.scores >= min_score)

    def tiles(self, min_score: float) -> list[tuple[Detections, FloatArray]]:
        """Return the detections from a score on, and the airplanes, per tile; see `metrics.split_into_tiles`."""
        header = self.source.header
        return metrics.split_into_tiles(
            self.detections(min_score), self.comparison.airplanes, header.width, header.height
        )

    @property
    def level_boxes(self) -> FloatArray:
        """Boxes (N, 4) of the detections that count, in pixels of the levels on which they were detected."""
        detections = self.comparison.detections
        scale = np.array(self.source.header.resolution_m * 2) / detections.resolution_m[:, None]
        return np.asarray(detections.boxes * scale)

    @property
    def sizes_px(self) -> FloatArray:
        """Longer side (M,) of each airplane that counts, in pixels of the image."""
        return _longer_sides(self.comparison.airplanes)

    @property
    def sizes_m(self) -> FloatArray:
        """Longer side (M,) of each airplane that counts, in metres; NaN where the resolution is not known."""
        known = self.source.image.resolution_known
        return _longer_sides(
            self.comparison.airplanes * np.array(self.source.header.resolution_m * 2 if known else [np.nan] * 4)
        )


def read_evaluation_image(image: AnnotatedImage) -> EvaluationImage:
    """Read the header of an image.

    Raises:
        RasterError: it cannot be read.
        GeoreferenceError: its resolution is to come from its georeference, which has none.
    """
    return EvaluationImage(image, read_header(str(image.path), image.resolution_m))


def compare_image(source: EvaluationImage, detections: Detections) -> ComparedImage:
    """Compare detections, in pixels of an image, with its annotations."""
    image, header = source.image, source.header
    comparison = metrics.compare(detections, image.boxes, header.width, header.height, metrics.IOUS, image.ignored)
    width_m, height_m = header.resolution_m if image.resolution_known else (np.nan, np.nan)
    background_px = header.width * header.height - float(area(image.boxes).sum())
    return ComparedImage(
        source=source,
        comparison=comparison,
        on_background=_on_background(comparison.detections.boxes, image.boxes),
        background_km2=background_px * width_m * height_m / 1e6,
    )


def _longer_sides(boxes: FloatArray) -> FloatArray:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0))


def _on_background(boxes: FloatArray, airplanes: FloatArray) -> NDArray[np.bool_]:
    centres = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    inside = (centres >= airplanes[None, :, :2]) & (centres < airplanes[None, :, 2:])
    return np.asarray(~np.any(np.all(inside, axis=2), axis=1))


def draw(compared: ComparedImage, detections: Detections, min_score: float) -> ImageArray:
    """Draw annotations, detections and mistakes on a crop around the first airplane of an image.

    Airplanes are green if detected, red if missed. Detections, with their scores, are blue if correct, yellow if off in
    position or size by more than 30 % of the airplane's size, magenta if false. Void boxes of either kind are grey.

    Args:
        compared: the image.
        detections: all detections on it, in its pixels, also those that do not count.
        min_score: detections below are not drawn.

    Returns:
        (height, width, 3), at most 640 pixels high and wide.

    Raises:
        RasterError: the image cannot be read.
    """
    image, counted, airplanes = compared.source.image, compared.detections(min_score), compared.comparison.airplanes
    crop, corner = _crop(image.pixels(), image.boxes)
    canvas = ImageDraw.Draw(crop)
    all_boxes = np.concatenate([image.boxes, image.ignored, detections.boxes[detections.scores >= min_score]])
    _outline(canvas, all_boxes - corner, [VOID] * len(all_boxes))
    mistakes = metrics.find_mistakes(counted, airplanes)
    _outline(canvas, airplanes - corner, [MISSED if missed else DETECTED for missed in mistakes.missed])
    colours = [
        FALSE if false else IMPRECISE if imprecise else CORRECT
        for false, imprecise in zip(mistakes.false, mistakes.imprecise, strict=True)
    ]
    _outline(canvas, counted.boxes - corner, colours)
    for box, score, colour in zip(counted.boxes - corner, counted.scores, colours, strict=True):
        canvas.text((box[0], box[3]), f"{score:.2f}", fill=colour)
    return np.asarray(crop)


def _crop(pixels: ImageArray, airplanes: FloatArray) -> tuple[Image.Image, FloatArray]:
    """Return the crop to draw on, and its top left corner twice (4,)."""
    size = np.array(pixels.shape[1::-1])
    centre = (airplanes[0, :2] + airplanes[0, 2:]) / 2 if len(airplanes) else size / 2
    x, y = np.clip(centre - DRAWN_SIDE_PX / 2, 0, np.maximum(size - DRAWN_SIDE_PX, 0)).astype(int)
    crop = pixels[y : y + DRAWN_SIDE_PX, x : x + DRAWN_SIDE_PX]
    return Image.fromarray(crop), np.array([x, y, x, y], np.float64)


def _outline(canvas: ImageDraw.ImageDraw, boxes: FloatArray, colours: Sequence[Colour]) -> None:
    for box, colour in zip(boxes.tolist(), colours, strict=True):
        canvas.rectangle(box, outline=colour)
