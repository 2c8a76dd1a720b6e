"""The command with faults, with empty results and with very many airplanes: what every output says."""

import dataclasses
import json
import os
import random
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import geopandas
import pytest
import shapely
from rasterio.shutil import copy

from geo.errors import OutputError
from geo.types import Detections, ImageArray
from model.common.atomic import check_writable
from model.inference.predictor import FakePredictor
from pipeline import model_loading
from pipeline.ledger import SceneEntry
from pipeline.sinks.files import read_geojson
from tests.pipeline.command_runner import CommandRunner
from tests.pipeline.scenes import AIRPLANES, CONFIG, write_scene
from tests.pipeline.stac_files import catalog, item, items

# A disk that is full.


@contextmanager
def full_beyond(size: int) -> Iterator[None]:
    """No file gets larger than so many bytes: writing on is an error of the system, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("old", [None, "old"])
def test_a_full_disk_leaves_no_partial_output(cli: CommandRunner, old: str | None) -> None:
    if old:
        Path("x.geojson").write_text(old)
    before = sorted(cli.folder.rglob("*"))
    with full_beyond(500):
        status, lines = cli.run()
    assert status == 1
    (line,) = lines
    assert line.startswith("error: x.geojson: expected a writable path, got 'File too large': choose another")
    assert sorted(cli.folder.rglob("*")) == before
    assert (Path("x.geojson").read_text() if old else None) == old


def test_a_disk_full_at_the_ledger_keeps_the_airplanes(cli: CommandRunner) -> None:
    write_scene(cli.folder / "b.tif", [])
    with full_beyond(1000):
        status, lines = cli.run(inputs=("b.tif",))
    assert status == 1
    (line,) = lines
    assert line.startswith("error: x.geojson.ledger.json: expected a writable path")
    assert read_geojson(Path("x.geojson")) == []
    assert not list(cli.folder.glob("*.ledger.json"))
    assert not list(cli.folder.glob(".*"))


def test_a_disk_full_at_the_report_keeps_the_other_outputs(cli: CommandRunner) -> None:
    with full_beyond(20_000):
        status, lines = cli.run("--report", "report")
    assert status == 1
    (line,) = lines
    assert line.startswith("error: report/report.html: expected a writable path")
    assert [path.name for path in Path("report").iterdir()] == ["ledger.json"]
    assert len(read_geojson(Path("x.geojson"))) == cli.ledger("report/ledger.json").totals.airplanes == 4


def test_a_disk_full_at_the_mosaic_is_an_error_before_any_work(cli: CommandRunner) -> None:
    with full_beyond(500):
        assert "x.geojson.mosaic.vrt: expected a writable path" in cli.usage_error("--mosaic")


# A scene that is overwritten by another one while the model works.


class Swapping(FakePredictor):
    """Somebody writes another raster over the scene while the model works."""

    def __init__(self, *_: object, **__: object) -> None:
        self.calls = 0

    def __call__(self, images: ImageArray) -> list[Detections]:
        self.calls += 1
        if self.calls == 1:
            # Written aside and moved: a reader ahead of the model must not meet half a file.
            write_scene(Path("other.tif"), [(60, 60, 80, 80, 250)], size=(250, 200)).replace("b.tif")
        return super().__call__(images)


def test_a_scene_overwritten_during_the_run_is_incomplete(cli: CommandRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    # Far more tiles than are read ahead of the model.
    write_scene(cli.folder / "b.tif", size=(1000, 800))
    monkeypatch.setattr(model_loading, "load_predictor", Swapping)
    status, lines = cli.run(inputs=("b.tif",))
    assert status == 1
    entry = cli.entry("b.tif")
    assert entry.status == "incomplete"
    assert 0 < entry.parts_done < entry.parts_planned == entry.parts_done + entry.parts_failed
    assert lines[0] == f"incomplete: {entry.error}"
    assert "expected the file whose header was read" in lines[0]
    truth = {tuple(map(float, airplane[:4])) for airplane in AIRPLANES}
    assert {
        (airplane.xmin_px, airplane.ymin_px, airplane.xmax_px, airplane.ymax_px)
        for airplane in read_geojson(Path("x.geojson"))
    } <= truth


# No airplanes, and nothing processed.


def no_airplanes(_: Path) -> list[str]:
    write_scene(Path("b.tif"), [])
    return []


def no_data(_: Path) -> list[str]:
    write_scene(Path("b.tif"), nodata_right_of=0)
    return []


def beside_the_area(folder: Path) -> list[str]:
    geopandas.GeoDataFrame(geometry=[shapely.box(9, 9, 9.1, 9.1)], crs=4326).to_file(folder / "area.gpkg")
    write_scene(Path("b.tif"))
    return ["--aoi", "area.gpkg"]


def no_raster(_: Path) -> list[str]:
    Path("b.tif").write_text("no raster")
    return []


def processed(entry: SceneEntry) -> None:
    assert (entry.status, entry.parts_done, entry.error) == ("complete", entry.parts_planned, None)
    assert entry.km2 > 0


def not_processed(entry: SceneEntry) -> None:
    assert (entry.parts_done, entry.km2) == (0, 0.0)
    assert entry.status in ("empty", "failed")


@pytest.mark.parametrize(
    ("make", "status", "check", "first", "summary"),
    [
        (no_airplanes, 0, processed, None, "1: 1 complete, 0.03 km2"),
        (no_data, 0, not_processed, "empty: 1 of 1 scenes", "1: 1 empty, 0.00 km2"),
        (beside_the_area, 0, not_processed, "empty: 1 of 1 scenes", "1: 1 empty, 0.00 km2"),
        (no_raster, 1, not_processed, "failed: b.tif: ", "1: 1 failed, 0.00 km2"),
    ],
)
def test_every_output_separates_no_airplanes_from_not_processed(
    cli: CommandRunner,
    make: Callable[[Path], list[str]],
    status: int,
    check: Callable[[SceneEntry], None],
    first: str | None,
    summary: str,
) -> None:
    args = make(cli.folder)
    code, lines = cli.run(*args, "--report", "report", inputs=("b.tif",))
    assert code == status
    assert json.loads(Path("x.geojson").read_text())["features"] == []
    (entry,) = cli.ledger("report/ledger.json").scenes
    check(entry)
    assert cli.summary["airplanes"] == "0"
    assert f"{cli.summary['scenes']}, {cli.summary['area']}" == summary
    assert [line.startswith(first) for line in lines] == [True] if first else lines == []
    report = Path("report/report.html").read_text(encoding="utf-8")
    assert f'<span class="badge {entry.status}">{entry.status}</span>' in report
    assert ("1 scene empty" in report, "1 scene failed" in report) == (
        entry.status == "empty",
        entry.status == "failed",
    )


# Very many.


def test_ten_thousand_airplanes_in_a_scene_are_each_written_once(cli: CommandRunner) -> None:
    """100 rows of 100 airplanes of 8 by 6 px, 4 px apart; at even coordinates; the levels have the same boxes."""
    corners = [(8 + 12 * col, 8 + 10 * row) for row in range(100) for col in range(100)]
    parked = [(x, y, x + 8, y + 6, 250) for x, y in corners]
    write_scene(cli.folder / "b.tif", parked, size=(1220, 1020))
    assert cli.run(inputs=("b.tif",))[0] == 0
    detected = read_geojson(Path("x.geojson"))
    boxes = {(airplane.xmin_px, airplane.ymin_px, airplane.xmax_px, airplane.ymax_px) for airplane in detected}
    assert boxes == {tuple(map(float, box[:4])) for box in parked}
    assert len(detected) == len({airplane.detection_id for airplane in detected}) == 10_000
    entry = cli.entry("b.tif")
    assert (entry.status, entry.airplanes, cli.ledger().totals.airplanes) == ("complete", 10_000, 10_000)
    assert entry.parts_done == entry.parts_planned


@pytest.mark.parametrize(
    ("prepare", "status"),
    [("sys.stderr = None", 0), ("tempfile._candidate_tempdir_list = lambda: ['/proc/nowhere']", 2)],
    ids=["no stderr", "no temporary folder"],
)
def test_a_bare_environment_is_enough_or_named(prepare: str, status: int) -> None:
    program = (
        f"import sys, tempfile; {prepare}\n"
        "from model.common.command import command\n"
        "@command('x')\n"
        "def main(arguments):\n    print('a line', file=sys.stderr)\n    return 0\n"
        "sys.exit(main([]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == status
    if status:
        assert done.stderr == (
            "x: expected a folder for temporary files, got none that can be written: set TMPDIR to one\n"
        )


def test_an_output_name_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="expected a writable path, got 'File name too long'"):
        check_writable(tmp_path / ("a" * 300))


# Damaged files of every kind. AIRPLANES_FUZZ=50 tries fifty times as many.

_TIMES = int(os.environ.get("AIRPLANES_FUZZ", "1"))
_FORMATS = {"a.tif": "GTiff", "b.tif": "COG", "c.jp2": "JP2OpenJPEG", "d.ntf": "NITF", "e.vrt": "VRT", "f.img": "HFA"}


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Cut off, empty, or with some bytes changed, removed or repeated."""
    start = chance.randrange(len(content) if chance.random() < 0.5 else min(len(content), 600))
    length = chance.choice([1, 2, 8, 64, 1000])
    kept = content[start + length :]
    match chance.choice(["cut", "change", "change", "zero", "remove", "repeat"]):
        case "cut":
            return content[:start]
        case "change":
            return content[:start] + chance.randbytes(length) + kept
        case "zero":
            return content[:start] + bytes(length) + kept
        case "remove":
            return content[:start] + kept
    return content[: start + length] + content[start:]


