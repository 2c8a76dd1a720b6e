"""Output files: read back by independent readers, checked against the rules of their formats; complete or absent."""

import contextlib
import dataclasses
import datetime
import itertools
import json
import os
import re
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import apache_beam as beam
import duckdb
import fiona
import geopandas
import numpy as np
import pyarrow.parquet
import pyogrio
import pytest
import shapely
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo.errors import OutputError
from geo.grid import Tile
from geo.outline import POINT_FIELDS
from geo.raster.reader import RasterReader
from geo.types import ImageArray
from model.data.sources import read_annotated_images
from pipeline import job, records
from pipeline.ledger import RunInfo, SceneResult, read_ledger
from pipeline.records import Airplane, to_frame
from pipeline.sinks import SUFFIXES, files, transforms
from pipeline.sinks.files import read_file, read_geojson, write_file, write_geojson
from pipeline.sinks.transforms import WriteAirplanes, WriteLedger
from tests.pipeline.airplanes import airplane, airplanes, sample
from tests.pipeline.command_runner import CommandRunner
from tests.pipeline.report.factories import entry
from tests.pipeline.scenes import AIRPLANES, IDENTITY
from tests.pipeline.stac_files import item, items, write
from tests.pipeline.vector_rules import feature_faults, geojson_faults, geoparquet_faults

TABLES = tuple(suffix for suffix in SUFFIXES if suffix != ".coco.json")
OGR_FORMATS = tuple(suffix for suffix in TABLES if suffix != ".parquet")
NAMED_LAYERS = (".gpkg", ".fgb")
SPATIALLY_SORTED = (".parquet", ".fgb")
SCENES = [entry("a.tif")]


def by_id(planes: list[Airplane]) -> list[Airplane]:
    return sorted(planes, key=lambda plane: plane.detection_id)


