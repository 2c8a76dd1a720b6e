"""TFRecord files of tiles to training batches, the same ones for the same seed, on any Keras backend."""

import itertools
from collections.abc import Iterator

import keras
import numpy as np
from numpy.typing import NDArray

from model.data import tfrecord
from model.data.tfrecord import Targets
from model.training_config import RecordsConfig

Batch = tuple[NDArray[np.uint8], NDArray[np.float32]]

# Batches that are passed over rather than looked for from the start: one of several machines takes every so manieth.
_NEAR = 64


class Tiles(keras.utils.PyDataset):  # type: ignore[misc]  # Keras publishes no types
    """The batches of tiles of one epoch, which is to be set in `epoch` before it begins; what `Crops` is for photos.

    All tiles come before any comes again: an epoch goes on where the one before has ended, wherever that was. Every
    batch is a function of the records, the seed, the epoch and its number alone; in their order they are cheapest.

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
        # One thread asks for the batches, in their order; TensorFlow's own threads make them.
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=2)
        self.records = tfrecord.read(config.pattern, config.cache)
        self.config, self.batch, self.steps, self.seed, self.targets = config, batch, steps, seed, targets
        self.epoch = epoch
        # The row of all epochs' batches from one on, and the place in it of the next.
        self._row: Iterator[Batch] | None = None
        self._place = 0

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> Batch:
        """Pixels (B, side, side, 3) uint8 and targets (B, ...) float32."""
        wanted = self.epoch * self.steps + index
        if self._row is None or not 0 <= wanted - self._place < _NEAR:
            self._row, self._place = self._from(wanted), wanted
        passed = wanted - self._place
        self._place = wanted + 1
        return next(itertools.islice(self._row, passed, None))

    def _from(self, place: int) -> Iterator[Batch]:
        """The batches from a place in the row of all epochs' batches on."""
        found = tfrecord.batches(
            self.records,
            self.targets,
            batch=self.batch,
            seed=self.seed,
            start=place * self.batch,
            shuffle_buffer=self.config.shuffle_buffer,
            augmented=self.config.augment,
        )
        return iter(found.as_numpy_iterator())
