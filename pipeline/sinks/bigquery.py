"""BigQuery tables (`bq://project.dataset.table`): one row per airplane, with the fields of `records` and `settings_id`.

A run loads its rows into a staging table. One transaction then replaces, in the table itself, the rows of each scene
that was processed with this model and these settings. Run again, it changes nothing; a failure on the way leaves the
table as it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from geo.aoi import AreaOfInterest, Polygons, polygons_of
from geo.errors import FinderError, OutputError
from geo.types import FloatArray
from pipeline import records

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

    from pipeline.ledger import SceneEntry, SceneResult, TableRows
    from pipeline.values import Identity

_NAME = re.compile(
    r"bq://(?P<project>(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]*)\.(?P<dataset>[A-Za-z0-9_]+)\.(?P<name>[A-Za-z0-9_-]+)"
)
_TYPES = {"str": "STRING", "float": "FLOAT64", "Timestamp": "TIMESTAMP"}
# What the API calls a type in a table that exists.
_OLD_NAMES = {"FLOAT": "FLOAT64"}
#: Columns of a table: name to type, in order; and those that may be null.
COLUMNS: Mapping[str, str] = {
    "geometry": "GEOGRAPHY",
    **{name: _TYPES[kind.removesuffix(" | None")] for name, kind in records.SCHEMA.items()},
    "settings_id": "STRING",
}
NULLABLE = frozenset(name for name, kind in records.SCHEMA.items() if kind.endswith("| None"))
#: After this time a staging table that a killed run has left goes away by itself.
STAGING_DAYS = 7
_DECIMALS = 7
# Part of Beam's message when a load job fails.
_FAILED_JOB = re.compile(
    r"BigQuery job (?P<job>\S+) failed\. Error Result: <ErrorProto.*?message: "
    r"['\"]?(?P<reason>.*?)['\"]?(?:\n reason: |>)",
    re.DOTALL,
)
# Seconds for which a request is tried again: at the start someone waits for the answer, at the end a run hangs on it.
_CHECK_TIMEOUT_S, _TIMEOUT_S = 30.0, 600.0


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """A table, and the project that pays for the jobs which write it."""

    project: str
    dataset: str
    name: str
    billing_project: str

    @property
    def uri(self) -> str:
        """The table as a user writes it."""
        return f"bq://{self.full_name}"

    @property
    def full_name(self) -> str:
        """The table as SQL and the API name it."""
        return f"{self.project}.{self.dataset}.{self.name}"

    def beside(self, suffix: str) -> Table:
        """Return another table of the dataset."""
        return dataclasses.replace(self, name=f"{self.name}_{suffix}")


def parse_table(uri: str, billing_project: str | None = None) -> Table:
    """Return the table of a URI.

    Args:
        uri: `bq://project.dataset.table`.
        billing_project: the project of `--project`; None: the table's own.

    Raises:
        OutputError: the URI names no table.
    """
    match = _NAME.fullmatch(uri)
    if match is None:
        raise OutputError(
            f"--output {uri}: expected bq://project.dataset.table, got a name of another form: "
            "write all three, datasets and tables with letters, digits and _"
        )
    return Table(**match.groupdict(), billing_project=billing_project or match["project"])


# What is loaded


def schema(required: bool) -> list[dict[str, str]]:
    """Return the columns as BigQuery's API has them.

    Args:
        required: say which columns are never null; False: all may be, as in a staging table.
    """
    return [
        {"name": name, "type": kind, "mode": "REQUIRED" if required and name not in NULLABLE else "NULLABLE"}
        for name, kind in COLUMNS.items()
    ]


def geography(geometry: Polygons) -> str:
    """Return polygons in lon/lat degrees as WKT for a GEOGRAPHY column.

    BigQuery takes a ring's left side for its inside, so rings are counter-clockwise: a clockwise one would be the rest
    of the Earth. It knows no antimeridian, and refuses polygons that share an edge: the parts of a polygon that was cut
    there are one again, and its edges cross the antimeridian.

    Args:
        geometry: longitudes from -180 to 180, or continuous beyond.
    """
    parts = shapely.get_parts(geometry)
    bounds = shapely.bounds(parts)
    if len(parts) > 1 and bounds[:, 2].max() >= 180:
        parts = [
            _shifted(part, 360.0) if west <= -180 else part for part, west in zip(parts, bounds[:, 0], strict=True)
        ]
        geometry = polygons_of(shapely.union_all(parts, grid_size=10.0**-_DECIMALS))
    wrapped = shapely.transform(shapely.orient_polygons(geometry, exterior_cw=False), _wrapped)
    return str(shapely.to_wkt(wrapped, rounding_precision=_DECIMALS, trim=True))


def _wrapped(lonlat: FloatArray) -> FloatArray:
    lon, lat = lonlat.T
    return np.column_stack([np.where(lon > 180, lon - 360, np.where(lon < -180, lon + 360, lon)), lat])


def _shifted(geometry: Polygons, degrees: float) -> Polygons:
    return shapely.transform(geometry, lambda lonlat: lonlat + np.array([degrees, 0.0]))


def staging_rows(result: SceneResult, identity: Identity) -> Iterator[dict[str, str | float | None]]:
    """Yield the rows of a scene for the staging table: its airplanes, and one that says that the scene is complete.

    The latter has no `detection_id`. A scene that failed, or some of whose tiles failed, has none.
    """
    if table_rows(result.entry) == "replaced":
        yield {
            "scene_id": result.entry.scene_id,
            "model": identity.model,
            "settings_id": identity.settings_id,
        }
    for airplane in result.airplanes:
        yield {
            "geometry": geography(airplane.geometry),
            **records.properties(airplane),
            "settings_id": identity.settings_id,
        }


def area_rows(area: AreaOfInterest | None) -> list[dict[str, str]]:
    """Return the row that holds the area of interest in the staging table, if there is one: it has no `scene_id`."""
    return [{"geometry": geography(area.polygons)}] if area else []


def table_rows(entry: SceneEntry) -> TableRows | None:
    """Return what becomes of the rows that a table holds of a scene, from an earlier run; None for a duplicate."""
    if entry.status == "duplicate":
        return None
    if entry.status in ("complete", "empty"):
        return "replaced"
    return "merged" if entry.status == "incomplete" else "kept"


def replacing_sql(table: Table, staging: Table, in_area: bool) -> str:
    """Return the transaction that replaces rows of a table by those of a staging table.

    Args:
        table: the table.
        staging: the table with the rows of this run.
        in_area: only rows with their centre in the area of interest are removed, others were not looked for. The box
            decides what was looked for: of an oriented outline, whose centre is another, the whole must be inside.
    """
    columns = ", ".join(COLUMNS)
    area = f"(SELECT geometry FROM `{staging.full_name}` WHERE scene_id IS NULL)"  # noqa: S608
    inside = f"ST_INTERSECTS({area}, ST_CENTROID(geometry)) AND (outline = 'upright' OR ST_COVERS({area}, geometry))"
    condition = f"AND {inside}" if in_area else ""
    # The second statement: airplanes of incomplete scenes, and on the border of the area.
    return f"""
