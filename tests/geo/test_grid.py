import itertools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.errors import ConfigError, ResolutionError
from geo.grid import (
    SEAM_PX,
    Level,
    Tile,
    Tiling,
    count_tiles,
    plan_levels,
    plan_tiles,
    scene_detections,
    scene_points,
    tile_size,
)
from geo.types import FloatArray, Window

SMALL = Tiling((1.0,), tile_px=64, halo_px=10, align_px=8)


def level_of(width: int, height: int, scale: float = 1.0, is_coarsest: bool = True) -> Level:
    return Level(1.0, width, height, scale, scale, is_coarsest=is_coarsest)


@st.composite
def tilings(draw: st.DrawFn) -> Tiling:
    align, halo = draw(st.integers(1, 9)), draw(st.integers(8, 20))
    minimum = math.ceil((2 * halo + align) / align)
    return Tiling(
        (1.0,), tile_px=align * draw(st.integers(minimum + 6 // align, minimum + 6)), halo_px=halo, align_px=align
    )


def owners(tiles: list[Tile], width: int, height: int) -> FloatArray:
    count = np.zeros((height, width))
    for tile in tiles:
        count[tile.core.row : tile.core.bottom, tile.core.col : tile.core.right] += 1
    return count


@given(tilings(), st.integers(1, 120), st.integers(1, 120))
def test_cores_partition_the_level_and_keep_their_halo(tiling: Tiling, width: int, height: int) -> None:
    tiles = list(plan_tiles(level_of(width, height), tiling))
    assert (owners(tiles, width, height) == 1).all()
    for tile in tiles:
        window, core = tile.window, tile.core
        assert (window.width, window.height) == tile_size(tile.level, tiling)
        assert max(window.width, window.height) <= tiling.tile_px
        assert window.width % tiling.align_px == window.height % tiling.align_px == 0
        assert min(window.col, window.row) >= 0
        assert window.col % tiling.align_px == window.row % tiling.align_px == 0
        assert core == core.intersection(Window(0, 0, width, height))
        assert core.width > 0
        assert core.height > 0
        for before, start, end, after, length in (
            (window.col, core.col, core.right, window.right, width),
            (window.row, core.row, core.bottom, window.bottom, height),
        ):
            assert start - before >= tiling.halo_px or before == 0
            assert after - end >= tiling.halo_px or after >= length


@given(tilings(), st.integers(1, 2000))
def test_the_number_of_tiles_is_minimal(tiling: Tiling, length: int) -> None:
    tiles = list(plan_tiles(level_of(length, 1), tiling))
    columns = [tile.window.col for tile in tiles]
    assert columns == sorted(set(columns))
    assert len(columns) == max(
        1, math.ceil((math.ceil(length / tiling.align_px) * tiling.align_px - tiling.tile_px) / tiling.stride_px) + 1
    )
    # Only the alignment reaches past the level's edge.
    assert tiles[-1].window.right - length < tiling.align_px
    # Shorter tiles would be more.
    shorter = tiles[0].window.width - tiling.align_px
    if len(columns) == 1:
        assert shorter < length
    elif (stride := tiling.stride_of(shorter)) > 0:
        assert (len(columns) - 1) * stride + shorter < length


@pytest.mark.parametrize(
    ("size", "tile"),
    [((300, 300), (320, 320)), ((90, 1920), (96, 1920)), ((1921, 40), (1056, 64)), ((6000, 2000), (1600, 1088))],
)
def test_tiles_are_no_larger_than_they_must_be(size: tuple[int, int], tile: tuple[int, int]) -> None:
    assert tile_size(level_of(*size), Tiling((0.5,))) == tile


def test_ten_thousand_pixels_take_six_tiles_of_less_than_the_default_size() -> None:
    tiles = list(plan_tiles(level_of(10_000, 10_000), Tiling((0.5,))))
    assert len(tiles) == 6 * 6
    assert {(tile.window.width, tile.window.height) for tile in tiles} == {(1792, 1792)}


@given(tilings(), st.integers(1, 300), st.integers(1, 300), st.tuples(*[st.integers(-20, 320)] * 4))
def test_bounds_choose_the_tiles_that_may_own_a_point_inside(
    tiling: Tiling, width: int, height: int, sides: tuple[int, int, int, int]
) -> None:
    level = level_of(width, height)
    xmin, xmax, ymin, ymax = (*sorted(sides[:2]), *sorted(sides[2:]))
    expected = [
        tile
        for tile in plan_tiles(level, tiling)
        if tile.core.col - SEAM_PX <= xmax
        and tile.core.right + SEAM_PX >= xmin
        and tile.core.row - SEAM_PX <= ymax
        and tile.core.bottom + SEAM_PX >= ymin
    ]
    assert list(plan_tiles(level, tiling, (xmin, ymin, xmax, ymax))) == expected
    assert count_tiles(level, tiling, (xmin, ymin, xmax, ymax)) == len(expected)


def test_tiles_are_ordered_by_row_and_hashable() -> None:
    tiles = list(plan_tiles(level_of(200, 120), SMALL))
    corners = [(tile.window.row, tile.window.col) for tile in tiles]
    assert corners == sorted(corners)
    assert pickle.loads(pickle.dumps(tiles)) == tiles  # noqa: S301
    assert len(set(tiles)) == len(tiles)


resolutions = st.floats(0.05, 40)


@given(
    st.integers(1, 20_000),
    st.integers(1, 20_000),
    resolutions,
    st.floats(0.5, 2),
    st.lists(resolutions, min_size=1, max_size=5),
)
def test_levels_are_square_exact_and_as_requested(
    width: int, height: int, my: float, skew: float, asked: list[float]
) -> None:
    mx, tiling = my * skew, Tiling(tuple(asked))
    scene_m = math.sqrt(mx * my)
    usable = [level_m for level_m in asked if level_m >= scene_m / 2]
    if not usable:
        with pytest.raises(ResolutionError):
            plan_levels(width, height, (mx, my), tiling)
        return
    levels = plan_levels(width, height, (mx, my), tiling)
    assert 1 <= len(levels) <= len(usable)
    assert len({(level.width, level.height) for level in levels}) == len(levels)
    assert [level.is_coarsest for level in levels] == [False] * (len(levels) - 1) + [True]
    assert levels[0].min_side_px == 0
    for finer, coarser in itertools.pairwise(levels):
        assert finer.resolution_m < coarser.resolution_m
        # Each size has a level that answers for it, and none above the asked one goes without the coarser.
        assert coarser.min_side_px * coarser.resolution_m <= tiling.uncut_px * finer.resolution_m * (1 + 1e-12)
        assert coarser.min_side_px <= tiling.min_side_px
    for level in levels:
        assert level.scale_x * level.width == pytest.approx(width, rel=1e-15)
        assert level.scale_y * level.height == pytest.approx(height, rel=1e-15)
        assert min(abs(level.resolution_m / level_m - 1) for level_m in usable) <= 0.1001
        # Square pixels of the stated size on the ground, as far as whole numbers of them and the tolerance allow.
        for metres, count in ((mx * level.scale_x, level.width), (my * level.scale_y, level.height)):
            assert metres == pytest.approx(level.resolution_m, rel=0.06 + 1 / count)


@pytest.mark.parametrize(
    ("scene_m", "asked", "factors"),
    [
        ((0.5, 0.5), (0.5, 1.0, 2.0), (1, 2, 4)),
        ((0.5002, 0.4999), (0.5, 1.0, 2.0, 4.0), (1, 2, 4, 8)),  # a UTM scene is never quite 0.5 m on the ground
        ((0.54, 0.54), (0.5, 1.0), (1, 2)),
        ((0.5, 0.5), (0.48, 0.5, 0.53), (1,)),
    ],
)
def test_a_level_near_a_native_resolution_copies_pixels(
    scene_m: tuple[float, float], asked: tuple[float, ...], factors: tuple[int, ...]
) -> None:
    levels = plan_levels(1001, 640, scene_m, Tiling(asked))
    assert [(level.width, level.height) for level in levels] == [(-(-1001 // n), -(-640 // n)) for n in factors]
    assert [level.resolution_m for level in levels] == pytest.approx(
        [math.sqrt(scene_m[0] * scene_m[1]) * n for n in factors]
    )
    assert (levels[0].scale_x, levels[0].scale_y) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("scene_m", "levels_m"), [(0.2, [0.5, 1.25]), (0.5, [0.5, 1.25]), (0.54, [0.54, 1.25]), (0.56, [0.5, 1, 2])]
)
def test_scenes_as_fine_as_the_finest_level_have_levels_of_their_own(scene_m: float, levels_m: list[float]) -> None:
    levels = plan_levels(1000, 1000, (scene_m, scene_m), Tiling((0.5, 1.0, 2.0), fine_levels_m=(1.25, 0.5)))
    assert [level.resolution_m for level in levels] == pytest.approx(levels_m)


def test_oblong_pixels_become_square() -> None:
    (level,) = plan_levels(1000, 1000, (0.4, 0.6), Tiling((0.5,)))
    assert (level.width, level.height) == (800, 1200)
    assert (level.scale_x, level.scale_y) == (1.25, 1000 / 1200)


def test_a_scene_too_coarse_is_rejected_with_the_limit() -> None:
    with pytest.raises(ResolutionError, match=r"expected a scene of 4 m per pixel or finer, got 4\.01 m: .*--force"):
        plan_levels(100, 100, (4.01, 4.01), Tiling((0.5, 2.0)))
    assert len(plan_levels(100, 100, (4.0, 4.0), Tiling((0.5, 2.0)))) == 1


def test_force_plans_a_scene_too_coarse() -> None:
    (level,) = plan_levels(100, 50, (30.0, 30.0), Tiling((0.5, 2.0)), force=True)
    assert (level.width, level.height, level.resolution_m) == (1500, 750, 2.0)
    # Nothing changes for others.
    for metres in (0.3, 1.0, 4.0):
        asked = (100, 100, (metres, metres), Tiling((0.5, 2.0)))
        assert plan_levels(*asked, force=True) == plan_levels(*asked)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("levels_m", {"levels_m": ()}),
        ("levels_m", {"levels_m": (0.5, -1.0)}),
        ("fine_levels_m", {"fine_levels_m": ()}),
        ("fine_levels_m", {"fine_levels_m": (0.0,)}),
        ("levels_m", {"levels_m": (float("nan"),)}),
        ("align_px", {"align_px": 0}),
        ("halo_px", {"halo_px": 7}),
        ("tile_px", {"tile_px": 1000}),
        ("tile_px", {"tile_px": 96}),
        ("tile_px", {"tile_px": 8192 + 32}),
        ("max_upsampling", {"max_upsampling": 0.5}),
        ("native_tolerance", {"native_tolerance": 1.0}),
    ],
)
def test_settings_out_of_range_are_named(name: str, settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=rf"tiling\.{name}: expected .*, got .*: "):
        Tiling(**{"levels_m": (0.5,), **settings})  # type: ignore[arg-type]


def perfect_detector(tile: Tile, truth: FloatArray) -> FloatArray:
    """Return all boxes of the level that intersect the tile, clipped to it, in tile pixels."""
    placed = truth - [tile.window.col, tile.window.row] * 2
    visible = np.clip(placed, 0, [tile.window.width, tile.window.height] * 2)
    return visible[(visible[:, 2] > visible[:, 0]) & (visible[:, 3] > visible[:, 1])]


def detect(truth: FloatArray, level: Level, tiling: Tiling) -> FloatArray:
    per_tile = []
    for tile in plan_tiles(level, tiling):
        visible = perfect_detector(tile, truth)
        per_tile.append(scene_detections(tile, visible, np.ones(len(visible))))
    assert all((part.resolution_m == level.resolution_m).all() for part in per_tile)
    return np.concatenate([part.boxes for part in per_tile])


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 1), st.floats(0.1, 1)), max_size=30),
    st.integers(17, 250),
    st.integers(17, 250),
    st.sampled_from([0.5, 1.0, 3.0]),
    st.booleans(),
)
def test_every_box_that_is_not_cut_off_is_kept_and_only_seams_have_two(
    drawn: list[tuple[float, float, float, float]], width: int, height: int, scale: float, is_coarsest: bool
) -> None:
    level = level_of(width, height, scale, is_coarsest)
    # With its centre in a core, a box of the coarsest level may reach to the tile's edge.
    max_side = 2 * (SMALL.halo_px - SEAM_PX) if is_coarsest else SMALL.uncut_px
    positions = np.array(drawn).reshape(-1, 4) * [1, 1, max_side, max_side]
    low = np.floor(positions[:, :2] * (np.array([width, height]) - positions[:, 2:]) * 64) / 64
    truth = np.column_stack([low, low + positions[:, 2:]])
    detected = detect(truth, level, SMALL)
    np.testing.assert_allclose(_distinct(detected), _distinct(truth * scale), atol=1e-9)
    for box in truth:
        count = int((np.abs(detected - box * scale) < 1e-9).all(axis=1).sum())
        twins = int((np.abs(truth - box) < 1e-9).all(axis=1).sum())
        assert count == twins * _owners_near((box[:2] + box[2:]) / 2, level)


