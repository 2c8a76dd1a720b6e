import dataclasses
import itertools
import random
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.control import GroundControlPoint

from geo.errors import GeoreferenceError, RasterError, ResolutionError
from geo.grid import plan_levels, plan_tiles
from geo.outline import POINT_FIELDS
from geo.polygons import ground_polygon, outline_polygon
from geo.types import Detections, ImageArray
from model.inference.predictor import FakePredictor
from pipeline import local, planning, steps
from pipeline.ledger import SceneResult, failed_entry, why_empty
from pipeline.records import Airplane
from pipeline.values import LevelPlan, Scene, SceneFailure, SceneSource, TileImage, TileOutcome
from tests.pipeline.scenes import AIRPLANES, CONFIG, IDENTITY, SIZE, write_damaged_scene, write_scene

TILING = CONFIG.tiling


def opened(path: Path) -> Scene:
    return planning.open_scene(SceneSource(str(path)), CONFIG)


def outcomes(scene: Scene) -> list[TileOutcome]:
    return list(local.detect_tiles(scene, CONFIG, FakePredictor()))


def boxes(airplanes: tuple[Airplane, ...]) -> list[tuple[float, ...]]:
    return [(airplane.xmin_px, airplane.ymin_px, airplane.xmax_px, airplane.ymax_px) for airplane in airplanes]


def metadata_of(result: SceneResult) -> set[tuple[str | None, str | None]]:
    """The scene ids and acquisition times in ledger entry and airplanes."""
    lines = {(airplane.scene_id, airplane.acquired_at) for airplane in result.airplanes}
    return lines | {(result.entry.scene_id, result.entry.acquired_at)}


class Untouched(FakePredictor):
    def __call__(self, images: ImageArray) -> list[Detections]:
        raise AssertionError("the model was called")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return opened(write_scene(tmp_path / "a.tif"))


def test_every_airplane_is_detected_once_at_its_position(scene: Scene) -> None:
    result = local.detect_scene(scene, CONFIG, FakePredictor(), IDENTITY)
    assert [airplane.score for airplane in result.airplanes] == [round(level / 255, 6) for *_, level in AIRPLANES]
    assert boxes(result.airplanes) == [tuple(map(float, airplane[:4])) for airplane in AIRPLANES]


def test_airplanes_carry_scene_model_and_size(scene: Scene) -> None:
    first, *_ = local.detect_scene(scene, CONFIG, FakePredictor(), IDENTITY).airplanes
    assert (first.scene_uri, first.scene_id) == (scene.header.uri, scene.header.scene_id)
    assert first.model == FakePredictor.name
    assert first.resolution_m == pytest.approx(0.5, abs=1e-3)
    # 20 by 14 pixels of half a metre; UTM shrinks the ground by up to 0.04 %.
    assert first.size_m == pytest.approx(10.0, abs=0.02)


def test_metadata_of_the_item_is_in_airplanes_and_ledger(scene: Scene) -> None:
    source = dataclasses.replace(scene.source, scene_id="S-1", acquired_at="2026-05-01T10:20:30Z")
    from_item = local.detect_scene(dataclasses.replace(scene, source=source), CONFIG, FakePredictor(), IDENTITY)
    from_file = local.detect_scene(scene, CONFIG, FakePredictor(), IDENTITY)
    assert metadata_of(from_item) == {("S-1", "2026-05-01T10:20:30Z")}
    assert metadata_of(from_file) == {(scene.header.scene_id, None)}
    # The id of a detection does not depend on where the scene's id and time come from.
    assert [airplane.detection_id for airplane in from_item.airplanes] == [
        airplane.detection_id for airplane in from_file.airplanes
    ]


def test_a_failed_scene_keeps_the_metadata_of_its_item() -> None:
    source = SceneSource("gone.tif", "S-1", "2026-05-01T10:20:30Z")
    (result,) = local.detect_scenes([source], CONFIG, Untouched(), IDENTITY)
    entry = result.entry
    assert (entry.status, entry.scene_id, entry.acquired_at) == ("failed", "S-1", "2026-05-01T10:20:30Z")


