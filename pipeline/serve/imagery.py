"""Imagery of the page: crops of scenes, tiles of another map, and scenes made of such tiles."""

from __future__ import annotations

import functools
import io
import math
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from affine import Affine
from PIL import Image
from pyproj import CRS

from geo.errors import CommandError, FinderError
from geo.georef import GeoReference
from geo.grid import Level
from geo.raster.reader import RasterReader
from geo.types import ImageArray, Window
from pipeline.serve.requests import RequestError
from pipeline.values import Scene

TILE_PX = 256
#: Tiles of another map that one job may fetch: 26 Mpx, or some 4 km2 at zoom 18.
MAX_MAP_TILES = 400
#: Longer side of a crop, pixels, and how much of its airplane's size is shown around it.
_CROP_PX, _CROP_MARGIN = 320, 0.6
_MAX_CROP_PX = 4096
_EARTH_M = 2 * math.pi * 6_378_137.0
_TIMEOUT_S = 20
_MAX_TILE_BYTES = 4 * 2**20
_PLACEHOLDERS = {"{z}", "{x}", "{y}"}
_MAX_LATITUDE = 85.05


def crop(scene: Scene, box: Sequence[float]) -> bytes:
    """Return a part of a scene around a box as WebP, as the detector sees it.

    Args:
        scene: the scene.
        box: xmin, ymin, xmax, ymax in scene pixels.

    Raises:
        RequestError: the box is invalid, or lies outside of the scene (400).
        RasterError: the scene cannot be read.
    """
    width, height = scene.header.width, scene.header.height
    xmin, ymin, xmax, ymax = box
    if not (np.isfinite(box).all() and xmin < xmax and ymin < ymax):
        raise RequestError(400, "box: expected xmin, ymin, xmax, ymax in scene pixels, got something else")
    margin = _CROP_MARGIN * max(xmax - xmin, ymax - ymin)
    left, top = max(0, math.floor(xmin - margin)), max(0, math.floor(ymin - margin))
    right, bottom = min(width, math.ceil(xmax + margin)), min(height, math.ceil(ymax + margin))
    if left >= right or top >= bottom or max(right - left, bottom - top) > _MAX_CROP_PX:
        raise RequestError(400, f"box: expected one on the scene of at most {_MAX_CROP_PX} px a side, got another")
    shrink = max(1.0, max(right - left, bottom - top) / _CROP_PX)
    columns, rows = math.ceil(width / shrink), math.ceil(height / shrink)
    level = Level(math.nan, columns, rows, width / columns, height / rows)
    window = Window(int(left / level.scale_x), int(top / level.scale_y), 0, 0)
    size = min(columns, math.ceil(right / level.scale_x)), min(rows, math.ceil(bottom / level.scale_y))
    window = Window(window.col, window.row, size[0] - window.col, size[1] - window.row)
    with RasterReader(scene.header.uri, scene.header.radiometry) as reader:
        return _webp(reader.read_window(window, level))


def _webp(pixels: ImageArray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=88)
    return file.getvalue()