# pytest's own hook for what nothing can catch takes the place of that of `gdal_io`.
@pytest.mark.filterwarnings("ignore:Exception ignored in. 'rasterio._env.log_error'")
@pytest.mark.parametrize("seed", range(_TIMES))
def test_every_damaged_scene_is_accounted_for(cli: CommandRunner, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    for name, driver in _FORMATS.items():
        write_scene(cli.folder / "source.tif", size=(150, 130), bands=3)
        copy(cli.folder / "source.tif", cli.folder / name, driver=driver)
    names = []
    for number in range(20):
        name = chance.choice(list(_FORMATS))
        names.append(f"{number}{name}")
        (cli.folder / names[-1]).write_bytes(damaged((cli.folder / name).read_bytes(), chance))
    status, lines = cli.run(inputs=tuple(names))
    ledger = cli.ledger()
    assert sorted(entry.scene_uri for entry in ledger.scenes) == sorted(names)
    failed = [entry for entry in ledger.scenes if entry.status in ("incomplete", "failed")]
    assert status == (1 if failed else 0)
    assert all(entry.error and "\n" not in entry.error and entry.scene_uri in entry.error for entry in failed)
    assert {line for line in lines if line.startswith(("failed: ", "incomplete: "))} == {
        f"{entry.status}: {entry.error}" for entry in failed
    }
    assert [line for line in lines if not line.startswith(("failed: ", "incomplete: ", "duplicate: ", "empty: "))] == []


_AREA = {"type": "Polygon", "coordinates": [[[9.9, 53.5], [10, 53.5], [10, 53.7], [9.9, 53.7], [9.9, 53.5]]]}
_TEXTS = {
    "list.txt": "a.tif\n./a.tif\nitem.json\n",
    "item.json": json.dumps(item()),
    "items.json": json.dumps(items(item("x"), item("y", "1.0.0"))),
    "catalog.json": json.dumps(catalog(("item", "./item.json"))),
    "area.geojson": json.dumps(_AREA),
    "settings.yaml": json.dumps(dataclasses.asdict(dataclasses.replace(CONFIG, min_score=None))),
}


@pytest.mark.parametrize("seed", range(_TIMES))
def test_damaged_texts_are_one_line_or_a_run_with_a_ledger(cli: CommandRunner, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    for name, text in _TEXTS.items():
        for other, whole in _TEXTS.items():
            (cli.folder / other).write_text(whole)
        (cli.folder / name).write_bytes(damaged(text.encode(), chance))
        Path("x.geojson.ledger.json").unlink(missing_ok=True)
        inputs = ("a.tif",) if name in ("area.geojson", "settings.yaml") else ("a.tif", name)
        status, lines = cli.run(*(["--aoi", name] if name == "area.geojson" else []), inputs=inputs)
        if status == 2:
            (line,) = lines
            assert line.startswith("error: ")
            assert not Path("x.geojson.ledger.json").exists()
            continue
        entries = cli.ledger().scenes
        assert "a.tif" in {Path(entry.scene_uri).name for entry in entries}
        failed = [f"{entry.status}: {entry.error}" for entry in entries if entry.status in ("incomplete", "failed")]
        assert status == (1 if failed else 0)
        assert [line for line in lines if not line.startswith(("duplicate: ", "empty: "))] == failed