def test_geometries_match_the_boxes(scene: Scene) -> None:
    for airplane in local.detect_scene(scene, CONFIG, FakePredictor(), IDENTITY).airplanes:
        corners = scene.georef.lonlat_to_pixel(np.array(airplane.geometry.exterior.coords))
        bounds = [*corners.min(axis=0), *corners.max(axis=0)]
        # Seven decimals of a degree are a centimetre.
        assert bounds == pytest.approx(
            [airplane.xmin_px, airplane.ymin_px, airplane.xmax_px, airplane.ymax_px], abs=0.05
        )
        assert airplane.geometry.exterior.is_ccw


def test_ids_are_unique_and_reproducible(scene: Scene) -> None:
    first, again = (local.detect_scene(scene, CONFIG, FakePredictor(), IDENTITY).airplanes for _ in range(2))
    assert first == again
    assert len({airplane.detection_id for airplane in first}) == len(AIRPLANES)


def test_the_entry_accounts_for_everything(scene: Scene) -> None:
    entry = local.detect_scene(scene, CONFIG, FakePredictor(), IDENTITY).entry
    planned = sum(len(list(plan_tiles(level, TILING))) for level in scene.levels)
    assert (entry.status, entry.error, entry.failures) == ("complete", None, ())
    assert (entry.parts_planned, entry.parts_done, entry.parts_empty, entry.parts_failed) == (planned, planned, 0, 0)
    assert (entry.width_px, entry.height_px, entry.crs) == (*SIZE, "EPSG:32632")
    assert entry.resolution_m == pytest.approx((0.5, 0.5), abs=1e-3)
    assert entry.airplanes == len(AIRPLANES)
    assert entry.km2 == pytest.approx(SIZE[0] * SIZE[1] * 0.25e-6, rel=2e-3)
    assert entry.seconds > 0


def finished(scene: Scene, tiles: list[TileOutcome]) -> SceneResult:
    return steps.finish(scene, tiles, steps.merge(tiles, CONFIG.suppression), IDENTITY)


def test_blocks_hold_every_tile_once_in_order(scene: Scene) -> None:
    for size in (1, 3, 1000):
        blocks = list(planning.plan_blocks(scene, dataclasses.replace(CONFIG, block_tiles=size)))
        tiles = [tile for block in blocks for tile in block.tiles]
        assert tiles == [tile for level in scene.levels for tile in plan_tiles(level, TILING)]
        assert all(0 < len(block.tiles) <= size and block.scene_uri == scene.header.uri for block in blocks)


def test_blocks_are_planned_lazily(scene: Scene) -> None:
    level = plan_levels(10**6, 10**6, (0.5, 0.5), TILING)[0]
    huge = dataclasses.replace(scene, plan=(LevelPlan(level, 0),))
    assert len(list(itertools.islice(planning.plan_blocks(huge, CONFIG), 3))) == 3


def test_the_result_does_not_depend_on_the_order_of_arrival(tmp_path: Path) -> None:
    scene = opened(write_damaged_scene(tmp_path / "a.tif"))
    tiles = outcomes(scene)
    first = finished(scene, tiles)
    assert first.entry.parts_failed > 1
    for seed in range(5):
        random.Random(seed).shuffle(tiles)  # noqa: S311
        assert finished(scene, tiles) == first


def test_a_tile_without_data_is_skipped_and_counted(tmp_path: Path) -> None:
    complete = opened(write_scene(tmp_path / "a.tif"))
    part = opened(write_scene(tmp_path / "b.tif", AIRPLANES[:3], nodata_right_of=215))
    entry = local.detect_scene(part, CONFIG, FakePredictor(), IDENTITY).entry
    empty = [outcome for outcome in outcomes(part) if outcome.status == "empty"]
    assert entry.status == "complete"
    assert entry.parts_empty == len(empty) > 0
    assert all(
        outcome.tile.window.col * outcome.tile.level.scale_x >= 215 and not len(outcome.detections) for outcome in empty
    )
    # Tiles that are missing in part count in part.
    assert entry.km2 == pytest.approx(215 * SIZE[1] * 0.25e-6, rel=2e-3)
    assert entry.parts_done + entry.parts_empty == entry.parts_planned
    assert entry.km2 < local.detect_scene(complete, CONFIG, FakePredictor(), IDENTITY).entry.km2
    assert entry.airplanes == 3


