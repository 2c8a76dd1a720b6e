"""The tables of a store in BigQuery, and views for the usual questions.

A dataset is for one store. Each table is replaced as a whole by one load job, which succeeds or changes nothing: load
again, and the dataset is what the store is. The views are made anew each time.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from geo.aoi import polygons_of
from geo.errors import OutputError
from pipeline import records
from pipeline.monitor import series, tables
from pipeline.monitor.store import DETECTIONS, SCENES, Store
from pipeline.monitor.tables import SceneRow
from pipeline.sinks import bigquery
from pipeline.sinks.bigquery import Table

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

_TYPES = {"str": "STRING", "float": "FLOAT64", "int": "INT64", "bool": "BOOL"}
#: Columns that are text in the store, since Parquet files are read by many programs, and have a type of their own here.
_TYPES_BY_NAME = {
    "day": "DATE",
    **dict.fromkeys(("acquired_at", "since", "first_seen_at", "published_at"), "TIMESTAMP"),
}
_DATASET = re.compile(r"bq://(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]*\.[A-Za-z0-9_]+")

#: The query of each view; `{dataset}` is the dataset.
VIEWS: Mapping[str, str] = {
    # The last visit of each airport that saw enough of it.
    "latest_visits": """
SELECT * EXCEPT (recency) FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY airport ORDER BY acquired_at DESC) AS recency
  FROM `{dataset}.visits` WHERE enough_seen
) WHERE recency = 1
""",
    # Airplanes by month and size class, over the visits that saw enough.
    "monthly_counts": """
SELECT counts.airport, DATE_TRUNC(counts.day, MONTH) AS month, counts.size_class,
  MIN(counts.min_size_m) AS min_size_m, COUNT(*) AS visits,
  AVG(counts.count) AS mean_count, MIN(counts.count) AS min_count, MAX(counts.count) AS max_count
FROM `{dataset}.counts` AS counts JOIN `{dataset}.visits` AS visits ON counts.visit_id = visits.visit_id
WHERE visits.enough_seen
GROUP BY counts.airport, month, counts.size_class
""",
    # How many airplanes came and left, by day and size class.
    "daily_changes": """
SELECT airport, day, size_class, COUNTIF(`change` = 'arrived') AS arrived, COUNTIF(`change` = 'left') AS departed,
  COUNTIF(`change` = 'moved') AS moved
FROM `{dataset}.changes` GROUP BY airport, day, size_class
""",
    # The airplanes of each airport's last visit that have been there for 30 days or longer.
    "long_parked": """
SELECT airplanes.airport, airplanes.track_id, airplanes.size_m, airplanes.apron, airplanes.first_seen_at,
  airplanes.acquired_at AS last_seen_at,
  DATE_DIFF(DATE(airplanes.acquired_at), DATE(airplanes.first_seen_at), DAY) AS days, airplanes.geometry
FROM `{dataset}.airplanes` AS airplanes JOIN `{dataset}.latest_visits` AS visits
  ON airplanes.visit_id = visits.visit_id
WHERE DATE_DIFF(DATE(airplanes.acquired_at), DATE(airplanes.first_seen_at), DAY) >= 30
""",
    # How often each stand was occupied, of the visits that saw it.
    "stand_use": """
SELECT airport, stand, COUNTIF(state != 'not_seen') AS visits, COUNTIF(state = 'occupied') AS occupied,
  SAFE_DIVIDE(COUNTIF(state = 'occupied'), COUNTIF(state != 'not_seen')) AS share_occupied,
  COUNT(DISTINCT track_id) AS airplanes