def _distinct(boxes: FloatArray) -> FloatArray:
    return np.unique(np.round(boxes, 6), axis=0)


def _owners_near(centre: FloatArray, level: Level) -> int:
    """Number of cores within SEAM_PX of a point, by brute force."""
    cores = [tile.core for tile in plan_tiles(level, SMALL)]
    near_x = {(c.col, c.right) for c in cores if c.col - SEAM_PX <= centre[0] < c.right + SEAM_PX}
    near_y = {(c.row, c.bottom) for c in cores if c.row - SEAM_PX <= centre[1] < c.bottom + SEAM_PX}
    return len(near_x) * len(near_y)


def test_columns_and_rows_have_scales_of_their_own() -> None:
    level = Level(1.0, 200, 64, 2.0, 3.0, is_coarsest=True)
    tile = next(tile for tile in plan_tiles(level, SMALL) if tile.window.col)
    box = np.array([[20.0, 20, 30, 40]])
    col = tile.window.col
    detected = scene_detections(tile, box, np.ones(1)).boxes
    np.testing.assert_array_equal(detected, [[(col + 20) * 2, 60, (col + 30) * 2, 120]])
    np.testing.assert_array_equal(scene_points(tile, np.array([[25.0, 30]])), [[(col + 25) * 2, 90]])