def test_the_model_never_sees_an_empty_tile(tmp_path: Path) -> None:
    scene = opened(write_scene(tmp_path / "a.tif", [], nodata_right_of=0))
    result = local.detect_scene(scene, CONFIG, Untouched(), IDENTITY)
    entry = result.entry
    assert (entry.status, entry.error, entry.parts_done, entry.km2) == ("empty", None, 0, 0.0)
    assert entry.parts_empty == entry.parts_planned > 0
    assert why_empty(entry).startswith(f"no pixel of it is valid in any of {entry.parts_planned} parts")


def test_a_scene_without_airplanes_is_complete(tmp_path: Path) -> None:
    entry = local.detect_scene(opened(write_scene(tmp_path / "a.tif", [])), CONFIG, FakePredictor(), IDENTITY).entry
    assert (entry.status, entry.airplanes, entry.parts_done) == ("complete", 0, entry.parts_planned)
    assert entry.km2 == pytest.approx(SIZE[0] * SIZE[1] * 0.25e-6, rel=2e-3)


def test_a_damaged_tile_is_recorded_and_the_others_are_processed(tmp_path: Path) -> None:
    path = write_damaged_scene(tmp_path / "a.tif")
    result = local.detect_scene(opened(path), CONFIG, FakePredictor(), IDENTITY)
    entry = result.entry
    assert entry.status == "incomplete"
    assert entry.parts_failed == len(entry.failures) > 0
    assert entry.parts_done + entry.parts_failed == entry.parts_planned
    assert entry.error is not None
    assert f"{entry.parts_failed} of {entry.parts_planned} parts" in entry.error
    assert str(path) in entry.error
    for failure in entry.failures:
        # Block (3, 1) covers columns 192 to 256 and rows 64 to 128 of the scene.
        scale = failure.resolution_m / 0.5
        assert failure.col * scale < 256 + 2 * scale
        assert (failure.col + failure.width) * scale > 192 - 2 * scale
        assert str(path) in failure.error
    # The second airplane lies on the damaged block; the fourth is too large for the finest level, and on the
    # next its tile has the block in it.
    assert boxes(result.airplanes) == [tuple(map(float, AIRPLANES[i][:4])) for i in (0, 2, 4)]


def test_a_scene_without_a_readable_tile_has_failed(scene: Scene) -> None:
    tiles = [
        dataclasses.replace(outcome, status="failed", error="gone", detections=Detections.empty())
        for outcome in outcomes(scene)
    ]
    entry = finished(scene, tiles).entry
    assert (entry.status, entry.parts_done, entry.km2, entry.airplanes) == ("failed", 0, 0.0, 0)


def test_a_scene_deleted_after_planning_is_recorded_as_failed(scene: Scene) -> None:
    Path(scene.header.uri).unlink()
    entry = local.detect_scene(scene, CONFIG, Untouched(), IDENTITY).entry
    assert entry.status == "failed"
    assert entry.parts_failed == entry.parts_planned == len(entry.failures)
    assert entry.error is not None
    assert scene.header.uri in entry.error


def test_lost_tiles_make_a_scene_incomplete(scene: Scene) -> None:
    tiles = outcomes(scene)
    entry = finished(scene, tiles[1:]).entry
    assert entry.status == "incomplete"
    assert entry.error == f"expected {len(tiles)} parts, got {len(tiles) - 1} back: run the scene again"


def test_more_tiles_than_were_planned_make_a_scene_incomplete(scene: Scene) -> None:
    tiles = outcomes(scene)
    entry = finished(scene, [*tiles, tiles[0]]).entry
    assert entry.status == "incomplete"
    assert f"expected {len(tiles)} parts, got {len(tiles) + 1} back" in str(entry.error)