BEGIN TRANSACTION;
DELETE FROM `{table.full_name}` AS existing
WHERE EXISTS (
  SELECT 1
  FROM `{staging.full_name}` AS staged
  WHERE staged.detection_id IS NULL
    AND staged.scene_id = existing.scene_id
    AND staged.model = existing.model
    AND staged.settings_id = existing.settings_id
) {condition};
DELETE FROM `{table.full_name}`
WHERE detection_id IN (SELECT detection_id FROM `{staging.full_name}` WHERE detection_id IS NOT NULL);
INSERT INTO `{table.full_name}` ({columns})
SELECT {columns}
FROM `{staging.full_name}`
WHERE detection_id IS NOT NULL;
COMMIT TRANSACTION;
"""  # noqa: S608 -- names are checked in parse_table


# The tables


def check_table(table: Table, area: AreaOfInterest | None) -> None:
    """Check that a table can be written, by making another beside it and removing it.

    Raises:
        OutputError: the dataset is missing, the table has other columns, a right is missing, or BigQuery refuses the
            area of interest.
    """
    from google.api_core.exceptions import NotFound
    from google.cloud.bigquery import QueryJobConfig, ScalarQueryParameter

    with errors(table), contextlib.closing(open_client(table)) as client:
        try:
            location = client.get_dataset(f"{table.project}.{table.dataset}", **_requests(_CHECK_TIMEOUT_S)).location
        except NotFound as error:
            raise OutputError(
                f"{table.uri}: expected a dataset that exists, got none named {table.dataset} in {table.project}: "
                f"make it with bq mk --dataset {table.project}:{table.dataset}"
            ) from error
        with contextlib.suppress(NotFound):
            _check_columns(table, client)
        probe = table.beside(f"check_{uuid.uuid4().hex[:8]}")
        _create(client, probe, required=True)
        try:
            parameters = [ScalarQueryParameter("area", "STRING", area_rows(area)[0]["geometry"] if area else None)]
            client.query(
                "SELECT ST_ISEMPTY(ST_GEOGFROMTEXT(@area))",
                QueryJobConfig(query_parameters=parameters),
                location=location,
                **_requests(_CHECK_TIMEOUT_S),
            ).result(**_requests(_CHECK_TIMEOUT_S))
        finally:
            client.delete_table(probe.full_name, **_requests(_CHECK_TIMEOUT_S))


def _check_columns(table: Table, client: Client) -> None:
    columns = {
        field.name: _OLD_NAMES.get(field.field_type, field.field_type)
        for field in client.get_table(table.full_name, **_requests(_CHECK_TIMEOUT_S)).schema
    }
    for name, kind in COLUMNS.items():
        if columns.get(name) != kind:
            raise OutputError(
                f"{table.uri}: expected a column {name} of type {kind}, got {columns.get(name, 'none')}: "
                "name a new table, which is made with all columns"
            )


def staging_table(table: Table, run_id: str) -> Table:
    """Return the table into which a run loads its rows."""
    return table.beside(f"staging_{run_id}")


def create_staging(table: Table, run_id: str) -> None:
    """Create the staging table of a run.

    Raises:
        OutputError: it cannot be created.
    """
    with errors(table), contextlib.closing(open_client(table)) as client:
        _create(client, staging_table(table, run_id), required=False)


def remove_staging(staging: Table) -> None:
    """Remove a staging table; where that fails, it goes away by itself."""
    with contextlib.suppress(Exception), contextlib.closing(open_client(staging)) as client:
        client.delete_table(staging.full_name, not_found_ok=True, **_requests(_CHECK_TIMEOUT_S))


def replace_rows(table: Table, staging: Table, in_area: bool) -> None:
    """Replace rows of a table by those of a staging table, all of them or none; the table is made where it is missing.

    Raises:
        OutputError: it cannot be written.
    """
    from google.api_core.retry import Retry

    def run() -> None:
        client.query(replacing_sql(table, staging, in_area), location=location).result()

    with errors(table), contextlib.closing(open_client(table)) as client:
        _create(client, table, required=True, exists_ok=True)
        location = client.get_table(table.full_name, **_requests(_TIMEOUT_S)).location
        # Of two runs that write one table at once, BigQuery aborts the transaction of one.
        Retry(_is_conflict, initial=1.0, maximum=30.0, timeout=_TIMEOUT_S)(run)()


def _is_conflict(error: BaseException) -> bool:
    return "aborted due to concurrent update" in str(error)


def open_client(table: Table) -> Client:
    """Return a client whose jobs the table's billing project pays for."""
    from google.cloud.bigquery import Client

    return Client(project=table.billing_project)


