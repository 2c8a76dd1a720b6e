"""TFRecord files of tiles to training batches, the same ones for the same seed, on any Keras backend."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from model.data import augment, tfrecord
from model.detectors.registry import Targets
from model.training.config import RecordsConfig

# Threads that change tiles.
_WORKERS = 2
# Batches that are passed over rather than looked for from the start: one of several machines takes every so manieth.
_NEAR = 64


class Tiles(keras.utils.PyDataset):  # type: ignore[misc]  # Keras publishes no types
    """The batches of tiles of one epoch, which is to be set in `epoch` before it begins; what `Crops` is for photos.

    All tiles come before any comes again: an epoch goes on where the one before has ended, wherever that was. Every
    batch is a function of the records, the seed, the epoch and its number alone; in their order they are cheapest.

    TensorFlow reads, shuffles and decodes, in threads of its own. What is done in Python is done here: TensorFlow's
    threads would still wait for Python when that has ended, and the command never would.

    Args:
        config: where the records are, and how they are read.
        batch: tiles in a batch.
        steps: batches in an epoch.
        seed: of order and changes.
        targets: makes what the network is to say of a tile.
        epoch: the first one.

    Raises:
        ConfigError: no files, or some that are damaged.
    """

    def __init__(
        self, config: RecordsConfig, batch: int, steps: int, seed: int, targets: Targets, epoch: int = 0
    ) -> None:
        # One thread asks for the batches, in their order.
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=8)
        self.records = tfrecord.read(config.pattern, config.cache)
        self.config, self.batch, self.steps, self.seed, self.targets = config, batch, steps, seed, targets
        self.epoch = epoch
        self._pool = ThreadPoolExecutor(_WORKERS)
        # The row of all epochs' tiles from one on, and the place in it of the next.
        self._row: Iterator[Any] | None = None
        self._place = 0

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Pixels (B, side, side, 3) uint8 and targets (B, ...) float32."""
        first = (self.epoch * self.steps + index) * self.batch
        pairs = list(self._pool.map(self._example, itertools.count(first), self._taken(first)))
        return np.stack([pixels for pixels, _ in pairs]), np.stack([target for _, target in pairs])

    def _taken(self, first: int) -> list[Any]:
        """A batch of tiles as they are in the files, from a place in the row on."""
        if self._row is None or not 0 <= first - self._place < _NEAR * self.batch:
            found = tfrecord.row(self.records, self.seed, first, self.config.shuffle_buffer)
            self._row, self._place = iter(found.as_numpy_iterator()), first
        passed, self._place = first - self._place, first + self.batch
        return list(itertools.islice(self._row, passed, passed + self.batch))

    def _example(
        self, place: int, tile: tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        pixels, boxes, ignored = tile[0], *(some.astype(np.float64) for some in tile[1:])
        if self.config.augment:
            generator = np.random.default_rng([self.seed, place])
            pixels, boxes, ignored = augment.change(pixels, boxes, ignored, generator)
        return pixels, self.targets(boxes, ignored, *pixels.shape[:2])
