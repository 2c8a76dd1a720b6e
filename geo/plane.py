"""A local plane on the ground: metres east and north of a point, for distances within some ten kilometres."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import shapely
from pyproj import Transformer

from geo.types import FloatArray


@dataclass(frozen=True, slots=True)
class LocalPlane:
    """Metres east and north of a point: azimuthal equidistant on WGS84.

    Distances from the point are exact; others are off by less than 1 mm per km within 10 km of it.

    Args:
        lon: longitude of the point, degrees.
        lat: latitude of the point, degrees.
    """

    lon: float
    lat: float

    def to_metres(self, lonlat: FloatArray) -> FloatArray:
        """Return metres east and north, (N, 2), of longitudes and latitudes in degrees, (N, 2); 190 equals -170."""
        lonlat = np.asarray(lonlat, dtype=np.float64).reshape(-1, 2)
        return np.column_stack(_transformer(self.lon, self.lat).transform(*lonlat.T))

    def to_lonlat(self, metres: FloatArray) -> FloatArray:
        """Return longitudes and latitudes in degrees, (N, 2), of metres east and north, (N, 2); -180 <= lon <= 180."""
        metres = np.asarray(metres, dtype=np.float64).reshape(-1, 2)
        east, north = metres.T
        return np.column_stack(_transformer(self.lon, self.lat).transform(east, north, direction="INVERSE"))

    def shape_to_metres(self, geometry: shapely.Geometry) -> shapely.Geometry:
        """Return a geometry in lon/lat degrees as one in metres."""
        return shapely.transform(geometry, self.to_metres)

    def shape_to_lonlat(self, geometry: shapely.Geometry) -> shapely.Geometry:
        """Return a geometry in metres as one in lon/lat degrees; continuous, beyond 180, across the antimeridian."""

        def convert(metres: FloatArray) -> FloatArray:
            lonlat = self.to_lonlat(metres)
            lonlat[:, 0] = self.lon + (lonlat[:, 0] - self.lon + 180) % 360 - 180
            return lonlat

        return shapely.transform(geometry, convert)


@lru_cache(maxsize=256)
def _transformer(lon: float, lat: float) -> Transformer:
    target = f"+proj=aeqd +lon_0={lon!r} +lat_0={lat!r} +datum=WGS84 +units=m"
    return Transformer.from_crs("OGC:CRS84", target, always_xy=True)
