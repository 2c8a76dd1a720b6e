import base64
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geo.raster.header import read_header
from geo.raster.reader import RasterReader
from geo.types import ImageArray
from pipeline.ledger import LevelEntry, SceneEntry
from pipeline.records import Airplane
from pipeline.report import pixels
from pipeline.report.scenes import scene_views
from tests.pipeline.report.factories import HEIGHT, WIDTH, FakeReader, airplane, entry, ledger
from tests.pipeline.scenes import SIZE, write_scene


def decoded(text: str) -> ImageArray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def at(uri: str, number: int, score: float, x: float, y: float, side: float = 40.0) -> Airplane:
    plane = airplane(uri, number, score)
    return dataclasses.replace(plane, xmin_px=x, ymin_px=y, xmax_px=x + side, ymax_px=y + side)


def scene_of(path: Path, resolution_m: float = 0.5, level_m: float = 0.5, **changes: object) -> SceneEntry:
    level = LevelEntry(level_m, *SIZE, 1)
    size = {"width_px": SIZE[0], "height_px": SIZE[1], "resolution_m": (resolution_m, resolution_m)}
    return entry(str(path), **size, levels=(level,), **changes)


def test_many_scenes_share_the_pixels_of_overviews() -> None:
    for scenes in (0, 1, 7, 10, 300, 5_000, 100_000):
        side = pixels.overview_px(scenes)
        assert pixels.MIN_OVERVIEW_PX <= side <= pixels.MAX_OVERVIEW_PX
        assert side == pixels.MIN_OVERVIEW_PX or scenes * side**2 <= pixels.OVERVIEWS_MPX * 1e6
        assert side >= pixels.overview_px(scenes + 1)


