"""Output files: a format for each suffix, the same fields in all of them.

Readers return the airplanes in file order: by scene and falling score, or along a Hilbert curve in formats with a
spatial index.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from geo.errors import OutputError
from pipeline import records
from pipeline.records import Airplane
from pipeline.sinks import coco, features, file_suffix, storage

if TYPE_CHECKING:
    from pipeline.ledger import SceneEntry

#: Name of the layer, in formats that have layers.
LAYER = "airplanes"
#: Rows per Parquet row group; readers with a spatial filter skip whole groups.
ROW_GROUP_SIZE = 4096
_STYLE_FILE = Path(__file__).with_name("airplanes.qml")
# Where QGIS keeps styles in a GeoPackage; it opens the layer with the one that has useAsDefault.
_STYLE_TABLE = """
CREATE TABLE layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
    f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)
"""


@dataclasses.dataclass(frozen=True, slots=True)
class FileFormat:
    """Functions that write and read a local file of one format.

    Attributes:
        write: from the path and the airplanes, in the order of `records.sort_key`; `.coco.json` is written by
            `coco.write_coco`, which needs the scenes, too.
        read: from the path to the airplanes.
    """

    write: Callable[[Path, Sequence[Airplane]], None]
    read: Callable[[Path], list[Airplane]]


def write_file(uri: str, airplanes: Iterable[Airplane], scenes: Sequence[SceneEntry] = ()) -> None:
    """Write airplanes in the format of the suffix; the file appears complete or not at all.

    The content does not depend on the order of the arguments.

    Args:
        uri: local path in an existing folder, or `gs://bucket/name`.
        airplanes: geometry in lon/lat degrees, counter-clockwise, 7 decimals.
        scenes: ledger entries of their scenes; only `.coco.json` needs them.

    Raises:
        OutputError: the file cannot be written.
    """
    suffix = file_suffix(uri)
    ordered = sorted(airplanes, key=records.sort_key)
    with storage.staged(uri) as path:
        if suffix == coco.SUFFIX:
            coco.write_coco(path, ordered, scenes, uri)
        else:
            _FORMATS[suffix or features.SUFFIX].write(path, ordered)


def read_file(uri: str) -> list[Airplane]:
    """Return the airplanes of a file written by `write_file`, in file order."""
    suffix = file_suffix(uri)
    read = coco.read_coco if suffix == coco.SUFFIX else _FORMATS[suffix or features.SUFFIX].read
    with storage.local_copy(uri) as path:
        return read(path)


def write_geojson(path: Path, airplanes: Iterable[Airplane]) -> None:
    """Write one FeatureCollection (RFC 7946); see `write_file`."""
    write_file(str(path), airplanes)


def read_geojson(path: Path) -> list[Airplane]:
    """Return the airplanes of a GeoJSON file written by `write_file`, in file order."""
    return features.read_collection(path)


def _write_geoparquet(path: Path, airplanes: Sequence[Airplane]) -> None:
    frame = records.to_frame(airplanes)
    # Stable: airplanes of one position stay in order.
    order = frame.hilbert_distance().sort_values(kind="stable").index if len(frame) else frame.index
    frame.loc[order].to_parquet(
        path,
        index=False,
        compression="zstd",
        schema_version="1.1.0",
        write_covering_bbox=True,
        row_group_size=ROW_GROUP_SIZE,
    )


def _read_geoparquet(path: Path) -> list[Airplane]:
    import geopandas

    return records.from_frame(geopandas.read_parquet(path, columns=["geometry", *records.PROPERTIES]))


def _write_flatgeobuf(path: Path, airplanes: Sequence[Airplane]) -> None:
    _write_with_gdal(path, airplanes, driver="FlatGeobuf", SPATIAL_INDEX="YES")


def _write_geopackage(path: Path, airplanes: Sequence[Airplane]) -> None:
    _write_with_gdal(path, airplanes, driver="GPKG", SPATIAL_INDEX="YES", GEOMETRY_NAME="geometry", VERSION="1.2")
    with contextlib.closing(sqlite3.connect(path)) as database, _sqlite_errors_as_os_errors(), database:
        # GDAL reports no failure here, and without the index readers become slow, not wrong: nobody would notice.
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (f"rtree_{LAYER}_geometry",)).fetchone():
            raise OutputError(
                f"{path.name}: expected a spatial index from GDAL, got none: a library that was imported first may "
                "have put another SQLite in its place: import this one before it, or write another format"
            )
        database.execute(_STYLE_TABLE)
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName,"
            " styleQML, styleSLD, useAsDefault, description) VALUES ('', '', ?, 'geometry', 'score', ?, '', 1, ?)",
            (LAYER, _STYLE_FILE.read_text(encoding="utf-8"), "outlines coloured by score"),
        )
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES ('layer_styles', 'attributes', ?)",
            ("layer_styles",),
        )


def _write_with_gdal(path: Path, airplanes: Sequence[Airplane], driver: str, **options: str) -> None:
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError

    several_parts = any(airplane.geometry.geom_type == "MultiPolygon" for airplane in airplanes)
    # EPSG:4326 is in every GeoPackage; files have longitude first whatever the CRS says. One geometry type, since QGIS
    # would offer a layer of mixed ones as two.
    frame = records.to_frame(airplanes).to_crs("EPSG:4326")
    try:
        pyogrio.write_dataframe(
            frame,
            path,
            driver=driver,
            layer=LAYER,
            geometry_type="MultiPolygon" if several_parts else "Polygon",
            promote_to_multi=several_parts,
            **options,
        )
        count = pyogrio.read_info(path, force_feature_count=True)["features"]
    except (DataSourceError, DataLayerError, FeatureError, FieldError, GeometryError) as error:
        raise OSError(str(error).partition("\n")[0]) from error
    # GDAL does not report every failure to write.
    if count != len(airplanes):
        raise OSError(f"{count} of {len(airplanes)} airplanes written")


def _read_with_gdal(path: Path) -> list[Airplane]:
    import geopandas

    return records.from_frame(geopandas.read_file(path, layer=LAYER, engine="pyogrio"))


@contextlib.contextmanager
def _sqlite_errors_as_os_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(str(error)) from error


_FORMATS: Mapping[str, FileFormat] = {
    features.SUFFIX: FileFormat(features.write_collection, features.read_collection),
    features.LINES_SUFFIX: FileFormat(features.write_lines, features.read_lines),
    ".parquet": FileFormat(_write_geoparquet, _read_geoparquet),
    ".fgb": FileFormat(_write_flatgeobuf, _read_with_gdal),
    ".gpkg": FileFormat(_write_geopackage, _read_with_gdal),
}
