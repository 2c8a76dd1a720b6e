"""The boxes and scores of all cells of an image to one detection per airplane, whatever engine computes them."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo.nms import box_voting, suppress
from geo.types import Detections, ImageArray
from model.inference.predictor import images_per_batch

# Boxes of one airplane overlap by more than this; boxes of two airplanes in one tile by less.
_TILE_IOU = 0.5
# A cell's box takes part in the average if it overlaps the highest-scoring one by this much.
_VOTE_IOU = 0.6
# Cells below this score do not take part in it.
MIN_VOTE = 0.01

#: Pixels uint8 (B, H, W, 3) to boxes (B, ..., 4) in pixels, and calibrated scores (B, ...), float32.
Engine = Callable[[ImageArray], tuple[NDArray[np.float32], NDArray[np.float32]]]


def tile_detections(boxes: NDArray[Any], scores: NDArray[Any], min_score: float, min_vote: float) -> Detections:
    """Reduce the boxes of all cells of one image to one detection per airplane.

    The highest-scoring cell gives the score; the box is the mean of the boxes that overlap its own, which is nearer to
    the truth than any single one (box voting).

    Args:
        boxes: (..., 4) in pixels of the image.
        scores: (...), 0..1.
        min_score: detections below it are left out.
        min_vote: cells from this score on take part in the mean: lower than `min_score`, so that boxes do not depend
            on the threshold.
    """
    candidates = scores >= min(min_score, min_vote)
    boxes, scores = boxes[candidates].astype(np.float64), scores[candidates].astype(np.float64)
    kept = suppress(boxes, scores, _TILE_IOU)
    kept = kept[scores[kept] >= min_score]
    return Detections(box_voting(boxes, kept, _VOTE_IOU), scores[kept], np.full(len(kept), np.nan))


class CellPredictor:
    """A `Predictor` over an engine that computes a box and a score for each cell.

    Args:
        name: name of the model, with its digest.
        default_min_score: the score from which a detection counts as an airplane.
        engine: computes the cells of a batch.
        batch_size: every batch is padded to this many images, since results differ in the last bits between sizes.
        min_score: detections below it are left out.
        min_vote: see `tile_detections`.
        fills_batches: whether small images are put together in larger batches; see `predictor.images_per_batch`.
    """

    def __init__(
        self,
        name: str,
        default_min_score: float,
        engine: Engine,
        batch_size: int,
        min_score: float,
        min_vote: float = MIN_VOTE,
        fills_batches: bool = False,
    ) -> None:
        self.name = name
        self.default_min_score = default_min_score
        self.engine = engine
        self.batch_size = batch_size
        self.min_score = min_score
        self.min_vote = min_vote
        self.fills_batches = fills_batches
        # Threads share a predictor; batches beside each other would share its cores and multiply its memory.
        self._lock = threading.Lock()

    def __call__(self, images: ImageArray) -> list[Detections]:
        """See `Predictor`; while the engine runs on a batch, the cells of the one before become detections."""
        _, height, width, _ = images.shape
        size = images_per_batch(height, width, self.batch_size) if self.fills_batches else self.batch_size
        with ThreadPoolExecutor(max_workers=1) as pool:
            cells = (
                image_cells
                for start in range(0, len(images), size)
                for image_cells in self._compute_cells(images[start : start + size], size)
            )
            return [reduced.result() for reduced in [pool.submit(self._reduce, *each) for each in cells]]

    def _compute_cells(
        self, images: ImageArray, size: int
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Yield the boxes and scores of the cells of each image of a batch, which is padded to `size` images."""
        missing = size - len(images)
        padded = np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else images
        with self._lock:
            boxes, scores = self.engine(padded)
        yield from zip(boxes[: len(images)], scores[: len(images)], strict=True)

    def _reduce(self, boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> Detections:
        return tile_detections(boxes, scores, self.min_score, self.min_vote)