# What is written is read back


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(st.lists(airplanes, max_size=4, unique_by=records.sort_key))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_airplanes_are_read_back_whatever_their_order(tmp_path: Path, suffix: str, drawn: list[Airplane]) -> None:
    scenes = [entry(uri) for uri in sorted({plane.scene_uri for plane in drawn})]
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_file(str(first), drawn, scenes)
    write_file(str(second), drawn[::-1], scenes[::-1])
    expected = sorted(drawn, key=records.sort_key)
    read = read_file(str(first))
    assert (sorted(read, key=records.sort_key) if suffix in SPATIALLY_SORTED else read) == expected
    if suffix != ".gpkg":  # it holds the time of writing
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_airplanes_give_a_file_without_features(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_file(str(path), [], SCENES)
    assert read_file(str(path)) == []
    if suffix in TABLES and suffix != ".geojsonl":
        frame = geopandas.read_parquet(path) if suffix == ".parquet" else geopandas.read_file(path)
        assert len(frame) == 0
    if suffix in (".fgb", ".gpkg", ".parquet"):
        assert set(records.PROPERTIES) <= set(frame.columns)


def test_suffixes_in_capitals_name_the_same_format(tmp_path: Path) -> None:
    write_file(str(tmp_path / "A.FGB"), sample(3))
    assert pyogrio.read_info(tmp_path / "A.FGB")["driver"] == "FlatGeobuf"


# Independent readers: same count, fields, and coordinates to 1e-7 degrees


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Airplane]]:
    """The same airplanes in every format, one of them cut at the antimeridian."""
    folder = tmp_path_factory.mktemp("written")
    planes = sample(300, antimeridian=True)
    for suffix in SUFFIXES:
        write_file(str(folder / f"a{suffix}"), planes, SCENES)
    return folder, planes


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with its spatial extension, from their Python packages."""
    import duckdb_extension_spatial

    (extension,) = Path(duckdb_extension_spatial.__path__[0]).rglob("spatial.duckdb_extension")
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{extension}'")
        yield connection


def assert_same(rows: list[dict[str, Any]], planes: list[Airplane]) -> None:
    """Compare rows with a shapely `geometry` and the fields to airplanes."""
    assert len(rows) == len(planes)
    rows = sorted(rows, key=lambda row: str(row["detection_id"]))
    for row, plane in zip(rows, by_id(planes), strict=True):
        for name, value in records.properties(plane).items():
            if isinstance(value, float):
                assert row[name] == pytest.approx(value, abs=1e-9)
            elif value is None:
                assert row[name] is None or row[name] != row[name]
            else:
                # GDAL recognises times in GeoJSON.
                got = str(row[name]).replace(" ", "T").replace("+00:00", "Z").replace("+00", "Z")
                assert got.rstrip("Z") == value.rstrip("Z") if name == "acquired_at" else row[name] == value
        # Parts may be nested in a MultiPolygon, and rings may start elsewhere.
        assert row["geometry"].normalize().equals_exact(plane.geometry.normalize(), 1e-7) or (
            shapely.MultiPolygon([plane.geometry]).normalize().equals_exact(row["geometry"].normalize(), 1e-7)
        )


@pytest.mark.parametrize("suffix", TABLES)
def test_duckdb_reads_every_format(
    written: tuple[Path, list[Airplane]], database: duckdb.DuckDBPyConnection, suffix: str
) -> None:
    folder, planes = written
    path = folder / f"a{suffix}"
    table = f"'{path}'" if suffix == ".parquet" else f"st_read('{path}')"
    column = "geometry" if suffix in (".parquet", ".gpkg") else "geom"
    query = f"SELECT *, ST_AsWKB({column})::BLOB AS wkb FROM {table}"  # noqa: S608
    result = database.execute(query)
    names = [description[0] for description in result.description or ()]
    assert set(records.PROPERTIES) <= set(names)
    rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    assert_same([{**row, "geometry": shapely.from_wkb(bytes(row["wkb"]))} for row in rows], planes)


@pytest.mark.parametrize("suffix", TABLES)
def test_geopandas_reads_every_format(written: tuple[Path, list[Airplane]], suffix: str) -> None:
    folder, planes = written
    path = folder / f"a{suffix}"
    frame = geopandas.read_parquet(path) if suffix == ".parquet" else geopandas.read_file(path)
    assert frame.crs == "OGC:CRS84" if suffix == ".parquet" else frame.crs.to_epsg() == 4326
    names = [name for name in frame.columns if name not in ("geometry", "id", "bbox")]
    assert names == list(records.PROPERTIES)
    assert_same(frame.astype(object).to_dict("records"), planes)


@pytest.mark.parametrize("suffix", OGR_FORMATS)
def test_ogrinfo_reads_every_format(written: tuple[Path, list[Airplane]], suffix: str) -> None:
    """The one of the system, with a GDAL older than any of our packages'. It knows no Parquet."""
    folder, planes = written
    rows = ogrinfo(folder / f"a{suffix}", "airplanes" if suffix in NAMED_LAYERS else None)
    names = [name for name in max(rows, key=len) if name not in ("geometry", "id")]
    assert names == list(records.PROPERTIES)
    # Of FlatGeobuf it prints no values that are unknown.
    assert_same([dict.fromkeys(names) | row for row in rows], planes)


def ogrinfo(path: Path, layer: str | None) -> list[dict[str, Any]]:
    """The features of a layer as `ogrinfo` prints them."""
    command = ["ogrinfo", "-ro", "-q", str(path), *([layer] if layer else ["-al"])]
    # Its data files are those of the system, not of a package.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GDAL_", "PROJ_"))}
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    rows = []
    for feature in text.split("\nOGRFeature(")[1:]:
        row: dict[str, Any] = {}
        for name, kind, value in re.findall(r"^  (\w+) \((\w+)\) = (.*)$", feature, re.MULTILINE):
            row[name] = None if value == "(null)" else float(value) if kind == "Real" else value
            # Times look like 2026/11/23 06:00:00+00.
            row[name] = value.replace("/", "-") if kind == "DateTime" and row[name] else row[name]
        (wkt,) = re.findall(r"^  ((?:MULTI)?POLYGON .*)$", feature, re.MULTILINE)
        rows.append({**row, "geometry": shapely.from_wkt(wkt)})
    return rows


