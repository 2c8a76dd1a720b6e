"""Airplanes in BigQuery: loaded by Beam's sink, replaced in one transaction, queried with SQL; in an emulator."""

import contextlib
import dataclasses
import datetime
import itertools
import json
import re
import threading
import uuid
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import apache_beam as beam
import google.auth
import pytest
import shapely
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from google.auth.exceptions import DefaultCredentialsError
from google.cloud.bigquery import Client, LoadJobConfig, SchemaField
from google.cloud.bigquery import Table as ApiTable
from pyproj import CRS, Geod

from geo.aoi import AreaOfInterest, build_aoi
from geo.errors import OutputError
from geo.grid import Tile
from geo.raster.reader import RasterReader
from geo.types import ImageArray
from pipeline import records, steps
from pipeline.ledger import SceneResult
from pipeline.records import Airplane
from pipeline.sinks import bigquery
from pipeline.sinks.files import read_file
from pipeline.sinks.transforms import WriteAirplanes, prepare_tables, remove_leftovers
from pipeline.values import Identity
from tests.geo.gcs_emulator import emulated_bucket
from tests.pipeline.airplanes import airplane, ring, sample
from tests.pipeline.bigquery_emulator import PROJECT, emulated_bigquery
from tests.pipeline.command_runner import CommandRunner
from tests.pipeline.report.factories import entry
from tests.pipeline.scenes import write_damaged_scene

IDENTITY = Identity("fake@000000000000", "settings")
TEMP = ("--temp_location", "gs://maps/temp")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of the emulator, which loads from `gs://maps`."""
    buckets = tmp_path_factory.mktemp("buckets")
    with (
        emulated_bucket("maps", str(buckets)),
        emulated_bigquery(tmp_path_factory.mktemp("bigquery"), buckets) as client,
    ):
        yield client


@pytest.fixture
def table(client: Client) -> str:
    """The URI of a table that does not exist yet, in a dataset of its own."""
    dataset = f"dataset_{uuid.uuid4().hex[:8]}"
    client.create_dataset(dataset)
    return f"bq://{PROJECT}.{dataset}.airplanes"


def write(
    table: str, results: Sequence[SceneResult], area: AreaOfInterest | None = None, identity: Identity = IDENTITY
) -> None:
    """Write the results of a run."""
    options = PipelineOptions(list(TEMP))
    run_id = uuid.uuid4().hex[:12]
    prepare_tables([table], run_id, options)
    try:
        with beam.Pipeline(FnApiRunner(), options) as pipeline:
            _ = pipeline | beam.Create(results) | WriteAirplanes([table], run_id, identity, area)
    finally:
        remove_leftovers([table], run_id, options)


def replace(
    client: Client,
    table: str,
    results: Sequence[SceneResult],
    area: AreaOfInterest | None = None,
    identity: Identity = IDENTITY,
) -> None:
    """Write the results of a run as `write` does, but without Beam, which takes seconds."""
    target, run_id = bigquery.parse_table(table), uuid.uuid4().hex[:12]
    bigquery.create_staging(target, run_id)
    staging = bigquery.staging_table(target, run_id)
    loaded = [row for item in results for row in bigquery.staging_rows(item, identity)] + bigquery.area_rows(area)
    if loaded:
        uri = f"gs://maps/temp/{run_id}.json"
        with FileSystems.create(uri) as file:
            file.write("".join(f"{json.dumps(row)}\n" for row in loaded).encode())
        schema = [SchemaField.from_api_repr(field) for field in bigquery.schema(required=False)]
        config = LoadJobConfig(schema=schema, source_format="NEWLINE_DELIMITED_JSON")
        client.load_table_from_uri(uri, staging.full_name, job_config=config).result()
        FileSystems.delete([uri])
    bigquery.replace_rows(target, staging, area is not None)
    bigquery.remove_staging(staging)


def rows(client: Client, table: str, columns: str = "scene_id, detection_id") -> list[tuple[Any, ...]]:
    """The rows of a table, in order."""
    sql = f"SELECT {columns} FROM `{table.removeprefix('bq://')}` ORDER BY scene_id, detection_id"  # noqa: S608
    return [tuple(row) for row in client.query(sql).result()]


def result(scene_id: str, *planes: Airplane, **changes: Any) -> SceneResult:
    """A scene with airplanes, all of whose tiles were inferred; and what else is said of it."""
    scene = dataclasses.replace(entry(f"{scene_id}.tif"), scene_id=scene_id, **changes)
    return SceneResult(scene, tuple(dataclasses.replace(plane, scene_id=scene_id) for plane in planes))


# A row


def geodesic_area_m2(wkt: str) -> float:
    """The area of what a GEOGRAPHY holds on the left of its rings."""
    area = 0.0
    for polygon in shapely.get_parts(shapely.from_wkt(wkt)):
        lonlat = shapely.get_coordinates(polygon)
        area += float(Geod(ellps="WGS84").polygon_area_perimeter(*lonlat.T)[0])
    return area


def ground_m2(plane: Airplane) -> float:
    """The area of an airplane's outline, the sum of its parts."""
    parts = shapely.get_parts(plane.geometry)
    return sum(float(Geod(ellps="WGS84").geometry_area_perimeter(part)[0]) for part in parts)


