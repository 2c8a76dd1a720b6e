import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from geo.errors import ConfigError
from model.data import augment, tfrecord
from model.data.crops import Crop
from model.data.tfrecord import Records, Tile, TileBatches
from model.detectors.anchor_free import losses
from model.detectors.registry import Targets
from tests.model.data.tile_records import SIDE, made_up_tile, write, write_files

TILES = 10


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_files(tmp_path_factory.mktemp("records"))


def order(pattern: str, count: int, cache: bool = False, **options: int) -> list[int]:
    """The numbers of the first tiles of a stream."""
    row = tfrecord.repeat_tiles(tfrecord.open_records(pattern, cache), **{"seed": 3} | options)
    return numbers(row, count)


def numbers(row: Any, count: int) -> list[int]:
    return [int(boxes[0, 0]) for _, boxes, _ in row.take(count).as_numpy_iterator()]


BOXES = hnp.arrays(np.float32, st.tuples(st.integers(0, 6), st.just(4)), elements=st.floats(0, 256, width=32))


@given(BOXES, BOXES, st.text())
def test_boxes_round_trip(boxes: NDArray[np.float32], ignored: NDArray[np.float32], name: str) -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    record = tfrecord.encode_tile(Tile(name, Crop(pixels, boxes.astype(np.float64), ignored.astype(np.float64))), 90)
    _, actual, actual_ignored = tfrecord.parse_tile(record)
    np.testing.assert_array_equal(actual, boxes)
    np.testing.assert_array_equal(actual_ignored, ignored)
    example = tf.train.Example.FromString(record)
    assert example.features.feature["name"].bytes_list.value[0].decode() == name


def test_pixels_are_those_of_other_jpeg_readers() -> None:
    # Smooth, as photos are: JPEG changes noise too much.
    rows, columns = np.mgrid[:SIDE, :SIDE]
    tile = Tile(
        "a", Crop(np.stack([rows * 3, columns * 3, rows + columns], -1).astype(np.uint8), *[np.zeros((0, 4))] * 2)
    )
    record = tfrecord.encode_tile(tile, 90)
    actual = tfrecord.parse_tile(record)[0].numpy()
    jpeg = tf.train.Example.FromString(record).features.feature["image"].bytes_list.value[0]
    assert np.abs(actual.astype(int) - tile.crop.pixels).max() < 16
    np.testing.assert_array_equal(actual, np.asarray(Image.open(io.BytesIO(jpeg))))


def test_the_same_tile_is_the_same_bytes() -> None:
    assert tfrecord.encode_tile(made_up_tile(3), 90) == tfrecord.encode_tile(made_up_tile(3), 90)
    assert len(tfrecord.encode_tile(made_up_tile(3), 40)) < len(tfrecord.encode_tile(made_up_tile(3), 90))


def test_files_are_counted(pattern: str) -> None:
    records = tfrecord.open_records(pattern)
    assert (records.count, records.side_px) == (TILES, SIDE)


def test_without_shuffling_tiles_come_in_the_order_of_the_files(pattern: str) -> None:
    assert order(pattern, 25) == [*range(10), *range(10), *range(5)]


@pytest.mark.parametrize("buffer", [2, 5, 100])
def test_every_tile_comes_once_per_pass(pattern: str, buffer: int) -> None:
    actual = order(pattern, 30, shuffle_buffer=buffer)
    passes = [actual[start : start + TILES] for start in (0, 10, 20)]
    assert all(sorted(first) == list(range(TILES)) for first in passes)
    assert len({tuple(first) for first in passes}) == 3
    # A tile comes at most a buffer earlier than in the files.
    assert all(tile < position + buffer for first in passes for position, tile in enumerate(first))


def test_the_order_depends_on_the_seed_alone(pattern: str) -> None:
    tf.random.set_seed(1)
    actual = order(pattern, 30, shuffle_buffer=5)
    tf.random.set_seed(2)
    assert order(pattern, 30, shuffle_buffer=5) == actual
    assert order(pattern, 30, shuffle_buffer=5, seed=4) != actual
    assert order(pattern, 30, shuffle_buffer=5, seed=0) != actual


@pytest.mark.parametrize("buffer", [0, 1, 5, 12])
def test_a_stream_can_be_resumed_anywhere(pattern: str, buffer: int) -> None:
    row = order(pattern, 45, shuffle_buffer=buffer)
    for start, cache in [(1, False), (9, True), (10, False), (13, True), (30, False)]:
        assert order(pattern, 15, cache, shuffle_buffer=buffer, start=start) == row[start : start + 15]


def test_cached_records_are_read_only_once(tmp_path: Path) -> None:
    records = tfrecord.open_records(write_files(tmp_path), cache=True)
    for file in tmp_path.iterdir():
        file.unlink()
    for buffer in (0, 4):
        row = tfrecord.repeat_tiles(records, seed=1, shuffle_buffer=buffer)
        assert sorted(numbers(row, 30)) == sorted(3 * list(range(TILES)))


def test_no_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"found none: make them with python -m model.datagen"):
        tfrecord.open_records(str(tmp_path / "*.tfrecord"))


def test_missing_shards_are_rejected(tmp_path: Path) -> None:
    pattern = write_files(tmp_path)
    (tmp_path / "tiles-00001-of-00003.tfrecord").unlink()
    with pytest.raises(ConfigError, match=r"expected 3 files .*, number 1 is missing"):
        tfrecord.open_records(pattern)


def test_files_may_have_any_name(tmp_path: Path) -> None:
    write(tmp_path / "mine", 1, 2)
    assert order(str(tmp_path / "mine"), 3) == [1, 2, 1]


@pytest.mark.parametrize("content", [b"no records" * 10, None])
def test_files_without_tiles_are_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "a.tfrecord"
    if content is None:
        write(file)
    else:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.tfrecord: expected .*model.datagen"):
        tfrecord.open_records(str(file))


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    pattern = write_files(tmp_path)
    last = tmp_path / "tiles-00002-of-00003.tfrecord"
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="expected TFRecord files of tiles"):
        tfrecord.open_records(pattern)


def test_records_of_something_else_are_refused(tmp_path: Path) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "a")) as writer:
        writer.write(tf.train.Example().SerializeToString())
    with pytest.raises(ConfigError, match="expected TFRecord files of tiles"):
        tfrecord.open_records(str(tmp_path / "a"))


Boxes = NDArray[np.float64]

STEPS, BATCH = 3, 2


def tiles(pattern: str, seed: int = 3, epoch: int = 0, shuffle_buffer: int = 4) -> TileBatches:
    records = tfrecord.open_records(pattern)
    return TileBatches(records, shuffle_buffer, True, BATCH, STEPS, seed, losses.targets, epoch)


def test_a_batch_has_its_shapes_and_types(pattern: str) -> None:
    pixels, target = tiles(pattern)[0]
    assert pixels.shape == (BATCH, SIDE, SIDE, 3)
    assert pixels.dtype == np.uint8
    assert target.shape == (BATCH, SIDE // 4, SIDE // 4, losses.CHANNELS)
    assert target.dtype == np.float32
    assert len(tiles(pattern)) == STEPS


def test_a_batch_depends_on_seed_epoch_and_index_alone(pattern: str) -> None:
    used, row = tiles(pattern), {}
    for used.epoch in range(4):
        for index in range(STEPS):
            row[used.epoch, index] = used[index]
    # As after a resume, out of order, with gaps, and far ahead.
    asked = [tiles(pattern, epoch=2), used, tiles(pattern)]
    for subset, positions in zip(
        asked, [[(2, 0), (2, 1)], [(0, 2), (0, 1), (3, 2)], [(0, 1), (1, 0), (1, 2)]], strict=True
    ):
        for subset.epoch, index in positions:
            for mine, expected in zip(subset[index], row[subset.epoch, index], strict=True):
                np.testing.assert_array_equal(mine, expected)
    assert len({pixels.tobytes() for pixels, _ in row.values()}) == len(row)
    assert (tiles(pattern, seed=4)[0][0] != row[0, 0][0]).any()


def unchanged(pattern: str, targets: Targets = losses.targets) -> TileBatches:
    """Ten tiles in the order of the files, six to an epoch."""
    return TileBatches(tfrecord.open_records(pattern), 0, False, BATCH, STEPS, 3, targets)


def test_an_epoch_continues_where_the_previous_one_ended(pattern: str) -> None:
    used = unchanged(pattern)
    first = used[0][0]
    used.epoch = 1
    actual = [used[index][0] for index in range(STEPS)]
    assert (actual[0] != first).any()
    np.testing.assert_array_equal(actual[2], first)


def test_a_tile_is_augmented_with_its_targets(pattern: str) -> None:
    plain, changed = unchanged(pattern), tiles(pattern, shuffle_buffer=0)
    (before, targets_before), (after, targets_after) = plain[1], changed[1]
    for position in (2, 3):
        crop = made_up_tile(position).crop
        expected = losses.targets(crop.boxes, crop.ignored, SIDE, SIDE)
        np.testing.assert_array_equal(targets_before[position - 2], expected)
        generator = np.random.default_rng([3, position])
        pixels, boxes, ignored = augment.augment(before[position - 2], crop.boxes, crop.ignored, generator)
        np.testing.assert_array_equal(after[position - 2], pixels)
        np.testing.assert_array_equal(targets_after[position - 2], losses.targets(boxes, ignored, SIDE, SIDE))


def test_targets_are_those_of_the_network(pattern: str) -> None:
    def numbers(boxes: Boxes, ignored: Boxes, height: int, width: int) -> NDArray[np.float32]:
        return np.array([boxes[0, 0], len(boxes), len(ignored), height, width], np.float32)

    actual = unchanged(pattern, numbers)[1][1]
    np.testing.assert_array_equal(actual, [[2, 1, 0, SIDE, SIDE], [3, 3, 1, SIDE, SIDE]])


def test_a_jump_ahead_does_not_reopen_the_stream(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[int] = []
    plain = tfrecord.repeat_tiles

    def repeat_tiles(records: Records, seed: int, start: int, shuffle_buffer: int) -> Any:
        starts.append(start)
        return plain(records, seed, start, shuffle_buffer)

    monkeypatch.setattr(tfrecord, "repeat_tiles", repeat_tiles)
    used = tiles(pattern, epoch=1)
    for used.epoch in range(1, 4):
        for index in (0, 2):
            used[index]
    assert starts == [STEPS * BATCH]


def test_unconsumed_batches_do_not_block_the_end_of_the_process(pattern: str) -> None:
    # Threads that fill a queue that is no longer read must not keep the process alive.
    program = (
        "from model.data import tfrecord\n"
        "from model.detectors.anchor_free import losses\n"
        f"records = tfrecord.open_records({pattern!r})\n"
        "tiles = tfrecord.TileBatches(records, 5000, True, 2, 3, 1, losses.targets)\n"
        "tiles[0]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=300)


def test_missing_records_are_rejected_before_training(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found none"):
        tiles(str(tmp_path / "*"))