def test_boxes_that_differ_at_a_seam_are_not_lost() -> None:
    level = level_of(200, 64)
    left, right = list(plan_tiles(level, SMALL))[:2]
    seam = left.core.right
    # Each tile places the airplane in the other's core.
    boxes = [np.array([[x - 5, 20, x + 5, 30]]) for x in (seam + 1.5, seam - 1.5)]
    for tile, box in zip((left, right), boxes, strict=True):
        assert len(scene_detections(tile, box - [tile.window.col, 0] * 2, np.ones(1))) == 1


@given(st.floats(0, 200), st.floats(0, 64), st.floats(1, 60), st.floats(1, 60))
def test_boxes_cut_by_a_tile_are_left_to_a_coarser_level(x: float, y: float, width: float, height: float) -> None:
    level = level_of(200, 64, is_coarsest=False)
    truth = np.array([[x - width / 2, y - height / 2, x + width / 2, y + height / 2]])
    inside = np.clip(truth, 0, [200, 64] * 2)
    for box in detect(inside, level, SMALL):
        np.testing.assert_allclose(box, inside[0], atol=1e-9)


def test_a_box_may_come_as_near_to_an_edge_of_its_tile_as_the_seam_is_wide() -> None:
    tile = next(
        tile
        for tile in plan_tiles(level_of(200, 200, is_coarsest=False), SMALL)
        if tile.window.col == tile.window.row > 0
    )
    inside = np.array([SEAM_PX, SEAM_PX, tile.window.width - SEAM_PX, tile.window.height - SEAM_PX], np.float64)
    assert len(scene_detections(tile, inside[None], np.ones(1))) == 1
    for side, beyond in enumerate((-0.5, -0.5, 0.5, 0.5)):
        box = inside.copy()
        box[side] += beyond
        assert len(scene_detections(tile, box[None], np.ones(1))) == 0, side


