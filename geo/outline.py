"""The outline of an airplane: nose, tail and wingtips in a raster, and what they measure on the ground."""

import math
from dataclasses import dataclass

import numpy as np
from pyproj import Geod

from geo.georef import BaseGeoReference
from geo.types import FloatArray

#: The points of an outline, in order. Left and right as the pilot sees them.
NOSE, TAIL, LEFT, RIGHT = range(4)
_GEOD = Geod(ellps="WGS84")


@dataclass(frozen=True, slots=True)
class Dimensions:
    """What an outline measures on the ground.

    Attributes:
        length_m: from nose to tail, metres.
        wingspan_m: from wingtip to wingtip, metres.
        heading_deg: direction of the nose, degrees clockwise from true north, 0 <= heading < 360.
    """

    length_m: float
    wingspan_m: float
    heading_deg: float


def measure(points: FloatArray, georef: BaseGeoReference) -> Dimensions:
    """Measure an outline on the ground, so that rotated, mirrored and geographic rasters need no case of their own.

    The heading is the mean of two directions: from tail to nose, and across the line between the wingtips. Each counts
    by the square of its length, as the least squares fit of four points of equal error. A south-up raster shows the
    ground mirrored, so that left and right in it are exchanged: which is which is not used.

    Args:
        points: (4, 2) nose, tail, left and right wingtip, pixels of the raster.
        georef: the raster's georeference.

    Raises:
        GeoreferenceError: a point is outside the domain of the CRS.
    """
    lon, lat = georef.pixel_to_lonlat(points).T
    azimuth, _, distance = _GEOD.inv(lon[[TAIL, LEFT]], lat[[TAIL, LEFT]], lon[[NOSE, RIGHT]], lat[[NOSE, RIGHT]])
    directions = np.radians(np.asarray(azimuth) - (0.0, 90.0))
    if math.cos(directions[1] - directions[0]) < 0:
        directions[1] += math.pi
    weights = np.square(distance)
    east, north = (weights * np.sin(directions)).sum(), (weights * np.cos(directions)).sum()
    length, wingspan = (float(metres) for metres in distance)
    return Dimensions(length, wingspan, math.degrees(math.atan2(east, north)) % 360.0)
