from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model import assignment
from model.data.tile_batches import Batch, Tiles
from model.training_config import RecordsConfig
from tests.model.data.tile_records import SIDE, write_files

STEPS, BATCH = 3, 2


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_files(tmp_path_factory.mktemp("records"))


def tiles(pattern: str, seed: int = 3, epoch: int = 0) -> Tiles:
    return Tiles(RecordsConfig(pattern, shuffle_buffer=4), BATCH, STEPS, seed, assignment.targets, epoch)


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
    # As a resumed training asks, out of order, every other one, from far away.
    asked = [tiles(pattern, epoch=2), used, tiles(pattern)]
    for some, places in zip(asked, [[(2, 0), (2, 1)], [(0, 2), (0, 1), (3, 2)], [(0, 1), (1, 0), (1, 2)]], strict=True):
        for some.epoch, index in places:
            for mine, wanted in zip(some[index], row[some.epoch, index], strict=True):
                np.testing.assert_array_equal(mine, wanted)
    assert len({pixels.tobytes() for pixels, _ in row.values()}) == len(row)
    assert (tiles(pattern, seed=4)[0][0] != row[0, 0][0]).any()


def test_an_epoch_goes_on_where_the_one_before_has_ended(pattern: str) -> None:
    # Ten tiles, six to an epoch, unshuffled and unchanged: the fourth batch of all begins with the seventh.
    plain = Tiles(RecordsConfig(pattern, shuffle_buffer=0, augment=False), BATCH, STEPS, 3, assignment.targets)
    first = plain[0][0]
    plain.epoch = 1
    plain[0], plain[1]
    np.testing.assert_array_equal(plain[2][0], first)
    assert plain._place == 6


def test_what_lies_ahead_is_not_looked_for_anew(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[int] = []
    plain = Tiles._from

    def looked_for(self: Tiles, place: int) -> Iterator[Batch]:
        times.append(place)
        return plain(self, place)

    monkeypatch.setattr(Tiles, "_from", looked_for)
    used = tiles(pattern)
    for used.epoch in range(3):
        for index in (0, 2):
            used[index]
    assert times == [0]


def test_the_folder_is_looked_at_before_any_training(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found none"):
        tiles(str(tmp_path / "*"))
