"""What a command reads and writes in a bucket: scenes, lists, settings, area, model, work folder, outputs."""

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from geo.errors import ConfigError, InputError
from geo.raster import uri
from model.datagen import files
from pipeline import model_loading
from pipeline.sinks.files import read_geojson
from pipeline.sources.resolve import resolve_inputs
from tests.geo.gcs_emulator import failing_requests
from tests.pipeline.command_runner import CommandRunner
from tests.pipeline.stac_files import asset, item


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.01")
    monkeypatch.setattr("google.api_core.retry.retry_unary.time.sleep", lambda _: None)


@pytest.fixture(autouse=True)
def no_copy_of_a_model() -> None:
    model_loading._copy.cache_clear()


def names(pattern: str) -> list[str]:
    return [source.uri.removeprefix("gs://maps/") for source in resolve_inputs([pattern])]


@pytest.fixture
def folder(bucket: Any) -> Any:
    """`gs://maps/in`, with rasters, what is none, an item, a list, and a folder in it."""
    for name in ("b.tif", "a.TIF", "b.tif.ovr", "notes.md", "deep/c.tif"):
        bucket.blob(f"in/{name}").upload_from_string(b"")
    bucket.blob("in/").upload_from_string(b"")
    bucket.blob("in/item.json").upload_from_string(json.dumps(item(assets={"data": asset("./deep/c.tif")})))
    bucket.blob("in/list.txt").upload_from_string("# two\nb.tif\n\ngs://maps/in/deep/*.tif\n")
    return bucket


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("gs://maps/in/b.tif", ["in/b.tif"]),
        ("gs://maps/in", ["in/a.TIF", "in/b.tif", "in/deep/c.tif"]),
        ("gs://maps/in/", ["in/a.TIF", "in/b.tif", "in/deep/c.tif"]),
        ("gs://maps/in/*.tif", ["in/b.tif"]),
        ("gs://maps/**/*.tif", ["in/b.tif", "in/deep/c.tif"]),
        ("gs://maps/in/?.tif", ["in/b.tif"]),
        ("gs://maps/in/item.json", ["in/deep/c.tif"]),
        ("gs://maps/in/list.txt", ["in/b.tif", "in/deep/c.tif"]),
        ("gs://maps/in/scene", ["in/scene"]),  # perhaps a raster without a suffix
    ],
)
def test_patterns_in_a_bucket(folder: Any, pattern: str, expected: list[str]) -> None:
    assert names(pattern) == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("gs://maps/none/*.tif", r"gs://maps/none/\*.tif: expected a glob that matches rasters .*got no match"),
        ("gs://maps/none/", "gs://maps/none: expected a folder with rasters .*got none"),
        ("gs://maps/none.txt", "gs://maps/none.txt: expected text in UTF-8 that can be read, got .*no such file"),
        ("gs://gone/in/*.tif", r"gs://gone/in/\*.tif: .*no such file \(404\)"),
    ],
)
def test_what_is_not_in_a_bucket_is_one_line(folder: Any, pattern: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}[^\n]*$"):
        names(pattern)


def upload(bucket: Any, folder: Path, *names: str) -> None:
    for name in names:
        for path in (folder / name).rglob("*") if (folder / name).is_dir() else [folder / name]:
            bucket.blob(path.relative_to(folder).as_posix()).upload_from_filename(path)


