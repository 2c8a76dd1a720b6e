import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geo.boxes import iou_matrix
from geo.errors import RasterError, ResolutionError
from geo.grid import Tiling, plan_levels, plan_tiles
from geo.nms import Suppression, merge_levels
from geo.raster.header import read_header
from geo.raster.reader import RasterReader
from geo.types import Detections, ImageArray
from model.inference.predictor import FakePredictor, images_per_batch
from model.inference.scan import BATCHES_PER_CALL, detect, group_by_shape, prefetch, scan, scan_all
from model.inference.scan_config import ScanConfig
from tests.geo.scenes import write_tiff

WIDTH, HEIGHT = 330, 410
GROUND = 40
Array = NDArray[np.float64]


def config(*levels_m: float) -> ScanConfig:
    return ScanConfig(Tiling(levels_m, tile_px=128, halo_px=16), Suppression(iou=0.5, containment=0.8))


def scene(folder: Path, boxes: Array, levels: NDArray[np.uint8], overviews: tuple[int, ...] = (2, 4)) -> str:
    """Writes bright rectangles on dark ground, at 0.5 m."""
    pixels = np.full((HEIGHT, WIDTH, 3), GROUND, np.uint8)
    for (xmin, ymin, xmax, ymax), level in zip(boxes.astype(int), levels, strict=True):
        pixels[ymin:ymax, xmin:xmax] = level
    return write_tiff(folder / "scene.tif", pixels, overviews=overviews)


def drawn(
    generator: np.random.Generator, field: int, largest: int, smallest: int = 8
) -> tuple[Array, NDArray[np.uint8]]:
    """At most one rectangle in each field of a grid, apart from one another; some end at the scene's edges."""
    low = np.stack(np.meshgrid(np.arange(0, WIDTH, field), np.arange(0, HEIGHT, field)), axis=-1).reshape(-1, 2)
    low = low[generator.random(len(low)) < 0.7]
    low = low + generator.integers(0, field - largest - 8, low.shape)
    boxes = np.concatenate([low, low + generator.integers(smallest, largest, low.shape)], axis=1).astype(np.float64)
    boxes = np.clip(boxes, 0, [WIDTH, HEIGHT] * 2)
    boxes = boxes[((boxes[:, 2:] - boxes[:, :2]) >= smallest).all(axis=1)]
    return boxes, generator.integers(170, 256, len(boxes), dtype=np.uint8)


def assert_each_once(detections: Detections, boxes: Array, minimum: float) -> None:
    overlaps = iou_matrix(boxes, detections.boxes) >= minimum
    assert (overlaps.sum(axis=1) == 1).all()
    assert len(detections) == len(boxes)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_every_airplane_is_detected_once_across_seams_and_levels(seed: int, tmp_path: Path) -> None:
    boxes, levels = drawn(np.random.default_rng(seed), field=48, largest=28)
    detections = scan(read_header(scene(tmp_path, boxes, levels)), config(0.5, 1.0), FakePredictor(), 3)
    assert_each_once(detections, boxes, 0.6)
    assert (np.diff(detections.scores) <= 0).all()
    chosen = iou_matrix(boxes, detections.boxes).argmax(axis=1)
    np.testing.assert_allclose(detections.scores[chosen], levels / 255, atol=0.01)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_an_airplane_larger_than_the_overlap_is_detected_on_a_coarser_level(seed: int, tmp_path: Path) -> None:
    # At 2 m the scene is one tile: nothing is cut there, and an airplane of 100 scene pixels has 25.
    boxes, levels = drawn(np.random.default_rng(seed), field=130, largest=100, smallest=30)
    detections = scan(read_header(scene(tmp_path, boxes, levels)), config(0.5, 1.0, 2.0), FakePredictor(), 4)
    assert_each_once(detections, boxes, 0.5)


def test_an_airplane_on_a_seam_is_not_cut(tmp_path: Path) -> None:
    # The rectangle lies on a seam of the finest level, and is the only one.
    tiles = list(plan_tiles(plan_levels(WIDTH, HEIGHT, (0.5, 0.5), config(0.5).tiling)[0], config(0.5).tiling))
    seam = tiles[0].core.right
    assert 0 < seam < WIDTH
    box = np.array([[seam - 10.0, 50, seam + 9, 70]])
    detections = scan(read_header(scene(tmp_path, box, np.array([250], np.uint8))), config(0.5), FakePredictor(), 2)
    assert detections.boxes.tolist() == box.tolist()
    assert detections.resolution_m == pytest.approx([0.5], rel=1e-3)


def test_the_batch_size_changes_nothing(tmp_path: Path) -> None:
    boxes, levels = drawn(np.random.default_rng(4), field=48, largest=28)
    header = read_header(scene(tmp_path, boxes, levels))
    first, *others = (scan(header, config(0.5, 1.0), FakePredictor(), batch) for batch in (1, 2, 7, 1000))
    assert len(first) == len(boxes)
    for other in others:
        np.testing.assert_array_equal(other.boxes, first.boxes)
        np.testing.assert_array_equal(other.scores, first.scores)


def test_an_airplane_is_owned_by_the_tile_whose_core_holds_its_centre(tmp_path: Path) -> None:
    boxes, levels = drawn(np.random.default_rng(9), field=40, largest=14)
    header = read_header(scene(tmp_path, boxes, levels))
    tiling = config(0.5).tiling
    (level,) = plan_levels(header.width, header.height, header.resolution_m, tiling)
    tiles = list(plan_tiles(level, tiling))
    with RasterReader(header.uri) as reader:
        results = detect(FakePredictor(), tiles, [reader.read_tile(tile) for tile in tiles])
    each = [result.owned for result in results]
    for tile, detections in zip(tiles, each, strict=True):
        owned = boxes[tile.core.contains_points((boxes[:, :2] + boxes[:, 2:]) / 2)]
        assert (
            {tuple(box) for box in owned} <= {tuple(box) for box in detections.boxes} <= {tuple(box) for box in boxes}
        )
    # What two tiles claim, within a seam, is one airplane in the end.
    assert len(Detections.concatenate(each)) > len(boxes)
    assert_each_once(merge_levels(Detections.concatenate(each), config(0.5).suppression), boxes, 0.99)


class Recorder(FakePredictor):
    """Keeps the shape of every batch it was given."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, images: ImageArray) -> list[Detections]:
        self.shapes.append(images.shape)
        return super().__call__(images)


def test_the_predictor_gets_batches_of_tiles_of_one_size(tmp_path: Path) -> None:
    header = read_header(scene(tmp_path, np.zeros((0, 4)), np.zeros(0, np.uint8)))
    predictor = Recorder()
    assert len(scan(header, config(0.5, 1.0), predictor, 5)) == 0
    tiling = config(0.5, 1.0).tiling
    planned = [tile for level in plan_levels(WIDTH, HEIGHT, (0.5, 0.5), tiling) for tile in plan_tiles(level, tiling)]
    counts = [shape[0] for shape in predictor.shapes]
    shapes = {(tile.window.height, tile.window.width, 3) for tile in planned}
    assert {shape[1:] for shape in predictor.shapes} == shapes
    assert sum(counts) == len(planned)
    full = [BATCHES_PER_CALL * images_per_batch(shape[1], shape[2], 5) for shape in predictor.shapes]
    assert len([count for count, size in zip(counts, full, strict=True) if count != size]) <= len(shapes)


def test_a_too_coarse_or_missing_scene_is_an_error(tmp_path: Path) -> None:
    uri = scene(tmp_path, np.zeros((0, 4)), np.zeros(0, np.uint8))
    with pytest.raises(ResolutionError):
        scan(read_header(uri, 9.0), config(0.5, 1.0), FakePredictor(), 1)
    header = read_header(uri)
    Path(uri).unlink()
    with pytest.raises(RasterError, match=r"scene\.tif"):
        scan(header, config(0.5), FakePredictor(), 1)


def test_tiles_without_a_valid_pixel_are_skipped(tmp_path: Path) -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    empty = write_tiff(tmp_path / "empty.tif", pixels, nodata=0)
    inferred = 0

    class Counting(FakePredictor):
        def __call__(self, images: ImageArray) -> list[Detections]:
            nonlocal inferred
            inferred += len(images)
            return super().__call__(images)

    assert len(scan(read_header(empty), config(0.5, 1.0), Counting(), 2)) == 0
    assert inferred == 0
    pixels[300:310, 200:210] = 200
    part = write_tiff(tmp_path / "part.tif", pixels, nodata=0)
    assert len(scan(read_header(part), config(0.5), Counting(), 2)) == 1
    tiles = list(
        plan_tiles(
            plan_levels(WIDTH, HEIGHT, read_header(part).resolution_m, config(0.5).tiling)[0], config(0.5).tiling
        )
    )
    assert 0 < inferred < len(tiles)


def test_scenes_in_one_call_share_batches_and_give_the_same_results(tmp_path: Path) -> None:
    headers, expected = [], []
    for number, size in enumerate([(100, 90), (330, 410), (100, 90), (60, 300), (100, 90)]):
        boxes, levels = drawn(np.random.default_rng(number), field=48, largest=28)
        (tmp_path / str(number)).mkdir()
        pixels = np.full((*size[::-1], 3), GROUND, np.uint8)
        for (xmin, ymin, xmax, ymax), level in zip(boxes.astype(int), levels, strict=True):
            pixels[ymin:ymax, xmin:xmax] = level
        headers.append(read_header(write_tiff(tmp_path / str(number) / "scene.tif", pixels)))
        expected.append(scan(headers[-1], config(0.5, 1.0), FakePredictor(), 1))
    predictor = Recorder()
    detections = scan_all(iter(headers), config(0.5, 1.0), predictor, 4)
    assert sum(map(len, expected)) > 20
    for actual, single in zip(detections, expected, strict=True):
        np.testing.assert_array_equal(actual.boxes, single.boxes)
        np.testing.assert_array_equal(actual.scores, single.scores)
    counts = [shape[0] for shape in predictor.shapes]
    full = [BATCHES_PER_CALL * images_per_batch(shape[1], shape[2], 4) for shape in predictor.shapes]
    assert all(count <= size for count, size in zip(counts, full, strict=True))
    assert len([count for count, size in zip(counts, full, strict=True) if count < size]) <= len(
        {shape[1:] for shape in predictor.shapes}
    )


def test_tiles_of_a_small_scene_are_as_small_as_its_levels(tmp_path: Path) -> None:
    header = read_header(scene(tmp_path, np.array([[300.0, 390, 320, 405]]), np.array([250], np.uint8)))
    predictor = Recorder()
    large = ScanConfig(Tiling((0.5, 1.0), tile_px=1376, halo_px=64), Suppression(0.5, 0.8))
    assert len(scan(header, large, predictor, 1)) == 1
    # 330 x 410 and 165 x 205 pixels, rounded up to 32.
    assert [shape[1:] for shape in predictor.shapes] == [(416, 352, 3), (224, 192, 3)]


SHAPES = [(), *((side, side, 3) for side in (96, 256, 416, 640, 1024, 1920))]


@given(st.lists(st.sampled_from(SHAPES), max_size=300), st.integers(1, 3))
def test_groups_have_one_shape_and_hold_each_item_once(shapes: list[tuple[int, ...]], batch_size: int) -> None:
    taken: list[tuple[int, ...]] = []

    def items() -> Iterator[tuple[int, tuple[int, ...]]]:
        for number, shape in enumerate(shapes):
            taken.append(shape)
            yield number, shape

    def size(shape: tuple[int, ...]) -> int:
        return BATCHES_PER_CALL * (images_per_batch(shape[0], shape[1], batch_size) if shape else batch_size)

    groups: list[list[tuple[int, tuple[int, ...]]]] = []
    for group in group_by_shape(items(), lambda item: item[1], batch_size):
        assert len({shape for _, shape in group}) == 1
        assert 1 <= len(group) <= size(group[0][1])
        # Not more wait than four calls hold.
        waiting = sum(1 / size(shape) for shape in taken) - sum(len(done) / size(done[0][1]) for done in groups)
        assert waiting < 4 + 1e-9
        groups.append(group)
    for shape in set(shapes):
        in_order = [number for group in groups for number, other in group if other == shape]
        assert in_order == [number for number, other in enumerate(shapes) if other == shape]
    if len(set(shapes)) == 1:
        assert all(len(group) == size(shapes[0]) for group in groups[:-1])


@pytest.mark.parametrize(("side", "expected"), [(1920, 2), (800, 2), (640, 2), (416, 5), (320, 9), (128, 16), (32, 16)])
def test_small_images_are_put_together_by_their_size(side: int, expected: int) -> None:
    assert images_per_batch(side, side, 2) == expected


@given(st.lists(st.integers() | st.none()), st.integers(1, 5))
def test_the_same_items_in_the_same_order(items: list[int | None], depth: int) -> None:
    assert list(prefetch(iter(items), depth)) == items


@given(st.integers(0, 20), st.integers(1, 5))
def test_never_more_than_depth_items_ahead(taken: int, depth: int) -> None:
    made = []

    def work() -> Iterator[int]:
        for item in range(30):
            made.append(item)
            yield item

    items = prefetch(work(), depth)
    for number in range(taken):
        assert next(items) == number
        assert len(made) <= number + 1 + depth
    items.close()


def test_items_are_computed_while_the_consumer_works() -> None:
    made = threading.Event()

    def work() -> Iterator[int]:
        yield 0
        made.set()
        yield 1

    items = prefetch(work(), 1)
    assert next(items) == 0
    # The second item is made although nobody has asked for it.
    assert made.wait(timeout=60)
    assert list(items) == [1]


def test_an_error_is_raised_in_place_of_its_item() -> None:
    def work() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    items = prefetch(work(), 3)
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken"):
        next(items)
    assert list(items) == []


def test_all_items_are_computed_in_one_thread_which_ends() -> None:
    threads = set()

    def work() -> Generator[int, None, None]:
        try:
            for item in range(9):
                threads.add(threading.current_thread())
                yield item
        finally:
            threads.add(threading.current_thread())

    for taken in (9, 2):
        threads.clear()
        items = prefetch(work(), 2)
        for _ in range(taken):
            next(items)
        items.close()
        (thread,) = threads
        assert thread is not threading.current_thread()
        assert not thread.is_alive()
