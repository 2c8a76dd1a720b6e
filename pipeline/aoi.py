"""The area of interest, from any vector file."""

from __future__ import annotations

from pathlib import Path

import geopandas
import pyogrio
from pyogrio.errors import DataSourceError

from geo.aoi import AreaOfInterest, build_aoi
from geo.errors import ConfigError
from pipeline.errors import InputError


def read_area(path: Path) -> AreaOfInterest:
    """Reads every polygon of a vector file that GDAL knows: GeoJSON, GeoPackage, FlatGeobuf, Shapefile, KML ...

    Raises:
        InputError: no such file, no vector file, no CRS, or no polygons.
    """
    try:
        layers = [str(name) for name, _ in pyogrio.list_layers(path)]
        frame = geopandas.read_file(path, layer=layers[0]) if layers else geopandas.GeoDataFrame(geometry=[], crs=4326)
    except (DataSourceError, OSError) as error:
        cause = str(error).splitlines()[0]
        raise InputError(f"--aoi {path}: expected a vector file such as GeoJSON, got {cause}: mend the path") from error
    if len(layers) > 1:
        raise InputError(f"--aoi {path}: expected one layer, got {', '.join(layers)}: write one to a file of its own")
    if frame.crs is None:
        raise InputError(f"--aoi {path}: expected an area with a CRS, got none: write it, e.g. with ogr2ogr -a_srs")
    try:
        return build_aoi(list(frame.geometry), frame.crs)
    except ConfigError as error:
        raise InputError(f"--aoi {path}: {error}") from error