@pytest.fixture
def command(cli: CommandRunner, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of a command that reads and writes nothing on this machine."""
    area = {"type": "Polygon", "coordinates": [[[9, 53], [11, 53], [11, 54], [9, 54], [9, 53]]]}
    (cli.folder / "area.geojson").write_text(json.dumps(area))
    upload(bucket, cli.folder, "a.tif", "settings.yaml", "model", "area.geojson")
    elsewhere = cli.folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    at = "gs://maps"
    return [
        *("--config", f"{at}/settings.yaml", "--model", f"{at}/model", "--aoi", f"{at}/area.geojson"),
        *("--work-dir", f"{at}/work", "--report", f"{at}/report/"),
    ]


def test_a_command_that_touches_no_disk(command: list[str], cli: CommandRunner, bucket: Any) -> None:
    status, lines = cli.run(*command, inputs=("gs://maps/a.tif",), output="gs://maps/out/x.geojson")
    assert status == 0, lines
    bucket.blob("out/x.geojson").download_to_filename("x.geojson")
    bucket.blob("report/ledger.json").download_to_filename("ledger.json")
    (cli.folder / "ledger.json").write_bytes(Path("ledger.json").read_bytes())
    first = cli.ledger("ledger.json")
    assert len(read_geojson(Path("x.geojson"))) == first.totals.airplanes > 0
    assert b"<title>" in bucket.blob("report/report.html").download_as_bytes()
    assert first.run.settings["model"] == "gs://maps/model"
    # A second run finds the tiles, and gives the same bytes.
    status, lines = cli.run(*command, inputs=("gs://maps/a.tif",), output="gs://maps/out/y.geojson")
    assert status == 0
    count = first.totals.parts_planned
    assert f"resumed: {count} of {count} parts were cached in gs://maps/work" in lines
    assert bucket.blob("out/y.geojson").download_as_bytes() == Path("x.geojson").read_bytes()


@pytest.mark.parametrize("status", [503, None])
def test_requests_that_fail_once_are_repeated(
    command: list[str], cli: CommandRunner, bucket: Any, status: int | None
) -> None:
    patterns = (
        *("GET .*/o/settings.yaml", "GET .*/o/area.geojson", "GET .*/o/model.*weights", "GET .*/o[?].*prefix=model"),
        *("GET .*/o/a.tif", "GET /maps/a.tif", "GET .*/o/work", "POST .*/o[?]uploadType", "PUT .*/o[?]uploadType"),
        *("GET .*/o/report%2Fledger.json", "POST /batch"),
    )
    with failing_requests(status, *patterns) as failed:
        status, lines = cli.run(*command, inputs=("gs://maps/a.tif",), output="gs://maps/out/x.geojson")
    assert status == 0, lines
    assert len(failed) == len(patterns), failed
    assert b'"Feature"' in bucket.blob("out/x.geojson").download_as_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--config", "gs://maps/none.yaml"), "--config gs://maps/none.yaml: expected an object that can be read"),
        (("--aoi", "gs://maps/none.gpkg"), "--aoi gs://maps/none.gpkg: expected an object that can be read"),
        (("--aoi", "gs://maps/settings.yaml"), "--aoi gs://maps/settings.yaml: expected a vector file"),
        (("--config", "gs://maps/area.geojson"), "gs://maps/area.geojson: unknown key"),
        (
            ("--config", "https://example.com/x.yaml"),
            "--config https://example.com/x.yaml: expected a local path or gs",
        ),
        (("--model", "gs://maps/none"), "model gs://maps/none: expected a folder with files, found none"),
        (("--report", "https://example.com/x"), "--report https://example.com/x: expected a local folder"),
    ],
)
def test_mistakes_are_one_line_that_names_the_object(
    command: list[str], cli: CommandRunner, words: tuple[str, ...], message: str
) -> None:
    line = cli.usage_error(*command, *words, inputs=("gs://maps/a.tif",), output="gs://maps/out/x.geojson")
    assert line.startswith(f"error: {message}")
    assert "/tmp" not in line  # noqa: S108


def test_a_damaged_model_is_one_line_that_names_the_bucket(command: list[str], cli: CommandRunner, bucket: Any) -> None:
    bucket.blob("model/weights.safetensors").upload_from_string(b"other")
    line = cli.usage_error(*command, inputs=("gs://maps/a.tif",), output="gs://maps/out/x.geojson")
    assert re.match(r"error: gs://maps/model/weights.safetensors: expected the weights with sha256", line)


def test_a_saved_model_in_a_bucket_needs_trust(command: list[str], cli: CommandRunner, bucket: Any) -> None:
    bucket.blob("foreign/saved_model.pb").upload_from_string(b"a program")
    line = cli.usage_error(
        *command, "--model", "gs://maps/foreign", inputs=("gs://maps/a.tif",), output="gs://maps/out/x.geojson"
    )
    assert "model gs://maps/foreign: a SavedModel can run code" in line
    assert "--trust-model" in line


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of Google's client, while nothing listens where it looks for the service."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    monkeypatch.setenv("NO_PROXY", "*")
    clock = Clock()
    for module in ("retry_base", "retry_unary"):
        monkeypatch.setattr(f"google.api_core.retry.{module}.time", clock)
    # A thread of Google's client, for its traces; nobody waits for it.
    monkeypatch.setattr("google.cloud.storage.client.BucketMetadataCache.get_or_queue_fetch", lambda *_: None)
    monkeypatch.setattr(uri, "_disconnected", set())
    return clock


@pytest.mark.parametrize(
    ("words", "inputs", "output"),
    [
        ((), ("a.tif",), "gs://off/x.geojson"),
        ((), ("gs://off/in/*.tif",), "x.geojson"),
        ((), ("gs://off/list.txt",), "x.geojson"),
        (("--config", "gs://off/c.yaml"), ("a.tif",), "x.geojson"),
        (("--aoi", "gs://off/area.gpkg"), ("a.tif",), "x.geojson"),
        (("--model", "gs://off/model"), ("a.tif",), "x.geojson"),
        (("--work-dir", "gs://off/work"), ("a.tif",), "x.geojson"),
        (("--report", "gs://off/report"), ("a.tif",), "x.geojson"),
    ],
)
def test_without_a_network_a_bucket_is_refused_in_half_a_minute(
    cli: CommandRunner, clock: Clock, words: tuple[str, ...], inputs: tuple[str, ...], output: str
) -> None:
    line = cli.usage_error(*words, inputs=inputs, output=output)
    assert "gs://off" in line
    assert "no answer (Connection refused)" in line
    assert "the network" in line
    assert 0 < clock.seconds <= 30


def test_without_a_network_each_further_scene_of_a_bucket_is_tried_once(cli: CommandRunner, clock: Clock) -> None:
    scenes = [f"gs://off/{number}.tif" for number in range(5)]
    status, lines = cli.run(inputs=("a.tif", *scenes))
    assert status == 1
    assert sum("got no answer (Connection refused): check the address and the network" in line for line in lines) == 5
    assert cli.ledger().totals.complete == 1
    assert clock.seconds <= 30


@pytest.mark.parametrize("name", ["model/../../escaped", "model/a/../../../escaped"])
def test_names_in_a_bucket_cannot_leave_the_folder_of_a_copy(bucket: Any, tmp_path: Path, name: str) -> None:
    # The emulator itself refuses such names, which the service allows.
    listed = [f"gs://maps/{name}", "gs://maps/model/config.yaml"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "list_files", lambda _: listed)
        with pytest.raises(ConfigError, match="expected a name inside of gs://maps/model, got one that leads out"):
            files.copy_folder("gs://maps/model", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []
