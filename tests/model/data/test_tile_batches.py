import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from geo.errors import ConfigError
from model.data import augment, tfrecord
from model.data.tfrecord import Records, TileBatches
from model.detectors.anchor_free import assignment
from model.detectors.registry import Targets
from tests.model.data.tile_records import SIDE, made_up_tile, write_files

Boxes = NDArray[np.float64]

STEPS, BATCH = 3, 2


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_files(tmp_path_factory.mktemp("records"))


def tiles(pattern: str, seed: int = 3, epoch: int = 0, shuffle_buffer: int = 4) -> TileBatches:
    records = tfrecord.open_records(pattern)
    return TileBatches(records, shuffle_buffer, True, BATCH, STEPS, seed, assignment.targets, epoch)


def test_a_batch_has_its_shapes_and_types(pattern: str) -> None:
    pixels, target = tiles(pattern)[0]
    assert pixels.shape == (BATCH, SIDE, SIDE, 3)
    assert pixels.dtype == np.uint8
    assert target.shape == (BATCH, SIDE // 4, SIDE // 4, assignment.CHANNELS)
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


def unchanged(pattern: str, targets: Targets = assignment.targets) -> TileBatches:
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
        expected = assignment.targets(crop.boxes, crop.ignored, SIDE, SIDE)
        np.testing.assert_array_equal(targets_before[position - 2], expected)
        generator = np.random.default_rng([3, position])
        pixels, boxes, ignored = augment.augment(before[position - 2], crop.boxes, crop.ignored, generator)
        np.testing.assert_array_equal(after[position - 2], pixels)
        np.testing.assert_array_equal(targets_after[position - 2], assignment.targets(boxes, ignored, SIDE, SIDE))


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
        "from model.detectors.anchor_free import assignment\n"
        f"records = tfrecord.open_records({pattern!r})\n"
        "tiles = tfrecord.TileBatches(records, 5000, True, 2, 3, 1, assignment.targets)\n"
        "tiles[0]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=300)


def test_missing_records_are_rejected_before_training(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found none"):
        tiles(str(tmp_path / "*"))
