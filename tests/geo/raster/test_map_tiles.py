"""Map tiles: the right pixels at the right place, in the detector's colours."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from geo.errors import RasterError
from geo.raster.header import read_header
from geo.raster.map_tiles import TILE_PX, render_tile
from tests.pipeline.scenes import write_scene

ZOOM = 17


def tile_of(lon: float, lat: float, zoom: int = ZOOM) -> tuple[float, float]:
    """Column and row of a place, with fractions: the formula of the XYZ scheme."""
    count = 2**zoom
    y = math.log(math.tan(math.radians(lat)) + 1 / math.cos(math.radians(lat)))
    return (lon + 180) / 360 * count, (1 - y / math.pi) / 2 * count


def pixels_at(path: Path, lon: float, lat: float) -> tuple[NDArray[np.uint8], int, int]:
    """The tile (256, 256, 4) that shows a place, and the place's pixel on it."""
    header = read_header(str(path))
    x, y = tile_of(lon, lat)
    content = render_tile(str(path), header.radiometry, ZOOM, int(x), int(y))
    assert content is not None
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA")), int(x % 1 * TILE_PX), int(y % 1 * TILE_PX)


@pytest.mark.parametrize(("dtype", "bright", "bands"), [("uint8", 240, 3), ("uint16", 2000, 3), ("uint16", 2000, 1)])
def test_an_airplane_lies_where_it_lies_on_the_ground(tmp_path: Path, dtype: str, bright: int, bands: int) -> None:
    path = write_scene(tmp_path / "a.tif", [(100, 60, 140, 84, bright)], dtype=dtype, bands=bands)
    georef = read_header(str(path)).georef
    assert georef is not None
    inside, outside = georef.pixel_to_lonlat(np.array([[120.0, 72.0], [120.0, 100.0]]))
    tile, x, y = pixels_at(path, *inside)
    assert tile[y, x, :3].min() > 180
    assert tile[y, x, 3] == 255
    tile, x, y = pixels_at(path, *outside)
    assert tile[y, x, :3].max() < 80


def test_beyond_the_scene_tiles_are_transparent_or_none(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif", nodata_right_of=150)
    header = read_header(str(path))
    assert header.georef is not None
    ((lon, lat),) = header.georef.pixel_to_lonlat(np.array([[250.0, 100.0]]))
    tile, x, y = pixels_at(path, lon, lat)
    assert tile[y, x, 3] == 0
    assert render_tile(str(path), header.radiometry, ZOOM, 3, 5) is None


def test_a_file_that_is_gone_is_one_error(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif")
    radiometry = read_header(str(path)).radiometry
    path.unlink()
    with pytest.raises(RasterError, match=r"a\.tif"):
        render_tile(str(path), radiometry, 0, 0, 0)
