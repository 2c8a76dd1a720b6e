"""Unusable files: each error names the file and the remedy."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.shutil import copy

from geo.errors import FinderError, GeoreferenceError, RasterError
from geo.grid import Level, Tile
from geo.raster.header import read_header
from geo.raster.reader import RasterReader
from geo.types import Window
from tests.geo.scenes import AFFINE, noise, write_tiff

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def _missing(path: Path) -> None:
    pass


def _folder(path: Path) -> None:
    path.mkdir()


def _text(path: Path) -> None:
    path.write_text("not a raster\n")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut_to(fraction: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        write_tiff(path, noise(300, 200), compress="deflate")
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * fraction)])

    return write


def _cut_photo(path: Path) -> None:
    Image.fromarray(noise(300, 200)).save(path, format="JPEG")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _bands(count: int) -> Callable[[Path], None]:
    return lambda path: _ignore(write_tiff(path, noise(80, 70, bands=count)))


def _of_type(dtype: str) -> Callable[[Path], None]:
    return lambda path: _ignore(write_tiff(path, noise(80, 70).astype(dtype)))


def _palette(path: Path) -> None:
    write_tiff(path, noise(80, 70, bands=1), photometric="palette")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {value: (value, 0, 255 - value, 255) for value in range(256)})


def _placed(crs: str | None, affine: Affine | None) -> Callable[[Path], None]:
    return lambda path: _ignore(write_tiff(path, noise(80, 70), crs=crs, affine=affine))


def _ignore(_: object) -> None:
    pass


def _with_points(count: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        write_tiff(path, noise(80, 70), crs=None, affine=None)
        with rasterio.open(path, "r+") as dataset:
            points = [GroundControlPoint(row=n, col=n * n, x=565_000 + n * n, y=5e6 - n) for n in range(count)]
            dataset.gcps = (points, rasterio.crs.CRS.from_epsg(32632))

    return write


def _points_without_crs(path: Path) -> None:
    source = path.with_name("source.tif")
    _with_points(5)(source)
    copy(source, path, driver="VRT")
    path.write_text(re.sub(r' Projection="[^>]*"', "", path.read_text()))


ENGINEERING = 'LOCAL_CS["site grid",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
CASES = [
    ("missing", _missing, RasterError, "expected a raster, got no such file: check the path"),
    ("a folder", _folder, RasterError, "GDAL cannot open .*: .*fetch or write it again"),
    ("text", _text, RasterError, "GDAL cannot open .*: .*fetch or write it again"),
    ("empty", _empty, RasterError, "GDAL cannot open .*: .*fetch or write it again"),
    ("header cut", _cut_to(0.0005), RasterError, "GDAL cannot open .*: .*cut off; fetch or write it again"),
    ("data cut", _cut_to(0.5), RasterError, "expected pixels in columns .*: .*cut off; fetch or write it again"),
    ("end cut", _cut_to(0.97), RasterError, "expected pixels in columns .*: .*cut off; fetch or write it again"),
    ("2 bands", _bands(2), RasterError, "expected 1 band .* got 2: .*gdal_translate"),
    ("complex", _of_type("complex64"), RasterError, "expected real numbers .* got complex64: .*gdal_translate"),
    ("palette", _palette, RasterError, "got the indices of a palette: .*gdal_translate -expand rgb"),
    ("no georeference", _placed(None, None), GeoreferenceError, "expected a georeference .* got no CRS: .*gdal_edit"),
    (
        "no CRS",
        _placed(None, AFFINE),
        GeoreferenceError,
        "expected a georeference .* got no CRS beside an affine transform: .*gdal_edit",
    ),
    ("no transform", _placed("EPSG:32632", None), GeoreferenceError, "got no transform: .*gdal_edit"),
    (
        "points, no CRS",
        _points_without_crs,
        GeoreferenceError,
        "got no CRS beside 5 ground control points: .*gdal_edit",
    ),
    (
        "2 points",
        _with_points(2),
        GeoreferenceError,
        "expected 3 or more ground control points, got 2: .*gdalwarp",
    ),
    (
        "engineering CRS",
        _placed(ENGINEERING, AFFINE),
        GeoreferenceError,
        "expected a projected or geographic CRS, got .*site",
    ),
    (
        "a corner beyond the pole",
        _placed("EPSG:4326", Affine(1e-3, 0, 9, 0, -1e-3, 90.01)),
        GeoreferenceError,
        "expected pixels on the Earth, .*gdal_edit",
    ),
    ("other CRS", _placed("EPSG:4326", AFFINE), GeoreferenceError, "expected pixels on the Earth, .*gdal_edit"),
]


@pytest.mark.parametrize(("write", "kind", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_unusable_files_are_rejected_with_a_remedy(
    tmp_path: Path, write: Callable[[Path], None], kind: type[FinderError], message: str
) -> None:
    path = tmp_path / "scene.tif"
    write(path)
    with pytest.raises(kind, match="^" + re.escape(f"{path}: ") + ".*" + message) as caught:
        read_header(str(path))
    assert "\n" not in str(caught.value)


def test_a_truncated_jpeg_is_detected(tmp_path: Path) -> None:
    _cut_photo(tmp_path / "photo.jpg")
    with pytest.raises(RasterError, match=r"photo\.jpg: expected pixels .*: the file is damaged or cut off"):
        read_header(str(tmp_path / "photo.jpg"), resolution_m=0.5)


def test_a_damaged_block_fails_only_the_tiles_that_need_it(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    uri = write_tiff(path, noise(1024, 512), compress="deflate")
    # The block of columns 320 to 384 and rows 32 to 64, which the header's sample does not touch.
    with rasterio.open(uri) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_5_1", "TIFF", bidx=1))
        size = int(dataset.get_tag_item("BLOCK_SIZE_5_1", "TIFF", bidx=1))
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = bytes(size)
    path.write_bytes(content)
    level = Level(1.0, 1024, 512, 1.0, 1.0)

    def tile(col: int, row: int) -> Tile:
        window = Window(col, row, 64, 64)
        return Tile(level, window, window)

    assert read_header(uri).width == 1024
    with RasterReader(uri) as reader:
        assert reader.read_tile(tile(384, 0)).any()
        with pytest.raises(
            RasterError, match=r"scene\.tif: expected pixels in columns 320 to 384, rows 0 to 64, got a read error"
        ):
            reader.read_tile(tile(320, 0))
        assert reader.read_tile(tile(256, 64)).any()
        with pytest.raises(RasterError, match=r"scene\.tif: expected pixels in columns 0 to 1024, rows 0 to 512"):
            reader.read_overview(100)


def test_a_truncated_file_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    write_tiff(path, noise(120, 100), compress="deflate")
    content = path.read_bytes()
    outcomes = []
    for length in np.linspace(0, len(content), 40).astype(int):
        path.write_bytes(content[:length])
        try:
            read_header(str(path))
            outcomes.append("read")
        except RasterError:
            outcomes.append("refused")
    assert outcomes == ["refused"] * 39 + ["read"]


def test_a_message_of_gdal_has_no_control_characters(tmp_path: Path) -> None:
    (tmp_path / "a.vrt").write_bytes(b"<VRTDataset \x1e\x1b[2J></VRTDataset>")
    with pytest.raises(RasterError, match="expected a raster") as raised:
        read_header(str(tmp_path / "a.vrt"))
    assert str(raised.value).isprintable()


def test_a_damaged_projection_in_an_img_file_is_rejected(tmp_path: Path) -> None:
    """GDAL makes WKT of it that PROJ does not read."""
    path = tmp_path / "a.img"
    copy(write_tiff(tmp_path / "a.tif", noise(64, 64)), path, driver="HFA")
    content = path.read_bytes()
    assert b"pperLeftCenter" in content
    path.write_bytes(content.replace(b"Center,1:*oEprj_Coordinate,lowerRightCenter", b"\x9b" * 43))
    with pytest.raises(FinderError, match=re.escape(f"{path}: expected")):
        read_header(str(path))


def test_bytes_that_are_not_text_are_no_traceback(tmp_path: Path) -> None:
    """GDAL quotes them in its messages, and rasterio's log fails on these."""
    vrt = tmp_path / "a.vrt"
    vrt.write_bytes(b"<VRTDataset \x9e></VRTDataset>")
    program = f"""
from geo.errors import RasterError
from geo.raster.header import read_header
try:
    read_header({str(vrt)!r})
except RasterError:
    print("rejected")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("rejected\n", "")
