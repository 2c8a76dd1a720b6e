"""One picture of a data set, with what was found on it held against what is there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geo.boxes import area
from geo.raster.header import SceneHeader, read_header
from geo.types import Detections, FloatArray
from model.data.labels import AnnotatedImage
from model.evaluation import metrics, tile_metrics
from model.evaluation.metrics import Comparison


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A picture to look at.

    Attributes:
        photo: the picture's file and its truth.
        header: size and ground resolution at which it is looked at.
    """

    photo: AnnotatedImage
    header: SceneHeader


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture that was looked at.

    Attributes:
        subject: the picture.
        compared: what was found against what is there, at `metrics.IOUS`.
        elsewhere: (N,) which of the detections that count have their centre in no airplane's box.
        background_km2: the picture without its airplanes' boxes; NaN where the resolution is not known.
    """

    subject: Subject
    compared: Comparison
    elsewhere: NDArray[np.bool_]
    background_km2: float

    def found(self, min_score: float) -> Detections:
        """The detections that count, from a score on."""
        return self.compared.counted.take(self.compared.counted.scores >= min_score)

    def tiles(self, min_score: float) -> list[tuple[Detections, FloatArray]]:
        """Detections from a score on, and airplanes, tile by tile: see `model.evaluation.tile_metrics.cut`."""
        header = self.subject.header
        return tile_metrics.cut(self.found(min_score), self.compared.airplanes, header.width, header.height)

    @property
    def seen_boxes(self) -> FloatArray:
        """The boxes (N, 4) of the detections that count, in pixels of the levels where the detector saw them."""
        found = self.compared.counted
        return np.asarray(found.boxes * np.array(self.subject.header.resolution_m * 2) / found.resolution_m[:, None])

    @property
    def sizes_px(self) -> FloatArray:
        """The longer side of each airplane that counts, in the picture's own pixels."""
        boxes = self.compared.airplanes
        return np.asarray((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0))

    @property
    def sizes_m(self) -> FloatArray:
        """The same in metres; NaN where the resolution is not known."""
        known = self.subject.photo.resolution_known
        boxes = self.compared.airplanes * np.array(self.subject.header.resolution_m * 2 if known else [np.nan] * 4)
        return np.asarray((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0))


def read_subject(photo: AnnotatedImage) -> Subject:
    """Reads what a look at a photo needs to know before.

    Raises:
        RasterError: it cannot be read.
        GeoreferenceError: its georeference should tell its resolution, and does not.
    """
    return Subject(photo, read_header(str(photo.path), photo.resolution_m))


def compare(subject: Subject, found: Detections) -> Picture:
    """Compares what was found on a picture, in its pixels, with the truth."""
    photo, header = subject.photo, subject.header
    compared = metrics.compare(found, photo.boxes, header.width, header.height, metrics.IOUS, photo.ignored)
    width_m, height_m = header.resolution_m if photo.resolution_known else (np.nan, np.nan)
    background_px = header.width * header.height - float(area(photo.boxes).sum())
    return Picture(
        subject=subject,
        compared=compared,
        elsewhere=_elsewhere(compared.counted.boxes, photo.boxes),
        background_km2=background_px * width_m * height_m / 1e6,
    )


def _elsewhere(boxes: FloatArray, airplanes: FloatArray) -> NDArray[np.bool_]:
    centres = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    inside = (centres >= airplanes[None, :, :2]) & (centres < airplanes[None, :, 2:])
    return np.asarray(~np.any(np.all(inside, axis=2), axis=1))
