"""Tiles in TFRecord files, and from there to training batches, on any Keras backend.

A record is a `tf.train.Example`: `image` (a JPEG), `boxes` and `ignored` (4N numbers: xmin, ymin, xmax, ymax in pixels
of the tile, corner origin) and `name` (the photo's, and the tile's corner there).
"""

import io
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from geo.errors import ConfigError
from model.data import augment
from model.data.tiles import Tile

#: Makes targets of airplanes (N, 4), boxes to ignore (M, 4), height and width, as `assignment.targets` does.
Targets = Callable[[NDArray[np.float64], NDArray[np.float64], int, int], NDArray[np.float32]]

_SHARD = re.compile(r"(.*)-(\d+)-of-(\d+)\.tfrecord")


def encode(tile: Tile, quality: int) -> bytes:
    """A tile as a record; `quality` is the JPEG's, 1 to 95."""
    buffer = io.BytesIO()
    Image.fromarray(tile.crop.pixels).save(buffer, "JPEG", quality=quality)
    feature = {
        "image": _bytes(buffer.getvalue()),
        "boxes": _numbers(tile.crop.boxes),
        "ignored": _numbers(tile.crop.ignored),
        "name": _bytes(tile.name.encode()),
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    # Maps have no order of their own: the same tile is to be the same bytes.
    return bytes(example.SerializeToString(deterministic=True))


def find(pattern: str) -> list[str]:
    """The files that a pattern names, local or `gs://`, in the order of their names.

    Raises:
        ConfigError: none, or some shards of several are not there.
    """
    try:
        files = sorted(tf.io.gfile.glob(pattern))
    except tf.errors.OpError as error:
        raise ConfigError(f"{pattern}: expected TFRecord files, got '{error.message}': check the path") from error
    if not files:
        raise ConfigError(f"{pattern}: expected TFRecord files, found none: make some with python -m model.datagen")
    _check_whole(files)
    return files


def batches(
    files: Sequence[str],
    targets: Targets,
    *,
    batch: int,
    seed: int,
    start: int = 0,
    shuffle_buffer: int = 0,
    cache: bool = False,
    augmented: bool = True,
) -> tf.data.Dataset:
    """Batches of tiles without end; all tiles come once before any comes again.

    The tiles are an endless row, which is a function of the files, the seed and the buffer alone; so a training that
    is gone on with sees what an unbroken one would have seen.

    Args:
        files: TFRecord files, as `find` gives them. All are read once to begin with, to count and check them.
        targets: what the network is to say of a tile.
        batch: tiles in a batch.
        seed: of order and changes.
        start: place in the row of the first tile.
        shuffle_buffer: tiles among which the next one is drawn; 0: they come in the order of the files.
        cache: keep the records in memory, as JPEGs.
        augmented: change each tile (`augment.change`).

    Returns:
        Pixels (batch, side, side, 3) uint8, and targets (batch, ...) float32.

    Raises:
        ConfigError: files that are damaged, or hold no tiles.
    """
    records = tf.data.TFRecordDataset(list(files))
    side = _side(records, files)
    kept = records.cache() if cache else records
    row = _endless(kept, _count(kept, files), shuffle_buffer, seed, start)

    def example(
        place: int, pixels: NDArray[np.uint8], boxes: NDArray[np.float32], ignored: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        airplanes, others = boxes.astype(np.float64), ignored.astype(np.float64)
        if augmented:
            generator = np.random.default_rng([seed, place])
            pixels, airplanes, others = augment.change(pixels, airplanes, others, generator)
        return pixels, targets(airplanes, others, side, side)

    none = np.zeros((0, 4))
    shapes = (side, side, 3), targets(none, none, side, side).shape

    def mapped(place: Any, record: Any) -> Any:
        made = tf.numpy_function(example, [place, *_parsed(record)], [tf.uint8, tf.float32])
        return tuple(tf.ensure_shape(part, shape) for part, shape in zip(made, shapes, strict=True))

    examples = row.enumerate(start).map(mapped, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return examples.batch(batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def _endless(records: tf.data.Dataset, count: int, shuffle_buffer: int, seed: int, start: int) -> tf.data.Dataset:
    """The records again and again, each time in an order of its own, from the place `start` on."""

    def one_pass(number: Any) -> tf.data.Dataset:
        if not shuffle_buffer:
            return records
        # Inside of a graph this is the graph's seed: whatever seed TensorFlow has, these two numbers make the order.
        tf.random.set_seed(seed + 1)
        return records.shuffle(shuffle_buffer, seed=number, reshuffle_each_iteration=False)

    first, skipped = divmod(start, count)
    return tf.data.Dataset.range(first, tf.int64.max).flat_map(one_pass).skip(skipped)


def _parsed(record: Any) -> tuple[Any, Any, Any]:
    """Pixels (side, side, 3), boxes (N, 4) and boxes to ignore (M, 4) of a record."""
    numbers = tf.io.FixedLenSequenceFeature((4,), tf.float32, allow_missing=True)
    features = {"image": tf.io.FixedLenFeature((), tf.string), "boxes": numbers, "ignored": numbers}
    found = tf.io.parse_single_example(record, features)
    # As Pillow decodes, and so the pipeline.
    pixels = tf.io.decode_jpeg(found["image"], channels=3, dct_method="INTEGER_ACCURATE")
    return pixels, found["boxes"], found["ignored"]


def _side(records: tf.data.Dataset, files: Sequence[str]) -> int:
    """Side of the first tile."""
    try:
        for record in records.take(1):
            return int(_parsed(record)[0].shape[0])
    except tf.errors.OpError as error:
        raise _damaged(files, error) from error
    raise ConfigError(f"{files[0]}: expected tiles, found none: make some with python -m model.datagen")


def _count(records: tf.data.Dataset, files: Sequence[str]) -> int:
    try:
        return int(records.reduce(np.int64(0), lambda number, _: number + 1))
    except tf.errors.OpError as error:
        raise _damaged(files, error) from error


def _damaged(files: Sequence[str], error: tf.errors.OpError) -> ConfigError:
    reason = " ".join(str(error.message).split())
    return ConfigError(
        f"{files[0]}, ...: expected TFRecord files of tiles, got '{reason}': make them anew with "
        "python -m model.datagen"
    )


def _check_whole(files: Sequence[str]) -> None:
    """Refuses a part of what was made together."""
    numbers: dict[tuple[str, int], set[int]] = defaultdict(set)
    for file in files:
        if match := _SHARD.fullmatch(file):
            numbers[match[1], int(match[3])].add(int(match[2]))
    for (stem, count), found in numbers.items():
        missing = sorted(set(range(count)) - found)
        if missing:
            raise ConfigError(
                f"{PurePosixPath(stem).name}-*: expected {count} files, number {missing[0]} of them is missing: mend "
                "the pattern, or copy all of them"
            )


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _numbers(boxes: NDArray[np.float64]) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=boxes.ravel()))
