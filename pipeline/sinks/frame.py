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
FIELDS = tuple(field.name for field in dataclasses.fields(Airplane))


def to_frame(airplanes: Sequence[Airplane]) -> geopandas.GeoDataFrame:
    """Returns one row an airplane, one column a field, in the fields' order; geometry in lon/lat (OGC:CRS84).

    Text columns are of pandas' type `str`, number columns of type float64; what is not known is missing. An empty
    sequence gives the same columns and types without rows.
    """
    import geopandas

    columns = {name: [getattr(airplane, name) for airplane in airplanes] for name in FIELDS}
    kinds = {name: "float64" if kind.startswith("float") else "str" for name, kind in records.SCHEMA.items()}
    return geopandas.GeoDataFrame(columns, geometry="geometry", crs=CRS).astype(kinds)