def test_a_large_box_is_kept_where_a_tile_shows_it_all() -> None:
    level = level_of(200, 64, is_coarsest=False)
    first = next(plan_tiles(level, SMALL))
    edge, seam = first.window.right, first.core.right
    uncut = np.array([[seam - 30.0, 10, edge - SEAM_PX, 50]])
    assert len(detect(uncut, level, SMALL)) == 1
    # A pixel further it may be cut off. The coarsest level has to keep what is left of it.
    cut = uncut + np.array([0, 0, 1, 0])
    assert len(detect(cut, level, SMALL)) == 0 < len(detect(cut, level_of(200, 64), SMALL))


@given(
    st.integers(1, 700),
    st.integers(1, 700),
    st.sampled_from([0.3, 0.5, 0.55, 0.9, 1.0]),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.tuples(st.floats(1, 150), st.floats(1, 150)),
    st.floats(0.9, 1.1),
)
def test_every_airplane_is_kept_uncut_by_some_level_also_at_the_edges_of_small_scenes(
    width: int, height: int, scene_m: float, at: tuple[float, float], sides: tuple[float, float], measured: float
) -> None:
    tiling = Tiling((0.5, 1.0, 2.0), tile_px=192, halo_px=64, fine_levels_m=(0.5, 1.25))
    levels = plan_levels(width, height, (scene_m, scene_m), tiling)
    # Metres; where it reaches beyond the scene, what is left of it.
    size = np.array([width, height]) * scene_m
    visible = np.minimum(sides, size)
    low = np.array(at) * (size - visible)
    kept = False
    for level in levels:
        to_scene = np.array([level.scale_x, level.scale_y] * 2)
        # A coarser level measures the airplane a tenth longer or shorter than the finest.
        factor = 1.0 if level is levels[0] else measured
        end = np.minimum(low + factor * visible, size)
        seen = np.concatenate([low, end]) / scene_m / to_scene
        kept |= bool((np.abs(detect(seen[None], level, tiling) - seen * to_scene) < 1e-6).all(axis=1).any())
    assert kept


