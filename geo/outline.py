"""The outline of an airplane: nose, tail and wingtips in a raster, what they measure, and the rectangle around them."""

import math
from dataclasses import dataclass

import numpy as np
from pyproj import Geod

from geo.georef import BaseGeoReference
from geo.types import FloatArray

#: The points of an outline, in order. Left and right as the pilot sees them.
NOSE, TAIL, LEFT, RIGHT = range(4)
POINT_NAMES = ("nose", "tail", "left_wingtip", "right_wingtip")
#: Fields of an airplane in every output: column and row of each point, pixels of its scene.
POINT_FIELDS = tuple(f"{name}_{axis}_px" for name in POINT_NAMES for axis in "xy")
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

    Args:
        points: (4, 2) nose, tail, left and right wingtip, pixels of the raster.
        georef: the raster's georeference.

    Raises:
        GeoreferenceError: a point is outside the domain of the CRS.
    """
    _, metres = _on_ground(points, georef)
    east, north = axis(metres)
    length, wingspan = np.linalg.norm(metres[[NOSE, RIGHT]] - metres[[TAIL, LEFT]], axis=1).tolist()
    # Twice: a tiny negative angle is rounded to 360 at first.
    return Dimensions(length, wingspan, math.degrees(math.atan2(east, north)) % 360.0 % 360.0)


def ordered(points: FloatArray, georef: BaseGeoReference) -> FloatArray:
    """Return points (4, 2) with the wingtips exchanged if the pilot sees them so: a south-up raster is a mirror.

    Raises:
        GeoreferenceError: a point is outside the domain of the CRS.
    """
    _, metres = _on_ground(points, georef)
    (ahead_east, ahead_north), (across_east, across_north) = metres[[NOSE, RIGHT]] - metres[[TAIL, LEFT]]
    # To the right is clockwise of ahead.
    is_mirrored = ahead_east * across_north - ahead_north * across_east > 0
    return points[[NOSE, TAIL, RIGHT, LEFT]] if is_mirrored else points


def ground_rectangle(points: FloatArray, georef: BaseGeoReference) -> FloatArray:
    """Return the corners (4, 2) of the rectangle around an outline on the ground, longitude and latitude in degrees.

    Args:
        points: (4, 2) nose, tail, left and right wingtip, pixels of the raster.
        georef: the raster's georeference.

    Raises:
        GeoreferenceError: a point is outside the domain of the CRS.
    """
    (lon, lat), metres = _on_ground(points, georef)
    east, north = rectangle(metres).T
    azimuth, distance = np.degrees(np.arctan2(east, north)), np.hypot(east, north)
    ends = _GEOD.fwd(np.full(4, lon), np.full(4, lat), azimuth, distance)
    return np.column_stack(ends[:2])


def rectangle(points: FloatArray) -> FloatArray:
    """Return the corners (4, 2) of the rectangle around an outline, along its axis; the first and the last are ahead.

    Args:
        points: (4, 2) nose, tail, left and right wingtip in a plane with equal units along x and y.
    """
    x, y = axis(points)
    turn = np.array([[x, y], [-y, x]])
    ahead, across = (points @ turn.T).T
    front, back, left, right = ahead.max(), ahead.min(), across.max(), across.min()
    return np.asarray(np.array([[front, left], [back, left], [back, right], [front, right]]) @ turn)


def axis(points: FloatArray) -> FloatArray:
    """Return the direction in which an outline points, a unit vector (2,).

    It is the mean of two directions: from tail to nose, and across the line between the wingtips. Each counts by the
    square of its length, as the least squares fit of four points of equal error. Which wingtip is which is not used: a
    mirrored raster exchanges them.

    Args:
        points: (4, 2) nose, tail, left and right wingtip in a plane with equal units along x and y.
    """
    ahead, (x, y) = points[NOSE] - points[TAIL], points[RIGHT] - points[LEFT]
    abeam = np.array([-y, x])
    if ahead @ abeam < 0:
        abeam = -abeam
    total = ahead * np.linalg.norm(ahead) + abeam * np.linalg.norm(abeam)
    return np.asarray(total / np.linalg.norm(total))


def _on_ground(points: FloatArray, georef: BaseGeoReference) -> tuple[tuple[float, float], FloatArray]:
    """Return longitude and latitude of the middle of an outline, and its points (4, 2) in metres east and north of it.

    By geodesics from the middle: exact from there, and off by nothing that counts between points so near to it.
    """
    lon, lat = georef.pixel_to_lonlat(points).T
    # Without a jump at the antimeridian.
    middle = float(np.unwrap(lon, period=360.0).mean()), float(lat.mean())
    azimuth, _, distance = _GEOD.inv(np.full(4, middle[0]), np.full(4, middle[1]), lon, lat)
    return middle, np.column_stack([distance * np.sin(np.radians(azimuth)), distance * np.cos(np.radians(azimuth))])
