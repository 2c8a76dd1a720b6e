"""Tiles in TFRecord files: how one is written, and an endless row of them.

A record is a `tf.train.Example`: `image` (a JPEG), `boxes` and `ignored` (4N numbers: xmin, ymin, xmax, ymax in pixels
of the tile, corner origin) and `name` (the photo's, and the tile's corner there).
"""

import io
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from geo.errors import ConfigError
from model.datagen.tiles import Tile

_SHARD = re.compile(r"(.*)-(\d+)-of-(\d+)\.tfrecord")
_REMEDY = "make them with python -m model.datagen"


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


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Files that were looked at.

    Attributes:
        dataset: their records, in the order of the files.
        count: how many.
        side_px: of a tile.
    """

    dataset: tf.data.Dataset
    count: int
    side_px: int


def read(pattern: str, cache: bool = False) -> Records:
    """Opens the files that a pattern names, local or `gs://`, and reads them once, to count and to check them.

    Args:
        pattern: a glob.
        cache: keep the records in memory, as JPEGs.

    Raises:
        ConfigError: no files, some shards of several are missing, or a file is damaged or holds no tiles.
    """
    try:
        files = sorted(tf.io.gfile.glob(pattern))
        _check_whole(pattern, files)
        dataset = tf.data.TFRecordDataset(files)
        sides = [int(parse(record)[0].shape[0]) for record in dataset.take(1)]
        kept = dataset.cache() if cache else dataset
        count = int(kept.reduce(np.int64(0), lambda number, _: number + 1))
    except tf.errors.OpError as error:
        reason = " ".join(str(error.message).split())
        raise ConfigError(f"{pattern}: expected TFRecord files of tiles, got '{reason}': {_REMEDY}") from error
    if not sides:
        raise ConfigError(f"{pattern}: expected tiles, found none in {len(files)} files: {_REMEDY}")
    return Records(kept, count, sides[0])


def row(records: Records, seed: int, start: int = 0, shuffle_buffer: int = 0) -> tf.data.Dataset:
    """The tiles without end; all of them come once before any comes again, each time in an order of its own.

    The row is a function of the records, the seed and the buffer alone. So one can go on with it anywhere.

    Args:
        records: the tiles.
        seed: of the order.
        start: place in the row of the first tile.
        shuffle_buffer: tiles among which the next one is drawn; 0: they come in the order of the files.

    Returns:
        What `parse` says of each.
    """

    def one_pass(number: Any) -> tf.data.Dataset:
        if not shuffle_buffer:
            return records.dataset
        # Inside of a graph this is the graph's seed: whatever seed TensorFlow has, these two numbers make the order.
        tf.random.set_seed(seed + 1)
        return records.dataset.shuffle(shuffle_buffer, seed=number, reshuffle_each_iteration=False)

    first, skipped = divmod(start, records.count)
    endless = tf.data.Dataset.range(first, tf.int64.max).flat_map(one_pass).skip(skipped)
    return endless.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def parse(record: Any) -> tuple[Any, Any, Any]:
    """Pixels (side, side, 3), boxes (N, 4) and boxes to ignore (M, 4) of a record, as tensors."""
    numbers = tf.io.FixedLenSequenceFeature((4,), tf.float32, allow_missing=True)
    features = {"image": tf.io.FixedLenFeature((), tf.string), "boxes": numbers, "ignored": numbers}
    found = tf.io.parse_single_example(record, features)
    # As Pillow decodes, and so the pipeline.
    pixels = tf.io.decode_jpeg(found["image"], channels=3, dct_method="INTEGER_ACCURATE")
    return pixels, found["boxes"], found["ignored"]


def _check_whole(pattern: str, files: Sequence[str]) -> None:
    """Refuses no files, and a part of what was made together."""
    if not files:
        raise ConfigError(f"{pattern}: expected TFRecord files, found none: {_REMEDY}")
    numbers: dict[tuple[str, int], set[int]] = defaultdict(set)
    for file in files:
        if match := _SHARD.fullmatch(file):
            numbers[match[1], int(match[3])].add(int(match[2]))
    for (stem, count), found in numbers.items():
        if len(found) < count:
            missing = min(set(range(count)) - found)
            raise ConfigError(
                f"{pattern}: expected {count} files {stem}-..., number {missing} is missing: mend the pattern, or "
                "copy all of them"
            )


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _numbers(boxes: NDArray[np.float64]) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=boxes.ravel()))
