"""A scene in Web Mercator, as map tiles (XYZ) or in one piece, with the colours that the detector sees."""

import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.warp import transform_bounds
from rio_tiler.errors import NoOverviewWarning, RioTilerError, TileOutsideBounds
from rio_tiler.io import Reader

from geo.errors import RasterError
from geo.raster.gdal_io import naming_file, read_errors
from geo.raster.radiometry import Radiometry
from geo.raster.uri import gdal_name
from geo.types import Window

# The user cannot change the scene, and reads slowly either way.
warnings.filterwarnings("ignore", category=NoOverviewWarning)

TILE_PX = 256
WEB_MERCATOR = "EPSG:3857"
#: The finest zoom of which a tile is made: 0.07 m per pixel at the equator.
MAX_ZOOM = 21
_WEBP_QUALITY = 85


def render_tile(uri: str, radiometry: Radiometry, zoom: int, column: int, row: int) -> bytes | None:
    """Return a tile as WebP, transparent where the scene has no pixel; None: nothing of the scene is on it.

    Pixels are warped, so they are for the eye; the detector reads the scene itself.

    Args:
        uri: a raster that `read_header` accepts, with a transform or ground control points.
        radiometry: from its header.
        zoom: 0 to `MAX_ZOOM`.
        column: from west to east, 0 to 2**zoom - 1.
        row: from north to south.

    Raises:
        RasterError: the scene cannot be read, or cannot be warped.
    """

    def read(reader: Reader) -> Any:
        return reader.tile(column, row, zoom, TILE_PX, radiometry.bands, resampling_method="bilinear")

    rgba = _read_rgba(uri, radiometry, read)
    if rgba is None:
        return None
    file = io.BytesIO()
    Image.fromarray(rgba).save(file, "WEBP", quality=_WEBP_QUALITY)
    return file.getvalue()


def render_part(uri: str, radiometry: Radiometry, bounds: Sequence[float], max_px: int) -> NDArray[np.uint8] | None:
    """Return a part of a scene as an image whose rows and columns are those of Web Mercator.

    Args:
        uri: as for `render_tile`.
        radiometry: from its header.
        bounds: west, south, east, north, degrees.
        max_px: longer side of the image, pixels.

    Returns:
        (height, width, 4) red, green, blue and opacity, transparent where the scene has no pixel; None: nothing of the
        scene lies inside of the bounds.

    Raises:
        RasterError: the scene cannot be read, or cannot be warped.
    """
    west, south, east, north = transform_bounds("OGC:CRS84", WEB_MERCATOR, *bounds)
    scale = max_px / max(east - west, north - south)
    size = {"width": max(1, round(scale * (east - west))), "height": max(1, round(scale * (north - south)))}

    def read(reader: Reader) -> Any:
        box = (west, south, east, north)
        options: dict[str, Any] = {"dst_crs": WEB_MERCATOR, "bounds_crs": WEB_MERCATOR, "resampling_method": "bilinear"}
        return reader.part(box, indexes=radiometry.bands, **options, **size)

    return _read_rgba(uri, radiometry, read)


def _read_rgba(uri: str, radiometry: Radiometry, read: Callable[[Reader], Any]) -> NDArray[np.uint8] | None:
    with naming_file(uri), read_errors(uri, Window(0, 0, 0, 0)):
        try:
            with Reader(gdal_name(uri)) as reader:
                image = read(reader)
        except TileOutsideBounds:
            return None
        except (RioTilerError, ValueError) as error:
            raise RasterError(f"expected a raster that can be warped to a map, got one that cannot: {error}") from error
    pixels, valid = np.asarray(image.data), np.asarray(image.mask) > 0
    if not valid.any():
        return None
    colours = pixels if radiometry.stretch is None else radiometry.stretch.apply(pixels)
    rgb = np.broadcast_to(colours, (3, *colours.shape[1:])).astype(np.uint8)
    return np.dstack([*rgb, np.where(valid, 255, 0).astype(np.uint8)])
