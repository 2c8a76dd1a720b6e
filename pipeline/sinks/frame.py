"""Airplanes as a GeoDataFrame."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline import records
from pipeline.records import Airplane

if TYPE_CHECKING:
    import geopandas

CRS = "OGC:CRS84"


def to_frame(airplanes: Sequence[Airplane]) -> geopandas.GeoDataFrame:
    """Returns one row an airplane, one column a field, in the fields' order; geometry in lon/lat (OGC:CRS84).

    Text columns are of type object with None where nothing is known; number columns are float64 with NaN there.
    An empty sequence gives the same columns and types without rows.
    """
    import geopandas
    import pandas

    columns = {"geometry": geopandas.GeoSeries([airplane.geometry for airplane in airplanes], crs=CRS)}
    for name, kind in records.SCHEMA.items():
        values = [getattr(airplane, name) for airplane in airplanes]
        columns[name] = pandas.Series(values, dtype="float64" if kind.startswith("float") else "object")
    names = [field.name for field in dataclasses.fields(Airplane)]
    return geopandas.GeoDataFrame(columns, columns=names, geometry="geometry", crs=CRS)