FROM `{dataset}.stands` GROUP BY airport, stand
""",
}


def parse_dataset(uri: str, billing_project: str | None = None) -> Table:
    """Return a dataset as a table of it that has no meaning but to name its place.

    Args:
        uri: `bq://project.dataset`.
        billing_project: the project that pays for the jobs; None: the dataset's own.

    Raises:
        OutputError: the URI names no dataset.
    """
    if not _DATASET.fullmatch(uri):
        raise OutputError(f"--dataset {uri}: expected bq://project.dataset, got a name of another form: write both")
    return bigquery.parse_table(f"{uri}.{SCENES}", billing_project)


def load(store: Store, scenes_table: Table) -> list[tuple[str, int]]:
    """Load all tables of a store, and make the views.

    Args:
        store: the store.
        scenes_table: of `parse_dataset`.

    Returns:
        Each table with the number of its rows.

    Raises:
        OutputError: the dataset is missing, a right is, or BigQuery refuses a row.
    """
    from google.api_core.exceptions import NotFound

    dataset = f"{scenes_table.project}.{scenes_table.dataset}"
    loaded = []
    with bigquery.errors(scenes_table), contextlib.closing(bigquery.open_client(scenes_table)) as client:
        try:
            location = client.get_dataset(dataset).location
        except NotFound as error:
            raise OutputError(
                f"--dataset bq://{dataset}: expected a dataset that exists, got none: make it with "
                f"bq mk --dataset {scenes_table.project}:{scenes_table.dataset}"
            ) from error
        for name, columns, rows in store_rows(store):
            loaded.append((name, _replace(client, f"{dataset}.{name}", columns, rows, location)))
        for name, query in VIEWS.items():
            sql = f"CREATE OR REPLACE VIEW `{dataset}.{name}` AS {query.format(dataset=dataset)}"
            client.query(sql, location=location).result()
    return loaded


def schema(cls: type[Any]) -> dict[str, str]:
    """Return the columns of a table and their types in BigQuery."""
    columns = {"geometry": "GEOGRAPHY"} if tables.has_geometry(cls) else {}
    for name, kind in tables.columns(cls).items():
        columns[name] = _TYPES_BY_NAME.get(name) or _TYPES[kind.removesuffix(" | None")]
    return columns


def store_rows(store: Store) -> Iterator[tuple[str, dict[str, str], Iterable[dict[str, Any]]]]:
    """Yield name, columns and rows of each table of a store; rows are JSON's plain values."""
    scenes = store.scenes()
    yield SCENES, schema(SceneRow), map(_row, scenes)
    keys = dict.fromkeys(tables.DETECTION_KEYS, "STRING") | {"day": "DATE"}
    yield DETECTIONS, keys | schema(records.Airplane), _detection_rows(store, scenes)
    for name, cls in series.TABLES.items():
        yield name, schema(cls), map(_row, store.read_table(name, cls))


def _detection_rows(store: Store, scenes: Sequence[SceneRow]) -> Iterator[dict[str, Any]]:
    for scene in scenes:
        keys = {name: getattr(scene, name) for name in tables.DETECTION_KEYS}
        for airplane in store.detections([scene]).get(scene.scene_key, ()):
            yield keys | _row(airplane)


def _row(row: Any) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in tables.columns(type(row))}
    if tables.has_geometry(type(row)):
        empty = row.geometry is None or row.geometry.is_empty
        values["geometry"] = None if empty else bigquery.geography(polygons_of(row.geometry))
    return values


def _replace(
    client: Client, name: str, columns: Mapping[str, str], rows: Iterable[dict[str, Any]], location: str
) -> int:
    from google.cloud.bigquery import LoadJobConfig, SchemaField, SourceFormat, WriteDisposition

    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows]
    if not lines:  # a load job needs a file of at least one row
        definition = ", ".join(f"`{column}` {kind}" for column, kind in columns.items())
        client.query(f"CREATE OR REPLACE TABLE `{name}` ({definition})", location=location).result()
        return 0
    config = LoadJobConfig(
        schema=[SchemaField(column, kind) for column, kind in columns.items()],
        source_format=SourceFormat.NEWLINE_DELIMITED_JSON,
        write_disposition=WriteDisposition.WRITE_TRUNCATE,
    )
    file = io.BytesIO("".join(f"{line}\n" for line in lines).encode())
    client.load_table_from_file(file, name, job_config=config, location=location).result()
    return len(lines)