@pytest.mark.parametrize("suffix", OGR_FORMATS)
def test_fiona_reads_every_format(written: tuple[Path, list[Airplane]], suffix: str) -> None:
    folder, planes = written
    with fiona.open(folder / f"a{suffix}", layer="airplanes" if suffix in NAMED_LAYERS else 0) as layer:
        assert layer.crs.to_epsg() == 4326
        names = [name for name in layer.schema["properties"] if name != "id"]
        rows = [{**feature.properties, "geometry": shapely.geometry.shape(feature.geometry)} for feature in layer]
    assert names == list(records.PROPERTIES)
    assert_same(rows, planes)


@pytest.mark.parametrize("suffix", [".fgb", ".gpkg"])
def test_gdal_finds_airplanes_by_the_spatial_index(written: tuple[Path, list[Airplane]], suffix: str) -> None:
    folder, planes = written
    box = (-60.0, -20.0, 40.0, 50.0)
    info = pyogrio.read_info(folder / f"a{suffix}", layer="airplanes")
    if suffix == ".gpkg":
        with contextlib.closing(sqlite3.connect(folder / "a.gpkg")) as database:
            assert database.execute("SELECT count(*) FROM rtree_airplanes_geometry").fetchone() == (len(planes),)
    else:
        assert info["capabilities"]["fast_spatial_filter"]
    frame = pyogrio.read_dataframe(folder / f"a{suffix}", layer="airplanes", bbox=box)
    inside = {plane.detection_id for plane in planes if plane.geometry.intersects(shapely.box(*box))}
    assert 0 < len(inside) < len(planes)
    assert set(frame.detection_id) == inside


def test_a_geopackage_written_beside_tensorflow_has_a_spatial_index(tmp_path: Path) -> None:
    """TensorFlow has an SQLite without R-trees, which took the place of GDAL's."""
    program = (
        "import model, sys, tensorflow; from pipeline.sinks.files import write_file; "
        "from tests.pipeline.airplanes import sample; write_file(sys.argv[1], sample(300, antimeridian=True), [])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.gpkg")], check=True, env=environment)
    with contextlib.closing(sqlite3.connect(tmp_path / "a.gpkg")) as database:
        assert database.execute("SELECT count(*) FROM rtree_airplanes_geometry").fetchone() == (300,)


def test_a_geopackage_without_a_spatial_index_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, planes: list[Airplane], driver: str, **options: str) -> None:
        pyogrio.write_dataframe(to_frame(planes), path, driver=driver, layer="airplanes", SPATIAL_INDEX="NO")

    monkeypatch.setattr(files, "_write_with_gdal", write)
    with pytest.raises(OutputError, match=r"a\.gpkg: expected a spatial index from GDAL, got none"):
        write_file(str(tmp_path / "a.gpkg"), sample(3))
    assert list(tmp_path.iterdir()) == []


# GeoJSON


def test_geojson_follows_rfc_7946(written: tuple[Path, list[Airplane]]) -> None:
    folder, planes = written
    collection = json.loads((folder / "a.geojson").read_text(encoding="utf-8"))
    assert geojson_faults(collection) == []
    lines = (folder / "a.geojsonl").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    assert len(lines) == len(planes)
    assert [json.loads(line) for line in lines] == collection["features"]
    assert {feature["geometry"]["type"] for feature in collection["features"]} == {"Polygon", "MultiPolygon"}


@pytest.mark.parametrize(
    ("fault", "section"),
    [
        (lambda feature: feature["geometry"]["coordinates"][0].reverse(), "right-hand rule"),
        (lambda feature: feature["geometry"]["coordinates"][0].pop(), "not closed"),
        (lambda feature: [position.reverse() for position in feature["geometry"]["coordinates"][0]], "right-hand"),
        (lambda feature: feature["geometry"]["coordinates"][0][1].__setitem__(0, 190.0), "out of range"),
        (lambda feature: feature.update(crs={}), "members that another type defines"),
        (lambda feature: feature["geometry"].update(type="Ring"), "unknown type"),
        (lambda feature: feature.pop("properties"), "no member properties"),
    ],
)
def test_the_checks_of_geojson_find_faults(fault: Any, section: str) -> None:
    feature = records.to_feature(airplane())
    assert feature_faults(feature) == []
    fault(feature)
    assert section in " ".join(feature_faults(feature))


# GeoParquet