def test_polygons_are_small_and_not_the_rest_of_the_earth() -> None:
    for plane in sample(60, antimeridian=True):
        clockwise = shapely.orient_polygons(plane.geometry, exterior_cw=True)
        for geometry in (plane.geometry, clockwise):
            assert geodesic_area_m2(bigquery.geography(geometry)) == pytest.approx(ground_m2(plane), rel=1e-6)
    assert geodesic_area_m2(shapely.to_wkt(clockwise)) < 0


def test_a_polygon_across_the_antimeridian_is_one_again() -> None:
    halves = shapely.MultiPolygon([shapely.box(179.9998, 10, 180, 10.0003), shapely.box(-180, 10, -179.9997, 10.0003)])
    wkt = bigquery.geography(halves)
    polygon = shapely.from_wkt(wkt)
    assert polygon.geom_type == "Polygon"
    lon, lat = shapely.get_coordinates(polygon).T
    assert {(179.9998, 10.0), (-179.9997, 10.0), (-179.9997, 10.0003), (179.9998, 10.0003)} <= set(
        zip(lon.tolist(), lat.tolist(), strict=True)
    )
    assert (abs(lon) <= 180).all()


def test_geography_keeps_seven_decimals() -> None:
    polygon = ring(-0.1234567, 53.7654321)
    assert shapely.get_coordinates(shapely.from_wkt(bigquery.geography(polygon)))[0].tolist() == [
        -0.1234567,
        53.7654321,
    ]


# The table


def test_a_table_has_the_fields_of_an_airplane(client: Client, table: str) -> None:
    planes = sample(40, antimeridian=True)
    by_scene = itertools.groupby(sorted(planes, key=lambda plane: plane.scene_id), key=lambda plane: plane.scene_id)
    write(table, [result(scene_id, *group) for scene_id, group in by_scene])
    made = client.get_table(table.removeprefix("bq://"))
    assert made.time_partitioning.type_ == "DAY"
    assert made.time_partitioning.field == "acquired_at"
    assert made.clustering_fields == ["scene_id"]
    fields = {field.name: (field.field_type, field.mode) for field in made.schema}
    assert list(fields) == ["geometry", *records.PROPERTIES, "settings_id"]
    assert fields["geometry"] == ("GEOGRAPHY", "REQUIRED")
    assert fields["score"] == ("FLOAT64", "REQUIRED")
    assert fields["acquired_at"] == ("TIMESTAMP", "NULLABLE")
    got = rows(client, table, f"{', '.join(records.PROPERTIES)}, settings_id, ST_ASTEXT(geometry)")
    assert len(got) == len(planes)
    ordered = sorted(planes, key=lambda plane: (plane.scene_id, plane.detection_id))
    for (*values, settings_id, wkt), plane in zip(got, ordered, strict=True):
        expected = records.properties(plane)
        acquired_at = values[records.PROPERTIES.index("acquired_at")]
        # No time is a partition of its own.
        assert (acquired_at and acquired_at.strftime("%Y-%m-%dT%H:%M:%SZ")) == expected["acquired_at"]
        del values[records.PROPERTIES.index("acquired_at")], expected["acquired_at"]
        assert values == list(expected.values())
        assert settings_id == IDENTITY.settings_id
        if plane.geometry.geom_type == "Polygon":
            assert shapely.from_wkt(wkt).normalize().equals_exact(plane.geometry.normalize(), 1e-9)


