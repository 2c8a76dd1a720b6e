import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import CRS

from geo.errors import RasterError
from geo.georef import GeoReference
from geo.raster.header import read_header
from geo.raster.writer import write_scene
from geo.types import ImageArray, Window
from tests.geo.scenes import AFFINE, area_average, noise

GEOREF = GeoReference(AFFINE, CRS("EPSG:32632"))
WIDTH, HEIGHT = 1301, 700


def blocks(pixels: ImageArray, side: int = 512) -> Iterator[tuple[Window, ImageArray]]:
    height, width = pixels.shape[:2]
    for row in range(0, height, side):
        for col in range(0, width, side):
            window = Window(col, row, min(side, width - col), min(side, height - row))
            yield window, pixels[row : window.bottom, col : window.right]


def test_pixels_are_written_unchanged_with_averaged_overviews(tmp_path: Path) -> None:
    pixels = noise(WIDTH, HEIGHT)
    path = tmp_path / "scene.tif"
    write_scene(path, WIDTH, HEIGHT, GEOREF, blocks(pixels))
    with rasterio.open(path) as dataset:
        assert (np.moveaxis(dataset.read(), 0, -1) == pixels).all()
        assert dataset.overviews(1) == [2, 4]
        assert dataset.profile["tiled"]
        assert dataset.block_shapes == [(512, 512)] * 3
        assert dataset.compression.value == "DEFLATE"
        assert not dataset.gcps[0]
    with rasterio.open(path, overview_level=0) as overview:
        small = np.moveaxis(overview.read(), 0, -1)
        assert max(overview.block_shapes[0]) <= 512
    off = np.abs(small - area_average(pixels, 651, 350))
    assert off.max() <= 1
    header = read_header(str(path))
    assert isinstance(header.georef, GeoReference)
    assert header.georef.affine == AFFINE
    assert header.georef.crs.to_epsg() == 32632
    assert [item.name for item in tmp_path.iterdir()] == ["scene.tif"]


def test_writing_is_deterministic_and_keeps_a_rotated_georeference(tmp_path: Path) -> None:
    pixels = noise(600, 300)
    turned = GeoReference(AFFINE @ Affine.rotation(20), CRS("EPSG:3857"))
    for name in ("a.tif", "b.tif"):
        write_scene(tmp_path / name, 600, 300, turned, blocks(pixels))
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.transform.almost_equals(turned.affine)
        assert dataset.crs.to_epsg() == 3857


def test_a_small_scene_has_no_overviews(tmp_path: Path) -> None:
    write_scene(tmp_path / "a.tif", 70, 60, GEOREF, blocks(noise(70, 60)))
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.overviews(1) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    path.write_text("old")

    def failing() -> Iterator[tuple[Window, ImageArray]]:
        yield next(blocks(noise(WIDTH, HEIGHT)))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_scene(path, WIDTH, HEIGHT, GEOREF, failing())
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["scene.tif"]


def test_an_unwritable_path_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "scene.tif"
    with pytest.raises(RasterError, match=r"missing/scene\.tif: expected a writable path .*, got .*: choose"):
        write_scene(path, 70, 60, GEOREF, blocks(noise(70, 60)))


@pytest.mark.parametrize("room", [500_000, 3_400_000])
def test_a_full_disk_leaves_no_file(tmp_path: Path, room: int) -> None:
    """The limit stops a write half way, or one at the end, when GDAL closes the file; in a subprocess."""
    program = f"""
import resource, signal
from pathlib import Path
from geo.raster.writer import write_scene
from tests.geo.scenes import noise
from tests.geo.raster.test_writer import GEOREF, HEIGHT, WIDTH, blocks
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
try:
    write_scene(Path({str(tmp_path / "scene.tif")!r}), WIDTH, HEIGHT, GEOREF, blocks(noise(WIDTH, HEIGHT)))
except OSError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"RasterError {tmp_path}/scene.tif: expected a writable path for a GeoTIFF, got ")
    assert list(tmp_path.iterdir()) == []