def test_geoparquet_follows_its_schema(written: tuple[Path, list[Airplane]]) -> None:
    path = written[0] / "a.parquet"
    assert geoparquet_faults(path) == []
    (column,) = json.loads(pyarrow.parquet.read_schema(path).metadata[b"geo"])["columns"].values()
    assert column["crs"]["id"] == {"authority": "OGC", "code": "CRS84"}
    assert set(column["geometry_types"]) == {"Polygon", "MultiPolygon"}
    assert "covering" in column
    types = {name: str(kind) for name, kind in zip(*_names_and_types(path), strict=True)}
    assert {types[name] for name in ("score", "length_m", "size_m")} == {"double"}
    assert types["acquired_at"] in ("string", "large_string")


def _names_and_types(path: Path) -> tuple[list[str], list[Any]]:
    schema = pyarrow.parquet.read_schema(path)
    return schema.names, schema.types


def test_the_checks_of_geoparquet_find_faults(tmp_path: Path) -> None:
    frame = to_frame(sample(3))
    frame.to_parquet(tmp_path / "old.parquet", schema_version="1.0.0")
    assert geoparquet_faults(tmp_path / "old.parquet") == ["version: '1.1.0' was expected"]
    frame.set_crs(None, allow_override=True).to_parquet(tmp_path / "a.parquet", schema_version="1.1.0")
    assert geoparquet_faults(tmp_path / "a.parquet") == ["columns.geometry.crs: None is not of type 'object'"]
    frame.drop(columns="geometry").to_parquet(tmp_path / "b.parquet")
    assert geoparquet_faults(tmp_path / "b.parquet") == ["no key geo"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda geo: geo.pop("primary_column"), "'primary_column' is a required property"),
        (lambda geo: geo.update(primary_column="geom"), "the primary column is not described"),
        (lambda geo: geo["columns"]["geometry"].update(encoding="WKT"), "'WKT' is not one of"),
        (lambda geo: geo["columns"]["geometry"].update(geometry_types=["polygon"]), "'polygon' does not match"),
        (lambda geo: geo["columns"]["geometry"].update(orientation="clockwise"), "'counterclockwise' was expected"),
        (lambda geo: geo["columns"]["geometry"]["bbox"].pop(), "is not valid under any of the given schemas"),
        (lambda geo: geo["columns"]["geometry"]["crs"].pop("name"), "geometry: crs: "),
        (lambda geo: geo["columns"]["geometry"]["covering"]["bbox"].pop("xmin"), "'xmin' is a required property"),
        (lambda geo: geo["columns"].update(other=geo["columns"]["geometry"]), "other: no such column"),
    ],
)
def test_the_checks_of_geoparquet_metadata_find_faults(
    written: tuple[Path, list[Airplane]], tmp_path: Path, fault: Any, message: str
) -> None:
    table = pyarrow.parquet.read_table(written[0] / "a.parquet")
    geo = json.loads(table.schema.metadata[b"geo"])
    fault(geo)
    broken = table.replace_schema_metadata({**table.schema.metadata, b"geo": json.dumps(geo)})
    pyarrow.parquet.write_table(broken, tmp_path / "a.parquet")
    assert message in " ".join(geoparquet_faults(tmp_path / "a.parquet"))


def test_a_spatial_filter_skips_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: duckdb.DuckDBPyConnection
) -> None:
    monkeypatch.setattr(files, "ROW_GROUP_SIZE", 50)
    planes = sample(2000)
    path = tmp_path / "a.parquet"
    write_file(str(path), planes)
    xmin, ymin, xmax, ymax = box = (0.0, 30.0, 30.0, 60.0)
    metadata = pyarrow.parquet.read_metadata(path)
    assert metadata.num_row_groups == 40
    columns = {metadata.schema.column(number).path: number for number in range(metadata.num_columns)}
    touched = 0
    for number in range(metadata.num_row_groups):
        statistics = {
            side: metadata.row_group(number).column(columns[f"bbox.{side}"]).statistics
            for side in ("xmin", "ymin", "xmax", "ymax")
        }
        touched += bool(
            statistics["xmin"].min <= xmax
            and statistics["xmax"].max >= xmin
            and statistics["ymin"].min <= ymax
            and statistics["ymax"].max >= ymin
        )
    # The box covers 1/72 of the area; unsorted, every group would touch it.
    assert touched <= 6
    inside = {plane.detection_id for plane in planes if plane.geometry.intersects(shapely.box(*box))}
    assert set(geopandas.read_parquet(path, bbox=box).detection_id) == inside
    where = "bbox.xmin <= 30 AND bbox.xmax >= 0 AND bbox.ymin <= 60 AND bbox.ymax >= 30"
    rows = database.execute(f"SELECT detection_id FROM '{path}' WHERE {where}").fetchall()  # noqa: S608
    assert {name for (name,) in rows} == inside