def test_small_boxes_are_left_to_the_finer_level() -> None:
    levels = plan_levels(200, 64, (1.0, 1.0), Tiling((1.0, 2.0), tile_px=64, halo_px=16, align_px=8, min_side_px=5))
    small, long = np.array([[20.0, 30.0, 24.9, 32.0]]), np.array([[20.0, 30.0, 25.0, 32.0]])
    fine, coarse = levels
    assert len(detect(small, coarse, SMALL)) == 0 < len(detect(small, fine, SMALL))
    assert len(detect(long, coarse, SMALL)) > 0
    assert len(detect(small, plan_levels(200, 64, (1.0, 1.0), SMALL)[-1], SMALL)) > 0


def test_boxes_at_the_scene_border_are_kept_and_clipped() -> None:
    level = level_of(61, 64, scale=2.0, is_coarsest=False)
    (tile,) = plan_tiles(level, SMALL)
    cut_by_scene = np.array([[-1.0, 5, 12, 9], [50, 20, 64, 30], [5, -3, 9, 4], [5, 60, 9, 64]])
    detections = scene_detections(tile, cut_by_scene, np.ones(4))
    assert detections.boxes.tolist() == [[0, 10, 24, 18], [100, 40, 122, 60], [10, 0, 18, 8], [10, 120, 18, 128]]


def test_nan_boxes_and_boxes_in_the_padding_are_dropped() -> None:
    (tile,) = plan_tiles(level_of(30, 40), SMALL)
    boxes = np.array([[np.nan, 1, 2, 3], [29.0, 1, 33, 5], [1.0, 45, 5, 50], [1.0, 2, 3, 4]])
    detections = scene_detections(tile, boxes, np.array([0.1, 0.2, 0.3, 0.4]))
    assert detections.scores.tolist() == [0.4]
    assert len(scene_detections(tile, np.zeros((0, 4)), np.zeros(0))) == 0
