"""Read failures: retried, then recorded; a file that changed is never read."""

import dataclasses
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rasterio
import rasterio.shutil

from geo.errors import RasterError
from geo.grid import Tile
from geo.raster.reader import RasterReader
from geo.types import Detections, ImageArray
from model.inference.predictor import FakePredictor
from pipeline import local, planning, steps
from pipeline.ledger import SceneResult
from pipeline.records import Airplane
from pipeline.values import Scene, SceneSource, TileOutcome
from tests.geo.range_server import RangeServer, serving
from tests.pipeline.scenes import AIRPLANES, CONFIG, IDENTITY, write_damaged_scene, write_scene

CHANGED = "expected the file whose header was read, got one that was moved or rewritten since: leave it unchanged"


def opened(uri: object) -> Scene:
    return planning.open_scene(SceneSource(str(uri)), CONFIG)


def detect(scene: Scene) -> SceneResult:
    result = local.detect_scene(scene, CONFIG, FakePredictor(), IDENTITY)
    return SceneResult(dataclasses.replace(result.entry, seconds=0.0), result.airplanes)


def boxes(airplanes: tuple[Airplane, ...]) -> set[tuple[float, ...]]:
    return {(airplane.xmin_px, airplane.ymin_px, airplane.xmax_px, airplane.ymax_px) for airplane in airplanes}


class Untouched(FakePredictor):
    def __call__(self, images: ImageArray) -> list[Detections]:
        raise AssertionError("the model was called")


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> Counter[Tile]:
    """How often each tile was tried to be read."""
    count: Counter[Tile] = Counter()
    read_valid_mask = RasterReader.read_valid_mask

    def counted(reader: RasterReader, tile: Tile) -> object:
        count[tile] += 1
        return read_valid_mask(reader, tile)

    monkeypatch.setattr(RasterReader, "read_valid_mask", counted)
    return count


def disturb(monkeypatch: pytest.MonkeyPatch, action: Callable[[Tile], None]) -> None:
    """Has something done before each tile is read."""
    read_tile = RasterReader.read_tile

    def disturbed(reader: RasterReader, tile: Tile) -> ImageArray:
        action(tile)
        return read_tile(reader, tile)

    monkeypatch.setattr(RasterReader, "read_tile", disturbed)


@pytest.mark.parametrize("failures", [1, steps.READ_ATTEMPTS - 1])
def test_a_read_that_succeeds_after_retries_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tries: Counter[Tile], failures: int
) -> None:
    scene = opened(write_scene(tmp_path / "a.tif"))
    expected = detect(scene)
    tries.clear()

    def fail_at_first(tile: Tile) -> None:
        if tries[tile] <= failures:
            raise RasterError("a.tif: the disk sleeps")

    disturb(monkeypatch, fail_at_first)
    assert detect(scene) == expected
    assert (expected.entry.status, expected.entry.parts_failed) == ("complete", 0)
    assert set(tries.values()) == {failures + 1}


def test_only_tiles_that_cannot_be_read_are_retried(tmp_path: Path, tries: Counter[Tile]) -> None:
    entry = detect(opened(write_damaged_scene(tmp_path / "a.tif"))).entry
    assert entry.status == "incomplete"
    assert Counter(tries.values()) == {steps.READ_ATTEMPTS: entry.parts_failed, 1: entry.parts_done}
    windows = [(tile.window.col, tile.window.row) for tile, count in tries.items() if count > 1]
    assert [(failure.col, failure.row) for failure in entry.failures] == windows
    assert all("got a read error" in failure.error for failure in entry.failures)


def test_a_scene_is_reopened_before_a_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = opened(write_scene(tmp_path / "a.tif"))
    (first, *_) = planning.plan_blocks(scene, dataclasses.replace(CONFIG, block_tiles=1))
    openings = []
    enter = RasterReader.__enter__

    def noted(reader: RasterReader) -> RasterReader:
        openings.append(1)
        return enter(reader)

    def gone(_: Tile) -> None:
        raise RasterError("a.tif: Stale file handle")

    monkeypatch.setattr(RasterReader, "__enter__", noted)
    disturb(monkeypatch, gone)
    (outcome,) = steps.read_tiles(first)
    assert isinstance(outcome, TileOutcome)
    assert (outcome.status, len(openings)) == ("failed", steps.READ_ATTEMPTS)