# GeoPackage


def test_the_geopackage_has_a_style_by_score_for_qgis(written: tuple[Path, list[Airplane]]) -> None:
    with sqlite3.connect(written[0] / "a.gpkg") as database:
        (row,) = database.execute(
            "SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles"
        ).fetchall()
        contents = dict(database.execute("SELECT table_name, data_type FROM gpkg_contents").fetchall())
        (geometry,) = database.execute("SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns").fetchall()
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert row[:3] == (*geometry[:2], 1)
    assert geometry == ("airplanes", "geometry", 4326)
    assert contents == {"airplanes": "features", "layer_styles": "attributes"}
    renderer = ElementTree.fromstring(row[3]).find("renderer-v2")  # noqa: S314 -- our own
    assert renderer is not None
    assert renderer.get("attr") == "score"
    ranges = [(float(element.get("lower", "")), float(element.get("upper", ""))) for element in renderer.iter("range")]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 1
    assert all(before[1] == after[0] for before, after in itertools.pairwise(ranges))
    symbols = {symbol.get("name") for symbol in renderer.iter("symbol")}
    assert {element.get("symbol") for element in renderer.iter("range")} == symbols
    assert list(pyogrio.list_layers(written[0] / "a.gpkg")[:, 0]) == ["airplanes", "layer_styles"]


# COCO


def test_coco_comes_back_as_training_data(cli: CommandRunner) -> None:
    labels = cli.folder / "labels"
    assert cli.run(output="labels/x.coco.json")[0] == 0
    (image,) = read_annotated_images(labels, "all")
    assert image.path.resolve() == (cli.folder / "a.tif").resolve()
    expected = [list(sides) for *sides, level in AIRPLANES if level / 255 >= 0.85]
    assert sorted(image.boxes.tolist()) == sorted(expected)
    content = json.loads((labels / "x.coco.json").read_text(encoding="utf-8"))
    assert content["images"][0]["file_name"] == "../a.tif"
    assert [annotation["id"] for annotation in content["annotations"]] == [1, 2, 3, 4]
    assert all(annotation["area"] == np.prod(annotation["bbox"][2:]) for annotation in content["annotations"])


def test_coco_has_the_points_of_measured_airplanes(tmp_path: Path) -> None:
    ends = [31.5, 22.25, 30.0, 68.0, 12.0, 50.0, 52.0, 49.0]
    points: dict[str, Any] = dict(zip(POINT_FIELDS, ends, strict=True))
    measured = dataclasses.replace(airplane("measured"), outline="oriented", heading_deg=2.0, **points)
    either_way = dataclasses.replace(measured, detection_id="either way", score=0.8, heading_deg=None)
    write_file(str(tmp_path / "a.coco.json"), [measured, either_way, airplane("small", score=0.7)], SCENES)
    content = json.loads((tmp_path / "a.coco.json").read_text())
    (category,) = content["categories"]
    assert category["keypoints"] == ["nose", "tail", "left_wingtip", "right_wingtip"]
    assert category["skeleton"] == [[1, 2], [3, 4]]
    first, *others = content["annotations"]
    assert first["keypoints"] == [31.5, 22.25, 2, 30.0, 68.0, 2, 12.0, 50.0, 2, 52.0, 49.0, 2]
    assert first["num_keypoints"] == 4
    assert [(other["keypoints"], other["num_keypoints"]) for other in others] == [([0] * 12, 0)] * 2
    assert len({str(annotation["segmentation"]) for annotation in content["annotations"]}) == 1


