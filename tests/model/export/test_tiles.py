from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.errors import ConfigError
from geo.types import ImageArray
from model.export import tiles
from tests.model.photos import picture, write_set


def coordinates(width: int, height: int) -> ImageArray:
    """A picture whose pixels say where they are, counted from 1: (x, y, 1)."""
    y, x = np.mgrid[1 : height + 1, 1 : width + 1]
    return np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.uint8)


@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([32, 64, 96]), st.floats(0, 1), st.floats(0, 1))
def test_a_tile_shows_its_airplane_and_all_it_can(width: int, height: int, side: int, u: float, v: float) -> None:
    x, y = u * (width - 1) + 0.5, v * (height - 1) + 0.5
    tile = tiles.tile_around(coordinates(width, height), np.array([x - 0.5, y - 0.5, x + 0.5, y + 0.5]), side)
    assert tile.shape == (side, side, 3)
    shown = tile[tile[..., 2] == 1]
    assert len(shown) == min(width, side) * min(height, side)
    for axis, (place, length) in enumerate(((x, width), (y, height))):
        values = np.unique(shown[:, axis]).astype(int)
        assert (np.diff(values) == 1).all()
        assert values[0] - 1 <= place <= values[-1]
        inside = values[0] > 1 and values[-1] < length
        assert not inside or abs((values[0] - 1 + values[-1]) / 2 - place) <= 0.5


def test_tiles_come_from_every_set(tmp_path: Path) -> None:
    write_set(tmp_path / "bright", {str(number): picture() for number in range(5)})
    write_set(tmp_path / "dim", {"a": picture(0.9)})
    found = tiles.tiles_of_sets(tmp_path, ["bright", "dim"], 2, 64)
    assert found.shape == (3, 64, 64, 3)
    assert [int(tile[..., 0].max()) for tile in found] == [250, 250, 225]


def test_without_the_data_a_scene_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "_SCENE_PX", 600)
    found = tiles.tiles_of_sets(tmp_path / "nowhere", ["a", "b"], 1, 64)
    assert found.shape == (2, 64, 64, 3)
    assert all(np.ptp(tile) > 50 for tile in found)


def test_a_set_without_airplanes_is_refused_by_name(tmp_path: Path) -> None:
    write_set(tmp_path / "later", {"a": picture()}, split="train")
    with pytest.raises(ConfigError, match="later"):
        tiles.tiles_of_sets(tmp_path, ["later"], 1, 64)