# Scenes at an address.


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    """It has a scene of which a tile is more than what GDAL fetches with the header."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "*")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0")
    with serving() as server:
        server.files["/a.tif"] = write_scene(tmp_path / "a.tif", compress=None)
        server.etags["/a.tif"] = '"1"'
        yield server


def test_a_connection_that_breaks_once_loses_no_tile(server: RangeServer) -> None:
    scene = opened(f"{server.address}/a.tif")
    server.closing_once.add("/a.tif")
    result = detect(scene)
    assert server.closing_once == set()
    assert (result.entry.status, len(result.airplanes)) == ("complete", len(AIRPLANES))


def test_a_remote_file_that_changed_is_not_read(server: RangeServer) -> None:
    scene = opened(f"{server.address}/a.tif")
    server.etags["/a.tif"] = '"2"'
    result = local.detect_scene(scene, CONFIG, Untouched(), IDENTITY)
    assert (result.entry.status, result.entry.parts_done) == ("failed", 0)
    assert all(CHANGED in failure.error for failure in result.entry.failures)


def test_a_missing_remote_file_is_requested_once_per_block(server: RangeServer) -> None:
    scene = opened(f"{server.address}/a.tif")
    server.refusals["/a.tif"] = 404
    server.requests.clear()
    entry = local.detect_scene(scene, CONFIG, Untouched(), IDENTITY).entry
    assert (entry.status, entry.parts_failed) == ("failed", entry.parts_planned)
    assert all("got no such file (404)" in failure.error for failure in entry.failures)
    assert len(server.requests) <= len(list(planning.plan_blocks(scene, CONFIG)))


# Scenes that are no longer what they were when their header was read.


def moved(path: Path) -> None:
    path.rename(path.with_suffix(".old"))


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 100)


def another_size(path: Path) -> None:
    write_scene(path, size=(250, 200), resolution=0.7)


def another_of_the_same_size(path: Path) -> None:
    size = path.stat().st_size
    write_scene(path, [(60, 60, 80, 80, 250)], compress=None)
    assert path.stat().st_size == size


def another_moved_over_it(path: Path) -> None:
    other = path.with_stem("other")
    shutil.copy(path, other)
    another_of_the_same_size(other)
    other.replace(path)


def no_raster(path: Path) -> None:
    path.write_text("no raster")


REPLACED = [moved, cut_off, another_size, another_of_the_same_size, another_moved_over_it, no_raster]


@pytest.mark.parametrize("replace", REPLACED)
def test_a_scene_replaced_after_its_header_was_read_fails(tmp_path: Path, replace: Callable[[Path], None]) -> None:
    path = write_scene(tmp_path / "a.tif", compress=None)
    scene = opened(path)
    replace(path)
    result = local.detect_scene(scene, CONFIG, Untouched(), IDENTITY)
    entry = result.entry
    assert (entry.status, entry.parts_failed, result.airplanes) == ("failed", entry.parts_planned, ())
    assert all(str(path) in failure.error for failure in entry.failures)
    if replace not in (moved, no_raster):
        assert CHANGED in entry.failures[0].error


@pytest.mark.parametrize("replace", REPLACED)
def test_a_scene_replaced_while_tiles_are_read_is_incomplete(
    tmp_path: Path, replace: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_scene(tmp_path / "a.tif", compress=None)
    scene = opened(path)
    read: list[Tile] = []

    def replace_once(tile: Tile) -> None:
        read.append(tile)
        if len(read) == 5:
            replace(path)

    disturb(monkeypatch, replace_once)
    result = detect(scene)
    entry = result.entry
    assert (entry.status, entry.parts_done) == ("incomplete", 4)
    assert entry.parts_failed == entry.parts_planned - 4
    assert len(result.airplanes) > 0
    assert boxes(result.airplanes) < {tuple(map(float, airplane[:4])) for airplane in AIRPLANES}


def test_a_changed_source_of_a_vrt_fails_the_scene(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif", compress=None)
    with rasterio.open(path) as dataset:
        rasterio.shutil.copy(dataset, tmp_path / "b.vrt", driver="VRT")
    scene = opened(tmp_path / "b.vrt")
    another_of_the_same_size(path)
    entry = local.detect_scene(scene, CONFIG, Untouched(), IDENTITY).entry
    assert (entry.status, entry.parts_done) == ("failed", 0)
    assert CHANGED in entry.failures[0].error


def test_an_aux_xml_beside_a_scene_changes_nothing(tmp_path: Path) -> None:
    scene = opened(write_scene(tmp_path / "a.tif"))
    expected = detect(scene)
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset></PAMDataset>")
    assert detect(scene) == expected
