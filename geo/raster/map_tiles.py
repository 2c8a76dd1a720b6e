"""Map tiles of a scene in Web Mercator (XYZ), with the colours that the detector sees."""

import io
from typing import Any

import numpy as np
from PIL import Image
from rio_tiler.errors import RioTilerError, TileOutsideBounds
from rio_tiler.io import Reader

from geo.errors import RasterError
from geo.raster.gdal_io import naming_file, read_errors
from geo.raster.radiometry import Radiometry
from geo.raster.uri import gdal_name
from geo.types import Window

TILE_PX = 256
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
    with naming_file(uri), read_errors(uri, Window(0, 0, 0, 0)):
        try:
            with Reader(gdal_name(uri)) as reader:
                image: Any = reader.tile(column, row, zoom, TILE_PX, radiometry.bands, resampling_method="bilinear")
        except TileOutsideBounds:
            return None
        except (RioTilerError, ValueError) as error:
            raise RasterError(f"expected a raster that can be warped to a map, got one that cannot: {error}") from error
    pixels, valid = np.asarray(image.data), np.asarray(image.mask) > 0
    if not valid.any():
        return None
    colours = pixels if radiometry.stretch is None else radiometry.stretch.apply(pixels)
    rgb = np.broadcast_to(colours, (3, *colours.shape[1:])).astype(np.uint8)
    file = io.BytesIO()
    rgba = np.dstack([*rgb, np.where(valid, 255, 0).astype(np.uint8)])
    Image.fromarray(rgba).save(file, "WEBP", quality=_WEBP_QUALITY)
    return file.getvalue()
