"""Pictures of data sets, looked at by a predictor, or with detections that were made elsewhere."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from geo.errors import ConfigError
from geo.raster.header import SceneHeader
from geo.types import Detections
from model.common.progress import progress
from model.data.labels import AnnotatedImage
from model.evaluation import metrics
from model.evaluation.detections import DetectionFile, assign
from model.evaluation.figures import together
from model.evaluation.images import Picture, Subject, compare, read_subject
from model.inference import calibration
from model.inference.calibration import Calibration
from model.inference.predictor import Predictor
from model.inference.scan import ScanConfig, scan_all

# The name of all data sets as one.
TOGETHER = "together"


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """One set: its pictures, and what was found on each, in its pixels."""

    subjects: Sequence[Subject]
    found: Sequence[Detections]

    def compared(self) -> list[Picture]:
        """Every picture held against its truth."""
        return [compare(subject, found) for subject, found in zip(self.subjects, self.found, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was measured.

    Attributes:
        model: with its digest, or what made the detections.
        min_score: the threshold of the figures that ask for one.
        sets: the pictures of each set, and of all data sets as `TOGETHER`.
        calibration: fitted on these sets; None where it was not asked for.
    """

    model: str
    min_score: float
    sets: dict[str, list[Picture]]
    calibration: Calibration | None = None


def look(photos: Sequence[AnnotatedImage], name: str, predictor: Predictor, config: ScanConfig, batch: int) -> Looked:
    """Looks at the photos of a set, through the pipeline's levels, tiles and suppression.

    Raises:
        RasterError: a photo cannot be read.
        ResolutionError: a photo is too coarse.
    """
    subjects: list[Subject] = []

    def headers() -> Iterator[SceneHeader]:
        for photo in progress(photos, name):
            subjects.append(read_subject(photo))
            yield subjects[-1].header

    found = scan_all(headers(), config, predictor, batch)
    return Looked(subjects, found)


def given(photos: Mapping[str, Sequence[AnnotatedImage]], file: DetectionFile) -> dict[str, Looked]:
    """The pictures of every set with the detections of a file.

    Raises:
        ConfigError: the file speaks of other pictures, or not clearly of one.
        RasterError: a photo cannot be read.
    """
    subjects = {name: [read_subject(photo) for photo in some] for name, some in photos.items()}
    found, unknown = assign(file, list(chain.from_iterable(subjects.values())))
    if unknown:
        print(f"model.evaluate: {unknown} pictures of the detections are in none of the sets", file=sys.stderr)
    each = iter(found)
    return {name: Looked(some, [next(each) for _ in some]) for name, some in subjects.items()}


def fit_calibration(looked: Mapping[str, Looked]) -> Calibration:
    """The calibration that fits what was found on all sets, every detection counting alike.

    Raises:
        ConfigError: there are no right detections, or no wrong ones.
    """
    pictures = [picture for each in looked.values() for picture in each.compared()]
    loose = together(pictures)[metrics.IOUS[0]]
    return calibration.fit(loose.scores, np.concatenate([picture.seen_boxes for picture in pictures]), loose.correct)


def best_min_score(pictures: Sequence[Picture]) -> float:
    """The threshold of the best F1: halfway down to the next score, so that rounding loses no detection.

    Raises:
        ConfigError: there are no airplanes or no detections to choose it from.
    """
    loose = together(pictures)[metrics.IOUS[0]]
    if not (loose.truths and len(loose.scores)):
        raise ConfigError("expected airplanes and detections to choose a threshold from, found none in these sets")
    best = metrics.best_f1(loose).min_score
    below = loose.scores[loose.scores < best].max(initial=0)
    return round(float(best + below) / 2, 6)
