"""The store in BigQuery: tables as they are in the store, and views; in an emulator."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud.bigquery import Client

from geo.errors import OutputError
from pipeline.monitor import bigquery
from pipeline.monitor.__main__ import main
from pipeline.monitor.run import compute_tables
from pipeline.monitor.store import Store
from pipeline.monitor.tables import VisitRow
from tests.pipeline.bigquery_emulator import PROJECT, emulated_bigquery
from tests.pipeline.monitor.world import AIRPORT, SETTINGS, Plane, make_airport, rows_of_planes, scene

PLANES = rows_of_planes(10)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home, buckets = (tmp_path_factory.mktemp(name) for name in ("bigquery", "buckets"))
    with emulated_bigquery(home, buckets) as client:
        yield client


@pytest.fixture
def dataset(client: Client) -> str:
    name = f"airports_{uuid.uuid4().hex[:8]}"
    client.create_dataset(name)
    return f"{PROJECT}.{name}"


def add(store: Store, day: str, planes: list[Plane]) -> None:
    row, airplanes = scene(day, planes)
    store.write_scene(row, airplanes)
    airport = make_airport({"A1": (-120.0, -150.0), "A2": (0.0, 900.0)})
    compute_tables(airport, store.scenes(AIRPORT.id), store, SETTINGS)


def rows(client: Client, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in client.query(sql).result()]


def load(capsys: pytest.CaptureFixture[str], dataset: str) -> list[str]:
    assert main(["load", "--store", "store", "--dataset", f"bq://{dataset}"]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_store_is_loaded_and_loading_again_replaces_it(
    client: Client,
    dataset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("store")
    add(store, "2026-01-05", PLANES)
    add(store, "2026-02-20", [*PLANES[1:], Plane(400.0, 300.0, 50.0)])
    printed = load(capsys, dataset)
    assert printed[0] == f"bq://{dataset}.scenes: 2 rows"
    assert f"bq://{dataset}.detections: 20 rows" in printed
    visits = f"SELECT acquired_at, count, arrived, `left`, stayed FROM `{dataset}.visits` ORDER BY acquired_at"  # noqa: S608
    expected = [
        (row.acquired_at, row.count, row.arrived, row.left, row.stayed) for row in store.read_table("visits", VisitRow)
    ]
    loaded = [(f"{time:%Y-%m-%dT%H:%M:%SZ}", *others) for time, *others in rows(client, visits)]
    assert loaded == expected
    assert [row[2:] for row in loaded] == [(0, 0, 0), (1, 1, 9)]
    # A geography on the right side of its ring, of about the airplane's size.
    ((area,),) = rows(client, f"SELECT MAX(ST_AREA(geometry)) FROM `{dataset}.airplanes`")  # noqa: S608
    assert area == pytest.approx(max(plane.size for plane in PLANES) ** 2, rel=0.02)

    def view(name: str, columns: str) -> list[tuple[Any, ...]]:
        return rows(client, f"SELECT {columns} FROM `{dataset}.{name}` ORDER BY 1, 2")  # noqa: S608

    assert view("latest_visits", "airport, CAST(day AS STRING)") == [("HAM", "2026-02-20")]
    assert view("stand_use", "stand, visits, occupied, airplanes") == [("A1", 2, 1, 1), ("A2", 2, 0, 0)]
    assert len(view("long_parked", "track_id, days")) == 9
    assert {days for _, days in view("long_parked", "track_id, days")} == {46}
    changes = view("daily_changes", "CAST(day AS STRING), size_class, arrived, departed, moved")
    assert (sum(row[2] for row in changes), sum(row[3] for row in changes)) == (1, 1)
    months = view("monthly_counts", "CAST(month AS STRING), min_size_m, visits, mean_count")
    # The emulator's DATE_TRUNC returns a time, BigQuery's a date.
    assert {row[0][:10] for row in months} == {"2026-01-01", "2026-02-01"}
    assert sum(row[3] for row in months if row[0].startswith("2026-01-01")) == pytest.approx(expected[0][1], rel=1e-3)

    add(store, "2026-02-25", PLANES)
    assert load(capsys, dataset)[0] == f"bq://{dataset}.scenes: 3 rows"
    assert len(rows(client, visits)) == 3
    assert view("latest_visits", "airport, CAST(day AS STRING)") == [("HAM", "2026-02-25")]


def test_a_store_without_airplanes_is_loaded(
    client: Client,
    dataset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    add(Store("store"), "2026-01-05", [])
    assert f"bq://{dataset}.airplanes: 0 rows" in load(capsys, dataset)
    assert rows(client, f"SELECT * FROM `{dataset}.long_parked`") == []  # noqa: S608


@pytest.mark.parametrize("uri", ["demo.airports", "bq://demo", "bq://demo.airports.visits", "bq://demo.a b"])
def test_a_dataset_is_named_in_full(uri: str) -> None:
    with pytest.raises(OutputError, match=r"expected bq://project\.dataset"):
        bigquery.parse_dataset(uri)


def test_a_missing_dataset_is_named(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["load", "--store", "store", "--dataset", f"bq://{PROJECT}.missing"]) == 2
    assert "bq mk --dataset demo:missing" in capsys.readouterr().err