def test_the_bands_of_the_settings_come_before_those_of_the_item(scene: Scene) -> None:
    source = dataclasses.replace(scene.source, bands=(3, 2, 1))
    for bands, expected in ((None, (3, 2, 1)), ((2,), (2,))):
        opened = planning.open_scene(source, dataclasses.replace(CONFIG, bands=bands))
        assert opened.header.radiometry.bands == expected


def test_a_box_outside_the_projection_fails_its_scene(scene: Scene) -> None:
    tiles = outcomes(scene)
    far = Detections(np.array([[1e9, 1e9, 1.1e9, 1.1e9]]), np.array([0.9]), np.array([0.5]))
    tiles[0] = dataclasses.replace(tiles[0], detections=far)
    result = finished(scene, tiles)
    assert (result.entry.status, result.entry.airplanes, result.airplanes) == ("incomplete", 0, ())
    assert result.entry.error is not None
    assert scene.header.uri in result.entry.error


def test_tiles_of_a_batch_keep_their_own_boxes(scene: Scene) -> None:
    images = [
        item
        for block in planning.plan_blocks(scene, CONFIG)
        for item in steps.read_tiles(block)
        if isinstance(item, TileImage)
    ]
    together = steps.detect_tiles(FakePredictor(), images, CONFIG)
    alone = [steps.detect_tiles(FakePredictor(), [image], CONFIG)[0] for image in images]
    assert sum(len(batched.detections) for batched in together) >= len(AIRPLANES)
    for batched, single in zip(together, alone, strict=True):
        assert batched.tile == single.tile
        np.testing.assert_array_equal(batched.detections.boxes, single.detections.boxes)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("profile", "error", "text"),
    [
        ({"crs": None, "transform": None}, GeoreferenceError, "georeference|CRS"),
        ({"crs": None}, GeoreferenceError, "CRS"),
        ({"bands": 2}, RasterError, "band"),
        ({"dtype": "complex64"}, RasterError, "complex64"),
        ({"resolution": 30.0}, ResolutionError, "30"),
    ],
)
def test_an_unusable_scene_is_a_failure_that_names_it(
    tmp_path: Path, profile: dict[str, object], error: type[Exception], text: str
) -> None:
    path = write_scene(tmp_path / "a.tif", **profile)  # type: ignore[arg-type]
    with pytest.raises(error, match=text):
        opened(path)
    failure = planning.describe_scene(SceneSource(str(path)), CONFIG)
    assert isinstance(failure, SceneFailure)
    assert str(path) in failure.error
    assert failure.error.count(str(path)) == 1
    entry = local.detect_scene(failure, CONFIG, Untouched(), IDENTITY).entry
    assert entry == failed_entry(failure)
    assert (entry.status, entry.scene_uri, entry.error) == ("failed", str(path), failure.error)


def test_the_header_of_a_too_coarse_scene_is_recorded(tmp_path: Path) -> None:
    failure = planning.describe_scene(SceneSource(str(write_scene(tmp_path / "a.tif", resolution=30.0))), CONFIG)
    assert isinstance(failure, SceneFailure)
    entry = failed_entry(failure)
    assert (entry.width_px, entry.height_px, entry.crs) == (*SIZE, "EPSG:32632")
    assert entry.resolution_m == pytest.approx((30, 30), rel=1e-3)