def _create(client: Client, table: Table, required: bool, exists_ok: bool = False) -> None:
    """Create a table: one for a user, or with `required` False one that expires."""
    from google.cloud.bigquery import SchemaField, TimePartitioning
    from google.cloud.bigquery import Table as ApiTable

    made = ApiTable(table.full_name, schema=[SchemaField.from_api_repr(field) for field in schema(required)])
    if required:
        # Airplanes without a time are in a partition of their own, NULL: nothing is lost.
        made.time_partitioning = TimePartitioning(type_="DAY", field="acquired_at")
        made.clustering_fields = ["scene_id"]
    else:
        made.expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=STAGING_DAYS)
    client.create_table(made, exists_ok=exists_ok, **_requests(_TIMEOUT_S))


def _requests(timeout_s: float) -> dict[str, Any]:
    from google.cloud.bigquery import DEFAULT_RETRY

    return {"retry": DEFAULT_RETRY.with_timeout(timeout_s), "timeout": timeout_s}


@contextlib.contextmanager
def errors(table: Table) -> Iterator[None]:
    """Turn the errors of BigQuery's client into OutputErrors of one line."""
    from google.api_core.exceptions import Forbidden
    from google.auth.exceptions import DefaultCredentialsError

    try:
        yield
    except FinderError:
        raise
    # Several libraries raise here: no credentials, no network, no such project.
    except Exception as error:
        reason = " ".join(str(getattr(error, "message", error)).split()) or type(error).__name__
        remedy = "check its name, the network and your credentials"
        if isinstance(error, Forbidden):
            remedy = (
                f"ask for the roles BigQuery Data Editor on {table.project}.{table.dataset} "
                f"and BigQuery Job User on {table.billing_project}"
            )
        elif isinstance(error, DefaultCredentialsError):
            remedy = "set GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login"
        raise OutputError(f"{table.uri}: expected a table that can be written, got '{reason}': {remedy}") from error


@contextlib.contextmanager
def load_errors() -> Iterator[None]:
    """Turn Beam's error about a load job that failed into an OutputError of one line."""
    try:
        yield
    except RuntimeError as error:
        match = _FAILED_JOB.search(str(error))
        if match is None:
            raise
        reason = " ".join(match["reason"].split())
        raise OutputError(
            f"expected every load job of BigQuery to succeed, got '{reason}' from {match['job']}: "
            f"mend that, or see more with bq show -j {match['job']}"
        ) from error