def test_the_files_that_are_loaded_hold_counter_clockwise_rings(
    client: Client, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[dict[str, Any]] = []
    delete = FileSystems.delete

    def noted(paths: list[str]) -> None:
        for path in paths:
            with FileSystems.open(path) as file:
                loaded.extend(json.loads(line) for line in file.read().splitlines())
        delete(paths)

    monkeypatch.setattr(FileSystems, "delete", noted)
    planes = sample(30, antimeridian=True)
    write(table, [result("s", *planes)])
    wkts = {row["detection_id"]: row["geometry"] for row in loaded if "detection_id" in row}
    assert len(wkts) == len(planes) == len(rows(client, table))
    for plane in planes:
        # Positive: the airplane lies on the left of its ring.
        assert geodesic_area_m2(wkts[plane.detection_id]) == pytest.approx(ground_m2(plane), rel=1e-6)
        assert ground_m2(plane) > 0


def leftovers(client: Client, table: str) -> list[str]:
    """What a run has left beside a table and in the bucket."""
    dataset = table.removeprefix("bq://").rpartition(".")[0]
    tables = [item.table_id for item in client.list_tables(dataset) if item.table_id != "airplanes"]
    return [*tables, *(metadata.path for metadata in FileSystems.match(["gs://maps/temp/**"])[0].metadata_list)]


def test_a_second_run_changes_nothing(client: Client, table: str) -> None:
    results = [result("s", *sample(5)), result("t", airplane("t1"))]
    write(table, results)
    first = rows(client, table)
    assert len(first) == 6
    write(table, results)
    assert rows(client, table) == first
    assert leftovers(client, table) == []


def test_a_step_that_is_tried_again_changes_nothing(client: Client, table: str) -> None:
    options = PipelineOptions(list(TEMP))
    prepare_tables([table], "again", options)
    with beam.Pipeline(FnApiRunner(), options) as pipeline:
        _ = pipeline | beam.Create([result("s", *sample(5))]) | WriteAirplanes([table], "again", IDENTITY)
    first = rows(client, table)
    target = bigquery.parse_table(table)
    bigquery.replace_rows(target, bigquery.staging_table(target, "again"), in_area=False)
    assert rows(client, table) == first
    assert len(first) == 5
    assert leftovers(client, table) != []
    remove_leftovers([table], "again", options)
    assert leftovers(client, table) == []


def test_what_is_no_longer_detected_is_removed(client: Client, table: str) -> None:
    replace(
        client,
        table,
        [result("s", airplane("1"), airplane("2")), result("t", airplane("3")), result("u", airplane("4"))],
    )
    replace(client, table, [result("s", airplane("2")), result("t"), result("v", airplane("5"))])
    assert rows(client, table) == [("s", "2"), ("u", "4"), ("v", "5")]
    # Without a valid pixel.
    replace(client, table, [result("u", status="empty", parts_done=0)])
    assert rows(client, table) == [("s", "2"), ("v", "5")]


def test_a_scene_that_failed_keeps_its_rows(client: Client, table: str) -> None:
    replace(client, table, [result("s", airplane("1"), airplane("2")), result("t", airplane("3"))])
    replace(
        client,
        table,
        [result("s", status="failed", parts_done=0, error="s.tif: gone"), result("t", status="duplicate")],
    )
    assert rows(client, table) == [("s", "1"), ("s", "2"), ("t", "3")]


def test_an_incomplete_scene_keeps_what_it_may_have_missed(client: Client, table: str) -> None:
    replace(client, table, [result("s", airplane("1"), airplane("2"))])
    replace(
        client, table, [result("s", airplane("2"), airplane("3"), status="incomplete", error="s.tif: 1 of 4 parts")]
    )
    assert rows(client, table) == [("s", "1"), ("s", "2"), ("s", "3")]
    replace(client, table, [result("s", airplane("3"))])
    assert rows(client, table) == [("s", "3")]


def test_rows_of_other_models_and_settings_stay(client: Client, table: str) -> None:
    replace(client, table, [result("s", airplane("1"))])
    other = dataclasses.replace(airplane("2"), model="other@0")
    replace(client, table, [result("s", other)], identity=Identity("other@0", "settings"))
    replace(client, table, [result("s", airplane("3"))], identity=Identity(IDENTITY.model, "other settings"))
    assert [name for _, name in rows(client, table)] == ["1", "2", "3"]
    replace(client, table, [result("s")])
    assert [name for _, name in rows(client, table)] == ["2", "3"]


def test_on_the_border_of_an_area_no_oriented_outline_is_removed(client: Client, table: str) -> None:
    # Boxes decide what a run with an area looks for, and the centre of its box may lie outside.
    area = build_aoi([shapely.box(9.5, 52, 10.0003, 54)], CRS("OGC:CRS84"))
    border, inside = (
        dataclasses.replace(airplane(name), geometry=ring(lon, 53.0), outline="oriented")
        for name, lon in (("1", 10.0), ("2", 9.9))
    )
    assert area.polygons.contains(border.geometry.centroid)
    assert not area.polygons.contains(border.geometry)
    replace(client, table, [result("s", border, inside)])
    replace(client, table, [result("s")], area)
    assert rows(client, table) == [("s", "1")]


def test_with_an_area_only_its_rows_are_replaced(client: Client, table: str) -> None:
    def at(name: str, lon: float) -> Airplane:
        return dataclasses.replace(airplane(name), geometry=ring(lon, 53.0))

    replace(client, table, [result("s", at("1", 9.0), at("2", 10.0), at("3", 11.0))])
    area = build_aoi([shapely.box(9.5, 52, 10.5, 54)], CRS("OGC:CRS84"))
    replace(client, table, [result("s", at("4", 10.1))], area)
    assert [name for _, name in rows(client, table)] == ["1", "3", "4"]
    replace(client, table, [result("s")], area)
    assert [name for _, name in rows(client, table)] == ["1", "3"]


def test_a_transaction_that_fails_leaves_the_table_as_it_was(client: Client, table: str) -> None:
    replace(client, table, [result("s", airplane("1"))])
    # It is only noticed after the rows of the scene were removed.
    client.query(f"ALTER TABLE `{table.removeprefix('bq://')}` DROP COLUMN size_m").result()
    with pytest.raises(OutputError, match=f"{table}: expected a table that can be written, got '.*size_m"):
        replace(client, table, [result("s", airplane("2"))])
    assert rows(client, table) == [("s", "1")]


# The command


def test_tables_and_files_hold_the_same(
    client: Client, table: str, cli: CommandRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiles: list[Tile] = []
    read_tile = RasterReader.read_tile

    def counted(reader: RasterReader, tile: Tile) -> ImageArray:
        tiles.append(tile)
        return read_tile(reader, tile)

    monkeypatch.setattr(RasterReader, "read_tile", counted)
    write_damaged_scene(Path("c.tif"))
    Path("d.tif").write_text("no raster")
    inputs = ("a.tif", "c.tif", "d.tif")
    assert cli.run("--output", table, *TEMP, inputs=inputs, output="x.geojson")[0] == 1
    assert cli.written == ["x.geojson", table, "x.geojson.ledger.json"]
    planes = read_file("x.geojson")
    assert sorted(rows(client, table)) == sorted((plane.scene_id, plane.detection_id) for plane in planes)
    ledger = cli.ledger()
    retries = ledger.totals.parts_failed * (steps.READ_ATTEMPTS - 1)
    assert len(tiles) - retries == len(set(tiles)) == ledger.totals.parts_planned
    assert {Path(scene.scene_uri).name: scene.table_rows for scene in ledger.scenes} == {
        "a.tif": "replaced",
        "c.tif": "merged",
        "d.tif": "kept",
    }
    assert leftovers(client, table) == []


def test_a_table_may_be_the_only_output(client: Client, table: str, cli: CommandRunner) -> None:
    assert cli.run(*TEMP, output=table)[0] == 0
    assert len(rows(client, table)) == 4
    (ledger,) = Path().glob("ledger-*.json")
    run_id = cli.ledger(ledger.name).run.run_id
    assert ledger.name == f"ledger-{run_id}.json"
    assert cli.run(*TEMP, "--report", "report", output=table)[0] == 0
    assert len(rows(client, table)) == len(read_file("report/airplanes.geojson")) == 4
    assert Path("report/report.html").exists()


# Refused before any work


@pytest.mark.parametrize(
    "name",
    [
        "bq://table",
        "bq://dataset.table",
        "bq://demo.dataset.",
        "bq://demo.data-set.x",
        "bq://demo.x.a`b",
        "bq://Demo.x.y",
    ],
)
def test_names_of_another_form_are_refused(cli: CommandRunner, name: str) -> None:
    line = cli.usage_error(*TEMP, output=name)
    assert line.startswith(f"error: --output {name}: expected bq://project.dataset.table, got a name of another form: ")


def test_the_project_that_pays_may_be_another() -> None:
    table = bigquery.parse_table("bq://example.com:maps.planes.all-of_them", "payer")
    assert (table.full_name, table.billing_project) == ("example.com:maps.planes.all-of_them", "payer")
    assert bigquery.parse_table("bq://a-b.c.d").billing_project == "a-b"


def test_a_bucket_for_the_files_to_load_is_needed(cli: CommandRunner) -> None:
    line = cli.usage_error(output="bq://demo.x.y")
    assert (
        "bq://demo.x.y: expected --temp_location gs://bucket/folder, from which BigQuery loads the rows, got none"
        in line
    )
    assert "got temp/x: add one" in cli.usage_error("--temp_location", "temp/x", output="bq://demo.x.y")


def test_the_bucket_must_be_writable(client: Client, cli: CommandRunner, table: str) -> None:
    line = cli.usage_error("--temp_location", "gs://none/temp", output=table)
    assert "gs://none/temp/" in line
    assert "expected a bucket that can be written" in line


def test_a_missing_dataset_is_named(client: Client, cli: CommandRunner) -> None:
    line = cli.usage_error(*TEMP, output="bq://demo.none.x")
    assert "expected a dataset that exists, got none named none in demo: make it with bq mk --dataset demo:none" in line


def test_a_table_with_other_columns_is_refused(client: Client, cli: CommandRunner, table: str) -> None:
    fields = [field for field in bigquery.schema(required=True) if field["name"] != "settings_id"]
    client.create_table(ApiTable(table[5:], schema=[SchemaField.from_api_repr(field) for field in fields]))
    line = cli.usage_error(*TEMP, output=table)
    assert f"{table}: expected a column settings_id of type STRING, got none: name a new table" in line
    assert leftovers(client, table) == []


def test_a_missing_right_is_named(
    client: Client, cli: CommandRunner, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refusing_server() as address:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", address)
        line = cli.usage_error(*TEMP, output=table)
    dataset = table[5:].rpartition(".")[0]
    assert f"{table}: expected a table that can be written, got '" in line
    assert "Access Denied" in line
    assert line.endswith(f"ask for the roles BigQuery Data Editor on {dataset} and BigQuery Job User on demo")


def test_missing_credentials_are_named(cli: CommandRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    def default(*args: object, **kwargs: object) -> None:
        raise DefaultCredentialsError("Your default credentials were not found.")

    monkeypatch.setattr(google.auth, "default", default)
    line = cli.usage_error(*TEMP, output="bq://demo.x.y")
    assert (
        "got 'Your default credentials were not found.': set GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth" in line
    )


@contextlib.contextmanager
def refusing_server() -> Iterator[str]:
    """A server that answers as BigQuery does to someone without rights."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(
                {"error": {"code": 403, "message": "Access Denied", "errors": [{"reason": "accessDenied"}]}}
            )
            self.send_response(403)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_load_job_that_fails_is_one_line() -> None:
    beam_message = (
        "BigQuery job beam_load_7 failed. Error Result: <ErrorProto\n message: 'Quota exceeded: load jobs'\n "
        "reason: 'quotaExceeded'> [while running 'WriteAirplanes/...']"
    )
    expected = pytest.raises(OutputError, match="got 'Quota exceeded: load jobs' from beam_load_7: ")
    with expected as caught, bigquery.load_errors():
        raise RuntimeError(beam_message)
    assert "\n" not in str(caught.value)
    with pytest.raises(RuntimeError, match="another"), bigquery.load_errors():
        raise RuntimeError("another")


# The queries of the docs


def test_the_queries_of_the_docs_run(client: Client) -> None:
    text = (Path(__file__).parents[2] / "docs" / "gis.md").read_text(encoding="utf-8")
    now = datetime.datetime.now(datetime.UTC)
    planes = [
        dataclasses.replace(
            airplane(str(days)),
            geometry=ring(9.98, 53.63 + days / 100),
            size_m=30.0 + 5 * days,
            acquired_at=(now - datetime.timedelta(days=3 * days)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        for days in range(5)
    ]
    client.create_dataset("maps")
    replace(client, "bq://demo.maps.airplanes", [result("s", *planes)])
    client.query("CREATE TABLE demo.maps.airports (name STRING, geometry GEOGRAPHY)").result()
    client.query(
        "INSERT INTO demo.maps.airports VALUES ('Hamburg', "
        "ST_GEOGFROMTEXT('POLYGON((9.9 53.5, 10.1 53.5, 10.1 53.655, 9.9 53.655, 9.9 53.5))'))"
    ).result()
    queries = re.findall(r"```sql\n(.*?)```", text[text.index("## BigQuery") : text.index("## Correct")], re.DOTALL)
    per_airport, large, recent, nearest, area = (
        [tuple(row) for row in client.query(query).result()] for query in queries
    )
    assert per_airport == [("Hamburg", 3)]
    assert [name for name, *_ in large] == ["4", "3"]
    assert recent == [("s", 3)]
    assert [name for name, _ in nearest] == ["0", "1", "2", "3", "4"]
    for (_, metres), plane in zip(nearest, planes, strict=True):
        centre = plane.geometry.centroid
        assert metres == pytest.approx(Geod(ellps="WGS84").inv(9.988, 53.63, centre.x, centre.y)[2], rel=0.01)
    ((count, square_metres),) = area
    assert count == 5
    assert square_metres == pytest.approx(sum(ground_m2(plane) for plane in planes), rel=0.01)