@pytest.mark.parametrize(
    ("resolution_m", "finest_m", "halvings"),
    [(0.5, 0.5, 0), (0.3, 0.5, 0), (0.26, 0.5, 0), (0.25, 0.5, 1), (0.1, 0.5, 2), (1.5, 1.0, 0)],
)
def test_tiles_are_as_fine_as_the_finest_level(resolution_m: float, finest_m: float, halvings: int) -> None:
    levels = (LevelEntry(finest_m, 999, 501, 4), LevelEntry(2 * finest_m, 500, 251, 1))
    scene = entry("a", width_px=1999, height_px=1001, resolution_m=(resolution_m, resolution_m), levels=levels)
    level = pixels.detail_level(scene)
    assert (level.width, level.height) == (-(-1999 // 2**halvings), -(-1001 // 2**halvings))
    assert (level.width * level.scale_x, level.height * level.scale_y) == (1999, 1001)


def test_tiles_of_an_airplane_cover_it_with_a_margin() -> None:
    level = pixels.detail_level(entry("a"))
    side = pixels.TILE_PX
    assert set(pixels.airplane_tiles(at("a", 1, 0.9, 2 * side + 40, 3 * side + 40), level)) == {(2, 3)}
    assert set(pixels.airplane_tiles(at("a", 1, 0.9, 2 * side + 5, 3 * side + 40), level)) == {(1, 3), (2, 3)}
    assert set(pixels.airplane_tiles(at("a", 1, 0.9, 0, 0), level)) == {(0, 0)}
    last = ((WIDTH - 1) // side, (HEIGHT - 1) // side)
    assert last in set(pixels.airplane_tiles(at("a", 1, 0.9, WIDTH - 40, HEIGHT - 40), level))
    assert set(pixels.airplane_tiles(at("a", 1, 0.9, 0, 0, side=10_000), level)) == {
        (x, y) for x in range(last[0] + 1) for y in range(last[1] + 1)
    }


def test_tiles_come_by_score_and_then_by_distance() -> None:
    level = pixels.detail_level(entry("a"))
    side = pixels.TILE_PX
    planes = [(0, at("a", 1, 0.5, 5 * side + 40, 5 * side + 40)), (1, at("b", 2, 0.9, 9 * side + 40, 2 * side + 40))]
    tiles = list(pixels.tiles_by_priority(planes, {0: level, 1: level}))
    assert tiles[:2] == [(1, 9, 2), (0, 5, 5)]
    assert len(tiles) == len(set(tiles)) == 2 * 25
    distances = [max(abs(x - (5, 9)[scene]), abs(y - (5, 2)[scene])) for scene, x, y in tiles]
    assert distances == sorted(distances)
    assert {scene for scene, *_ in pixels.tiles_by_priority(planes, {1: level})} == {1}


@pytest.mark.parametrize("free", [-5, 0, 300, 30_000, 10**7])
def test_tiles_fill_the_budget_and_no_more(free: int) -> None:
    scene = entry("/in/a.tif")
    level = {0: pixels.detail_level(scene)}
    tiles = [(0, x, y) for x in range(12) for y in range(5)]
    images = pixels.read_tiles([scene], tiles, level, free)
    assert sum(map(len, images.values())) <= max(free, 0)
    assert list(images) == tiles[: len(images)]
    assert len(images) == len(tiles) or sum(map(len, images.values())) >= free - 1_500


def test_a_page_of_many_airplanes_keeps_to_its_size_and_counts_what_it_shows() -> None:
    planes = [at("/in/a.tif", n, 0.3 + n / 200, 300 * (n % 12), 300 * (n // 12)) for n in range(100)]
    (view,) = scene_views(planes, ledger(entry("/in/a.tif", airplanes=100)), 60_000)
    assert len(json.dumps(view, separators=(",", ":"))) < 60_000
    assert 10 < view["sharp"] < 100
    level = pixels.detail_level(entry("/in/a.tif"))
    best = sorted(planes, key=lambda plane: -plane.score)[: view["sharp"]]
    wanted = {f"{x},{y}" for plane in best for x, y in pixels.airplane_tiles(plane, level)}
    assert wanted <= set(view["tiles"]["images"])
    (view,) = scene_views(planes, ledger(entry("/in/a.tif", airplanes=100)))
    assert view["sharp"] == 100


def test_tiles_show_the_scene() -> None:
    (view,) = scene_views([at("/in/a.tif", 1, 0.9, 2000, 1500)], ledger(entry("/in/a.tif")))
    tiles = view["tiles"]
    assert (tiles["width"], tiles["height"], tiles["side"]) == (WIDTH, HEIGHT, pixels.TILE_PX)
    column, row = 2000 // pixels.TILE_PX, 1500 // pixels.TILE_PX
    image = decoded(tiles["images"][f"{column},{row}"]).astype(int)
    assert image.shape == (pixels.TILE_PX, pixels.TILE_PX, 3)
    assert image[0, 0] == pytest.approx([column * 128 * 200 / WIDTH, row * 128 * 250 / HEIGHT, 80], abs=6)


def test_a_scene_that_cannot_be_read_keeps_its_airplanes() -> None:
    (view,) = scene_views([airplane("/in/gone.tif", 1)], ledger(entry("/in/gone.tif")))
    assert (view["overview"], view["tiles"], view["sharp"]) == (None, None, 0)
    assert view["note"] == "No overview: expected a raster, got nothing at /in/gone.tif"
    assert len(view["rows"]) == 1


def test_a_damaged_scene_is_shown_as_far_as_it_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeReader, "read_overview", lambda reader, max_px: reader.read_window(_LEFT, _LEVEL))
    planes = [at("/in/broken.tif", 1, 0.9, 100, 100), at("/in/broken.tif", 2, 0.8, 3500, 100)]
    (view,) = scene_views(planes, ledger(entry("/in/broken.tif")))
    assert view["note"].startswith(
        "Parts of the overview are black, since they cannot be read: /in/broken.tif: expected"
    )
    image = decoded(view["overview"])
    assert not image[:, : image.shape[1] // 2 - 8].any()
    assert image[:, image.shape[1] // 2 + 8 :, 2].all()
    assert view["sharp"] == 1
    assert view["tiles"]["images"]


_LEVEL = pixels.detail_level(entry("/in/broken.tif"))
_LEFT = pixels._window((0, 0, 0), _LEVEL)


# With scenes in files.


@pytest.fixture
def real_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "RasterReader", RasterReader)


@pytest.mark.usefixtures("real_reader")
def test_tiles_have_the_stretch_of_the_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_scene(tmp_path / "dark.tif", dtype="uint16")
    radiometry = read_header(str(path)).radiometry
    assert radiometry.stretch is not None
    stretch = (radiometry.stretch.low, radiometry.stretch.high)
    monkeypatch.setattr(pixels, "MAX_OVERVIEW_PX", 200)
    plane = at(str(path), 1, 0.9, 150, 190)
    (view,) = scene_views([plane], ledger(scene_of(path, stretch=stretch)))
    assert view["note"] == ""
    with RasterReader(str(path), radiometry) as reader:
        level = pixels.detail_level(scene_of(path))
        for name, text in view["tiles"]["images"].items():
            column, row = map(int, name.split(","))
            expected = reader.read_window(pixels._window((0, column, row), level), level)
            assert np.abs(decoded(text).astype(int) - expected).mean() < 3
    assert view["sharp"] == 1


@pytest.mark.usefixtures("real_reader")
def test_a_small_scene_needs_no_tiles(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif")
    (view,) = scene_views([at(str(path), 1, 0.9, 20, 30)], ledger(scene_of(path)))
    assert (view["tiles"], view["sharp"], view["note"]) == (None, 1, "")
    assert decoded(view["overview"]).shape == (*SIZE[::-1], 3)


@pytest.mark.usefixtures("real_reader")
def test_a_scene_that_was_replaced_since_is_not_shown(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif", size=(330, 400))
    (view,) = scene_views([], ledger(scene_of(path)))
    assert view["overview"] is None
    assert "a.tif: expected the scene that was processed, got one that was replaced since" in view["note"]
    path = write_scene(tmp_path / "b.tif")
    (view,) = scene_views([], ledger(scene_of(path, stretch=(3.0, 700.0))))
    assert "replaced since" in view["note"]