def test_coco_lists_processed_scenes_and_no_others(tmp_path: Path) -> None:
    scenes = [
        entry("b.tif"),
        entry("gs://bucket/c.tif"),
        entry("d.tif", status="failed", parts_done=0, error="d.tif: gone"),
        entry("e.tif", status="duplicate", duplicate_of="b.tif"),
    ]
    write_file(str(tmp_path / "a.coco.json"), [airplane(scene_uri="b.tif")], scenes)
    content = json.loads((tmp_path / "a.coco.json").read_text())
    assert [image["scene_uri"] for image in content["images"]] == ["b.tif", "gs://bucket/c.tif"]
    assert content["images"][1]["file_name"] == "gs://bucket/c.tif"
    assert [annotation["image_id"] for annotation in content["annotations"]] == [1]


# The job


def results(planes: list[Airplane]) -> list[SceneResult]:
    uris = sorted({plane.scene_uri for plane in planes})
    return [SceneResult(entry(uri), tuple(plane for plane in planes if plane.scene_uri == uri)) for uri in uris]


@pytest.mark.parametrize("count", [0, 200])
def test_shards_are_joined_in_order(tmp_path: Path, count: int) -> None:
    planes = [dataclasses.replace(plane, scene_uri=f"{n % 70}.tif") for n, plane in enumerate(sample(count))]
    write_file(str(tmp_path / "expected.geojsonl"), planes)
    uris = (str(tmp_path / "x.geojsonl"), str(tmp_path / "x.geojson"))
    with beam.Pipeline(FnApiRunner(), PipelineOptions([])) as pipeline:
        _ = pipeline | beam.Create(results(planes)[::-1]) | WriteAirplanes(uris, "run", IDENTITY)
    assert (tmp_path / "x.geojsonl").read_bytes() == (tmp_path / "expected.geojsonl").read_bytes()
    shards = list(tmp_path.glob(".x.geojsonl.run-*.part"))
    assert 1 < len(shards) <= transforms.SHARD_COUNT if count else not shards
    transforms.remove_leftovers(uris, "run", PipelineOptions([]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expected.geojsonl", "x.geojson", "x.geojsonl"]


def test_the_job_itself_removes_the_shards(cli: CommandRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a command that does not wait for the end of the job."""
    removed: list[object] = []
    monkeypatch.setattr(job, "remove_leftovers", lambda *args: removed.append(args))
    assert cli.run(output="x.geojsonl")[0] == 0
    assert removed
    assert Path("x.geojsonl").stat().st_size > 0
    assert not list(Path().glob(".x.geojsonl*"))


def test_several_outputs_read_the_pixels_once(cli: CommandRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    tiles: list[Tile] = []
    read_tile = RasterReader.read_tile

    def counted(reader: RasterReader, tile: Tile) -> ImageArray:
        tiles.append(tile)
        return read_tile(reader, tile)

    monkeypatch.setattr(RasterReader, "read_tile", counted)
    outputs = [arg for suffix in SUFFIXES for arg in ("--output", f"out/y{suffix}")]
    assert cli.run("--report", "report", *outputs, output="out/x.parquet")[0] == 0
    ledger = cli.ledger("report/ledger.json")
    assert len(tiles) == len(set(tiles)) == ledger.totals.parts_planned
    expected = by_id(read_geojson(Path("out/y.geojson")))
    assert len(expected) == 4
    for suffix in SUFFIXES:
        assert by_id(read_file(f"out/y{suffix}")) == expected
    assert sorted(path.name for path in Path("out").iterdir()) == sorted(["x.parquet", *(f"y{s}" for s in SUFFIXES)])
    names = ["out/x.parquet", *(f"out/y{s}" for s in SUFFIXES), "report/ledger.json", "report/report.html"]
    assert cli.written == names
    assert expected[0].detection_id in Path("report/report.html").read_text(encoding="utf-8")


# Complete or absent

FAILING = """
import pathlib, resource, sys
from geo.errors import OutputError
from geo.grid import Tile
from pipeline.sinks import SUFFIXES
from pipeline.sinks.files import write_file
from tests.pipeline.airplanes import sample
from tests.pipeline.report.factories import entry
SCENES = [entry('a.tif')]
planes = sample(3000)
write_file(str(pathlib.Path(sys.argv[1]) / "warm.gpkg"), planes[:1])
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
for suffix in SUFFIXES:
    path = pathlib.Path(sys.argv[1]) / f"a{suffix}"
    path.write_bytes(b"old")
    try:
        write_file(str(path), planes, SCENES)
        print(f"{path.name}: written")
    except OutputError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FAILING), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(SUFFIXES)
    for suffix, line in zip(SUFFIXES, lines, strict=True):
        assert line.startswith(f"{tmp_path / f'a{suffix}'}: expected a writable path, got '"), line
        assert line.endswith("choose another folder or free space")
        assert (tmp_path / f"a{suffix}").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == len(SUFFIXES) + 1


def test_an_output_is_moved_over_the_old_one(tmp_path: Path) -> None:
    """Copied over it, a reader that has opened the old file would see a mixture."""
    for suffix in SUFFIXES:
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"old")
        with path.open("rb") as reader:
            write_file(str(path), [airplane()], [entry("a.tif")])
            assert reader.read() == b"old"
        assert len(read_file(str(path))) == 1


def test_the_ledger_waits_for_the_outputs(tmp_path: Path) -> None:
    """A ledger that exists vouches for complete outputs."""
    run = RunInfo("r", "c", "2026-05-01T10:20:30+00:00", "m", {}, {})
    pipeline = beam.Pipeline(runner=FnApiRunner())
    results = pipeline | "Results" >> beam.Create([SceneResult(entry("a.tif"), ())])
    written = pipeline | "Outputs" >> beam.Create(["a.geojson"]) | "Written" >> beam.Map(str)
    _ = (results, written) | "Ledger" >> WriteLedger(str(tmp_path / "ledger.json"), run, False)
    transforms = {step.unique_name: step for step in pipeline.to_runner_api().components.transforms.values()}
    (output,) = transforms["Written"].outputs.values()
    assert output in transforms["Ledger/Write"].inputs.values()


KILLED = """
import os, pathlib, sys, threading, time
from pipeline.sinks import SUFFIXES
from pipeline.sinks.files import write_file
from tests.pipeline.airplanes import sample
from tests.pipeline.report.factories import entry
SCENES = [entry('a.tif')]
few, many = sample(5), sample(4000)
for suffix in SUFFIXES:
    write_file(str(pathlib.Path(sys.argv[1]) / f"a{suffix}"), few, SCENES)
    if os.fork() == 0:
        threading.Thread(target=lambda: (time.sleep(float(sys.argv[2])), os.kill(os.getpid(), 9))).start()
        while True:
            write_file(str(pathlib.Path(sys.argv[1]) / f"a{suffix}"), many, SCENES)
for _ in SUFFIXES:
    os.wait()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
def test_a_kill_leaves_a_complete_file(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), "0.3"], check=True)
    for suffix in SUFFIXES:
        assert len(read_file(str(tmp_path / f"a{suffix}"))) in (5, 4000)


# Buckets


def test_outputs_and_ledger_go_to_a_bucket(cli: CommandRunner, bucket: Any) -> None:
    outputs = [arg for suffix in SUFFIXES for arg in ("--output", f"gs://maps/a b/y{suffix}")]
    bucket.blob("a b/y.fgb").upload_from_string("old")
    assert cli.run("--output", "x.geojson", *outputs, output="gs://maps/x.geojsonl")[0] == 0
    expected = by_id(read_geojson(Path("x.geojson")))
    assert len(expected) == 4
    for suffix in SUFFIXES:
        assert by_id(read_file(f"gs://maps/a b/y{suffix}")) == expected
    names = {"x.geojsonl", "x.geojsonl.ledger.json", *(f"a b/y{suffix}" for suffix in SUFFIXES)}
    assert {blob.name for blob in bucket.list_blobs()} == names
    assert cli.written[:3] == ["gs://maps/x.geojsonl", "x.geojson", "gs://maps/a b/y.geojson"]
    bucket.blob("x.geojsonl.ledger.json").download_to_filename("ledger.json")
    assert read_ledger(Path("ledger.json")).totals.airplanes == 4


def test_a_bucket_that_cannot_be_written_is_refused(cli: CommandRunner, bucket: Any) -> None:
    line = cli.usage_error(output="gs://no-such-bucket/x.geojson")
    assert "gs://no-such-bucket/x.geojson: expected a bucket that can be written, got '" in line


# Refused before any work


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            "s3://bucket/x.parquet",
            "--output s3://bucket/x.parquet: expected a local path or gs://bucket/name, got s3://",
        ),
        ("https://me:secret@host/x.fgb", "--output https://***@host/x.fgb: expected a local path or gs://bucket/name"),
        ("gs://bucket", "--output gs://bucket: expected gs://bucket/name, got no name: add one"),
        ("gs://bucket/folder/", "--output gs://bucket/folder/: expected gs://bucket/name, got no name"),
        ("gs://bucket/x", "--output gs://bucket/x: expected the suffix .geojson, .geojsonl, .parquet"),
    ],
)
def test_outputs_elsewhere_are_refused(cli: CommandRunner, output: str, message: str) -> None:
    assert message in cli.usage_error(output=output)


def test_an_output_that_is_also_read_is_refused(cli: CommandRunner) -> None:
    to_frame([airplane()]).to_file("area.gpkg")
    write(cli.folder / "items.geojson", items(item("S-1")))
    line = cli.usage_error("--aoi", "area.gpkg", output=f"{cli.folder}/area.gpkg")
    assert "area.gpkg: expected an output other than the files to read, got area.gpkg for both: name another" in line
    for output in ("items.geojson", "./items.geojson"):
        assert "items.geojson for both" in cli.usage_error(inputs=("items.geojson",), output=output)


def test_a_mosaic_needs_a_local_output(cli: CommandRunner) -> None:
    assert "--mosaic: expected a local --output" in cli.usage_error("--mosaic", output="gs://bucket/x.geojson")


# The examples of the docs


def test_the_examples_of_the_docs_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: duckdb.DuckDBPyConnection
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "gis.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    now = datetime.datetime.now(datetime.UTC)
    planes = [
        dataclasses.replace(
            airplane(str(days)),
            size_m=30.0 + 5 * days,
            acquired_at=(now - datetime.timedelta(days=3 * days)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        for days in range(5)
    ]
    write_file("airplanes.parquet", planes)
    write_file("last-week.parquet", [])
    airports = {"name": ["Hamburg", "empty"]}
    boxes = [shapely.box(9.9, 53.5, 10.1, 53.7), shapely.box(0, 0, 1, 1)]
    geopandas.GeoDataFrame(airports, geometry=boxes, crs="EPSG:4326").to_file("airports.geojson")

    queries = re.findall(r"```sql\n(.*?)```", text[text.index("## DuckDB") : text.index("## BigQuery")], re.DOTALL)
    large, inside, per_airport, recent, new = (database.execute(query).fetchall() for query in queries[1:])
    assert [row[:2] for row in large] == [("4", 50.0), ("3", 45.0)]
    assert (inside, per_airport, recent) == ([(5,)], [("Hamburg", 5)], [("5c", 3)])
    assert len(new) == 5

    names: dict[str, Any] = {}
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(example, names)  # noqa: S102 -- our own
    assert (len(names["hamburg"]), len(names["large"]), len(names["recent"])) == (5, 2, 3)
    assert names["per_airport"].to_dict() == {"Hamburg": 5}


# Frames


@given(st.lists(airplanes, max_size=4))
@settings(max_examples=20)
def test_a_frame_has_the_fields_in_order(drawn: list[Airplane]) -> None:
    frame = to_frame(drawn)
    assert list(frame.columns) == ["geometry", *records.PROPERTIES]
    assert frame.crs == "OGC:CRS84"
    assert records.from_frame(frame) == drawn


def test_an_empty_frame_has_the_same_types() -> None:
    assert list(to_frame([]).dtypes) == list(to_frame([airplane()]).dtypes)


def test_unwritable_files_raise_output_errors(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"gone/a\.geojson: expected a writable path"):
        write_geojson(tmp_path / "gone" / "a.geojson", [])