def test_a_rotated_scene_gives_the_same_boxes(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif", rotation=33.0)
    result = local.detect_scene(opened(path), CONFIG, FakePredictor(), IDENTITY)
    assert boxes(result.airplanes) == [tuple(map(float, airplane[:4])) for airplane in AIRPLANES]
    assert all(airplane.geometry.exterior.is_ccw for airplane in result.airplanes)


def test_a_coarser_scene_has_only_the_levels_it_can_show(tmp_path: Path) -> None:
    for resolution, levels in ((0.8, [0.5, 1.0]), (1.5, [1.0])):
        # At these resolutions the fourth airplane is too large for the tiles.
        scene = opened(write_scene(tmp_path / "a.tif", AIRPLANES[:3], resolution=resolution))
        assert [level.resolution_m for level in scene.levels] == levels
        assert len(local.detect_scene(scene, CONFIG, FakePredictor(), IDENTITY).airplanes) == 3


def test_ground_control_points_place_airplanes_as_the_affine_does(tmp_path: Path) -> None:
    with_affine = write_scene(tmp_path / "affine.tif")
    with rasterio.open(with_affine) as dataset:
        pixels, affine, crs = dataset.read(), dataset.transform, dataset.crs
    width, height = SIZE
    corners = [(0, 0), (width, 0), (width, height), (0, height), (100, 50)]
    points = [GroundControlPoint(row, column, *(affine @ (column, row))) for column, row in corners]
    layout = {"driver": "GTiff", "width": width, "height": height, "count": len(pixels), "dtype": pixels.dtype}
    with rasterio.open(tmp_path / "points.tif", "w", **layout) as dataset:
        dataset.write(pixels)
        dataset.gcps = (points, crs)
    by_affine, by_points = (
        local.detect_scene(opened(path), CONFIG, FakePredictor(), IDENTITY)
        for path in (with_affine, tmp_path / "points.tif")
    )
    assert by_points.entry.crs == by_affine.entry.crs == "EPSG:32632"
    assert by_points.entry.km2 == pytest.approx(by_affine.entry.km2, rel=1e-5)
    assert boxes(by_points.airplanes) == boxes(by_affine.airplanes)
    for actual, expected in zip(by_points.airplanes, by_affine.airplanes, strict=True):
        assert shapely.hausdorff_distance(actual.geometry, expected.geometry) < 1.5e-7
        assert actual.size_m == pytest.approx(expected.size_m, abs=0.011)


def test_measured_airplanes_keep_their_ids(scene: Scene) -> None:
    config = dataclasses.replace(CONFIG, keypoints="keypoints")
    measured = local.detect_scene(scene, config, FakePredictor(), IDENTITY)
    plain = local.detect_scene(scene, CONFIG, FakePredictor(), IDENTITY)
    assert measured.entry.status == "complete"
    oriented = [airplane for airplane in measured.airplanes if airplane.outline == "oriented"]
    assert oriented
    assert all((airplane.length_m is None) == (airplane.outline == "upright") for airplane in measured.airplanes)
    assert {airplane.length_m for airplane in plain.airplanes} == {None}
    assert {airplane.outline for airplane in plain.airplanes} == {"upright"}
    for airplane in oriented:
        points = np.array([getattr(airplane, name) for name in POINT_FIELDS]).reshape(4, 2)
        assert airplane.geometry == outline_polygon(points, scene.georef)
    for airplane in plain.airplanes:
        box = np.array([airplane.xmin_px, airplane.ymin_px, airplane.xmax_px, airplane.ymax_px])
        assert airplane.geometry == ground_polygon(box, scene.georef)
        assert {getattr(airplane, name) for name in POINT_FIELDS} == {None}
    assert [airplane.detection_id for airplane in measured.airplanes] == [
        airplane.detection_id for airplane in plain.airplanes
    ]


def test_airplanes_that_cannot_be_read_again_are_kept_and_the_ledger_says_so(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = outcomes(scene)
    merged = steps.merge(done, CONFIG.suppression)
    monkeypatch.setattr(steps, "retry_delays_s", lambda _: itertools.repeat(0.0))
    Path(scene.header.uri).unlink()
    result = steps.finish(scene, done, merged, IDENTITY, "keypoints")
    assert len(result.airplanes) == len(merged)
    assert {airplane.length_m for airplane in result.airplanes} == {None}
    assert result.entry.status == "incomplete"
    expected = f"{len(merged)} of {len(merged)} airplanes could not be measured; the first: {scene.header.uri}"
    assert expected in str(result.entry.error)
