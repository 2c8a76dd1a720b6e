"""Tiles in TFRecord files, and batches of them to train on: the same ones for the same seed, on any Keras backend.

A record is a `tf.train.Example`: `image` (a JPEG), `boxes` and `ignored` (4N numbers: xmin, ymin, xmax, ymax in pixels
of the tile, corner origin) and `name` (that of the image, and the tile's corner in it).
"""

import io
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from geo.errors import ConfigError
from model.data import augment
from model.data.crops import Crop
from model.detectors.registry import Targets

_SHARD = re.compile(r"(.*)-(\d+)-of-(\d+)\.tfrecord")
_REMEDY = "make them with python -m model.datagen"
# Threads that augment tiles.
_WORKERS = 2
# A jump ahead of up to this many batches skips tiles rather than reopening the stream: one of several machines takes
# every n-th batch.
_MAX_SKIPPED_BATCHES = 64


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A tile: its name (that of its image, and its corner there), and its pixels and boxes."""

    name: str
    crop: Crop


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """TFRecord files of tiles, checked.

    Attributes:
        dataset: their records, in the order of the files.
        count: the number of records.
        side_px: side of a tile.
    """

    dataset: tf.data.Dataset
    count: int
    side_px: int


def encode_tile(tile: Tile, quality: int) -> bytes:
    """Encode a tile as a record; `quality` is the JPEG's, 1 to 95."""
    buffer = io.BytesIO()
    Image.fromarray(tile.crop.pixels).save(buffer, "JPEG", quality=quality)
    feature = {
        "image": _bytes_feature(buffer.getvalue()),
        "boxes": _float_feature(tile.crop.boxes),
        "ignored": _float_feature(tile.crop.ignored),
        "name": _bytes_feature(tile.name.encode()),
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    # Protobuf maps are unordered: the same tile is to give the same bytes.
    return bytes(example.SerializeToString(deterministic=True))


def parse_tile(record: Any) -> tuple[Any, Any, Any]:
    """Decode a record: pixels (side, side, 3), boxes (N, 4) and boxes to ignore (M, 4), as tensors."""
    floats = tf.io.FixedLenSequenceFeature((4,), tf.float32, allow_missing=True)
    features = {"image": tf.io.FixedLenFeature((), tf.string), "boxes": floats, "ignored": floats}
    example = tf.io.parse_single_example(record, features)
    # Decodes as Pillow does, and so as the pipeline does.
    pixels = tf.io.decode_jpeg(example["image"], channels=3, dct_method="INTEGER_ACCURATE")
    return pixels, example["boxes"], example["ignored"]


def open_records(pattern: str, cache: bool = False) -> Records:
    """Open the files that a pattern names, local or `gs://`, and read them once, to count and check the records.

    Args:
        pattern: a glob.
        cache: keep the records in memory, as JPEGs.

    Raises:
        ConfigError: no files, some of several shards are missing, or a file is damaged or holds no tiles.
    """
    try:
        files = sorted(tf.io.gfile.glob(pattern))
        _check_complete(pattern, files)
        dataset = tf.data.TFRecordDataset(files)
        sides = [int(parse_tile(record)[0].shape[0]) for record in dataset.take(1)]
        records = dataset.cache() if cache else dataset
        count = int(records.reduce(np.int64(0), lambda number, _: number + 1))
    except tf.errors.OpError as error:
        reason = " ".join(str(error.message).split())
        raise ConfigError(f"{pattern}: expected TFRecord files of tiles, got '{reason}': {_REMEDY}") from error
    if not sides:
        raise ConfigError(f"{pattern}: expected tiles, found none in {len(files)} files: {_REMEDY}")
    return Records(records, count, sides[0])


def repeat_tiles(records: Records, seed: int, start: int = 0, shuffle_buffer: int = 0) -> tf.data.Dataset:
    """Repeat the tiles without end; all of them come once before any comes again, each time in a new order.

    The stream is a function of the records, the seed and the buffer alone, so it can be resumed anywhere.

    Args:
        records: the tiles.
        seed: seed of the order.
        start: index in the stream of the first tile.
        shuffle_buffer: number of tiles from which the next one is drawn; 0 keeps the order of the files.

    Returns:
        The results of `parse_tile`.
    """

    def one_pass(number: Any) -> tf.data.Dataset:
        if not shuffle_buffer:
            return records.dataset
        # Inside a graph this is the graph's seed: whatever seed TensorFlow has, these two numbers make the order.
        tf.random.set_seed(seed + 1)
        return records.dataset.shuffle(shuffle_buffer, seed=number, reshuffle_each_iteration=False)

    first, skipped = divmod(start, records.count)
    endless = tf.data.Dataset.range(first, tf.int64.max).flat_map(one_pass).skip(skipped)
    return endless.map(parse_tile, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


class TileBatches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras publishes no types
    """The batches of tiles of one epoch; set `epoch` before it begins. The counterpart of `CropBatches`.

    All tiles come before any comes again: an epoch continues where the one before has ended. Every batch is a function
    of the records, the seed, the epoch and its number alone; in their order they are cheapest.

    TensorFlow reads, shuffles and decodes, in threads of its own. Python code runs in the threads of this class: those
    of TensorFlow would wait for Python after it has ended, and the command would never end.

    Args:
        records: the tiles.
        shuffle_buffer: as in `repeat_tiles`.
        augmented: whether tiles are augmented.
        batch: tiles in a batch.
        steps: batches in an epoch.
        seed: seed of order and augmentation.
        targets: builds the targets of the network from the boxes of a tile.
        epoch: the first epoch.
    """

    def __init__(
        self,
        records: Records,
        shuffle_buffer: int,
        augmented: bool,
        batch: int,
        steps: int,
        seed: int,
        targets: Targets,
        epoch: int = 0,
    ) -> None:
        # One thread asks for the batches, in their order.
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=8)
        self.records, self.shuffle_buffer, self.augmented = records, shuffle_buffer, augmented
        self.batch, self.steps, self.seed, self.targets = batch, steps, seed, targets
        self.epoch = epoch
        self._pool = ThreadPoolExecutor(_WORKERS)
        # The stream of tiles, and the index in it of the next one.
        self._stream: Iterator[Any] | None = None
        self._next = 0

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return pixels (B, side, side, 3) uint8 and targets (B, ...) float32."""
        first = (self.epoch * self.steps + index) * self.batch
        examples = list(self._pool.map(self._make_example, itertools.count(first), self._take_batch(first)))
        return np.stack([pixels for pixels, _ in examples]), np.stack([target for _, target in examples])

    def _take_batch(self, first: int) -> list[Any]:
        """Take a batch of parsed tiles from an index of the stream on."""
        if self._stream is None or not 0 <= first - self._next < _MAX_SKIPPED_BATCHES * self.batch:
            stream = repeat_tiles(self.records, self.seed, first, self.shuffle_buffer)
            self._stream, self._next = iter(stream.as_numpy_iterator()), first
        skipped, self._next = first - self._next, first + self.batch
        return list(itertools.islice(self._stream, skipped, skipped + self.batch))

    def _make_example(
        self, index: int, tile: tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        pixels, boxes, ignored = tile[0], tile[1].astype(np.float64), tile[2].astype(np.float64)
        if self.augmented:
            generator = np.random.default_rng([self.seed, index])
            pixels, boxes, ignored = augment.augment(pixels, boxes, ignored, generator)
        return pixels, self.targets(boxes, ignored, *pixels.shape[:2])


def _check_complete(pattern: str, files: Sequence[str]) -> None:
    """Reject a pattern that matches no files, or only some of the shards that were written together."""
    if not files:
        raise ConfigError(f"{pattern}: expected TFRecord files, found none: {_REMEDY}")
    numbers: dict[tuple[str, int], set[int]] = defaultdict(set)
    for file in files:
        if match := _SHARD.fullmatch(file):
            numbers[match[1], int(match[3])].add(int(match[2]))
    for (stem, count), present in numbers.items():
        if len(present) < count:
            missing = min(set(range(count)) - present)
            raise ConfigError(
                f"{pattern}: expected {count} files {stem}-..., number {missing} is missing: correct the pattern, or "
                "copy all of them"
            )


def _bytes_feature(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _float_feature(boxes: NDArray[np.float64]) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=boxes.ravel()))