class MapTiles:
    """Tiles of another map, by the XYZ template that the user of the service has named.

    They come through the service, so that the page needs no other host, and a job sees what the page shows.

    Args:
        template: an address with {z}, {x} and {y}.
        max_zoom: the finest zoom that the map has; jobs use it.

    Raises:
        CommandError: the template is invalid.
    """

    def __init__(self, template: str, max_zoom: int) -> None:
        is_http = template.startswith(("https://", "http://"))
        if not is_http or set(re.findall(r"\{.*?\}", template)) != _PLACEHOLDERS:
            raise CommandError(
                f"--tiles {template}: expected a URL of https:// or http:// with {{z}}, {{x}} and {{y}}, got "
                "another: such as https://host/{z}/{x}/{y}.jpg"
            )
        self.template = template
        self.max_zoom = max_zoom
        self.get = functools.lru_cache(maxsize=512)(self._get)

    def _get(self, zoom: int, column: int, row: int) -> bytes:
        """Return the file of a tile.

        Raises:
            RequestError: there is none (404), or the map does not answer (502).
        """
        if not (0 <= zoom <= self.max_zoom and 0 <= column < 2**zoom and 0 <= row < 2**zoom):
            raise RequestError(404, "expected the zoom, column and row of a tile of the map, got others")
        address = self.template.replace("{z}", str(zoom)).replace("{x}", str(column)).replace("{y}", str(row))
        request = urllib.request.Request(address, headers={"User-Agent": "airplane-finder"})  # noqa: S310 -- http(s)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 -- the operator's address
                return bytes(answer.read(_MAX_TILE_BYTES))
        except urllib.error.HTTPError as error:
            status = 404 if error.code in (403, 404, 410) else 502
            raise RequestError(status, f"expected a tile of the map, got HTTP status {error.code}") from error
        except OSError as error:
            raise RequestError(502, f"expected a tile of the map, got no answer ({error}): try again") from error

    def check_bounds(self, bounds: Sequence[float]) -> None:
        """Refuse bounds (west, south, east, north, degrees) of which no scene can be made.

        Raises:
            RequestError: they are invalid, or too large (400).
        """
        self._range(bounds)

    def write_scene(self, bounds: Sequence[float], path: Path) -> None:
        """Write the map within bounds as a GeoTIFF, at its finest zoom; tiles that the map lacks are black.

        Raises:
            RequestError: as for `check_bounds`; or the map does not answer.
        """
        from geo.raster.writer import write_scene

        columns, rows = self._range(bounds)
        metres = _EARTH_M / (2**self.max_zoom * TILE_PX)
        origin = -_EARTH_M / 2 + columns.start * TILE_PX * metres, _EARTH_M / 2 - rows.start * TILE_PX * metres
        georef = GeoReference(Affine(metres, 0, origin[0], 0, -metres, origin[1]), CRS.from_epsg(3857))
        write_scene(path, len(columns) * TILE_PX, len(rows) * TILE_PX, georef, self._blocks(columns, rows))

    def _range(self, bounds: Sequence[float]) -> tuple[range, range]:
        """Return the columns and rows of the tiles within bounds."""
        if len(bounds) != 4 or not np.isfinite(bounds).all():
            raise RequestError(400, "bounds: expected west, south, east, north in degrees, got something else")
        west, south, east, north = bounds
        if not (-180 <= west < east <= 180 and -_MAX_LATITUDE <= south < north <= _MAX_LATITUDE):
            raise RequestError(400, "bounds: expected a part of the map, got none: pan back to it")
        count = 2**self.max_zoom
        columns = [math.floor((lon + 180) / 360 * count) for lon in (west, east)]
        rows = [
            math.floor((1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * count) for lat in (north, south)
        ]
        spans = [range(max(0, low), min(count - 1, high) + 1) for low, high in (columns, rows)]
        tiles = len(spans[0]) * len(spans[1])
        if tiles > MAX_MAP_TILES:
            raise RequestError(400, f"bounds: expected at most {MAX_MAP_TILES} map tiles, got {tiles:,}: zoom in")
        return spans[0], spans[1]

    def _blocks(self, columns: range, rows: range) -> Iterator[tuple[Window, ImageArray]]:
        tiles = [(column, row) for row in rows for column in columns]
        with ThreadPoolExecutor(8) as pool:
            for (column, row), pixels in zip(tiles, pool.map(self._pixels, *zip(*tiles, strict=True)), strict=True):
                col, top = (column - columns.start) * TILE_PX, (row - rows.start) * TILE_PX
                yield Window(col, top, TILE_PX, TILE_PX), pixels

    def _pixels(self, column: int, row: int) -> ImageArray:
        try:
            content = self.get(self.max_zoom, column, row)
        except RequestError as error:
            if error.status == 404:
                return np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
            raise
        try:
            with Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP")) as image:
                return np.asarray(image.convert("RGB").resize((TILE_PX, TILE_PX)))
        except (OSError, ValueError, SyntaxError) as error:
            raise FinderError(f"expected tiles of {TILE_PX} px as JPEG, PNG or WebP, got others: {error}") from error
