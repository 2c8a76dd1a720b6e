from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geo.raster.header import read_size
from model.data import crops
from model.data.labels import AnnotatedImage
from model.datagen import tiles
from model.datagen.tiles import SetConfig, SetPlan, TileConfig
from tests.model.image_sets import AIRPLANES, HEIGHT, WIDTH, make_pixels, write_set

SIDE = 64
CONFIG = TileConfig(SIDE, displacement_px=20.0)
SEEDS = st.integers(0, 2**32 - 1)
Array = NDArray[np.float64]

# Width and height of the images of a test, by name.
Sizes = dict[str, tuple[int, int]]


@pytest.fixture(autouse=True)
def sizes(monkeypatch: pytest.MonkeyPatch) -> Sizes:
    """Return the sizes without files: these images are only planned."""
    known_sizes: Sizes = {}
    monkeypatch.setattr(tiles, "read_size", lambda uri: known_sizes.get(uri) or read_size(uri))
    return known_sizes


def made_up(seed: int, known_sizes: Sizes) -> dict[str, AnnotatedImage]:
    """Images of any size, some smaller than a tile, with airplanes anywhere, some of them tiny or cut by the edge."""
    generator = np.random.default_rng(seed)
    images = {}
    for number in range(4):
        size = generator.integers(40, 260, 2)
        centres = generator.uniform(0, size, (int(generator.integers(0, 5)), 2))
        halves = generator.uniform(4, 30, centres.shape)
        boxes = np.clip(np.concatenate([centres - halves, centres + halves], axis=1), 0, np.tile(size, 2))
        ignored = generator.random(len(boxes)) < 0.2
        name = f"{seed}/{number}.png"
        known_sizes[name] = (int(size[0]), int(size[1]))
        images[name] = AnnotatedImage(Path(name), name, boxes[~ignored], 1.0, True, boxes[ignored])
    return images


def plan(
    images: dict[str, AnnotatedImage], per_airplane: int = 3, without: int | None = None, seed: int = 1
) -> SetPlan:
    return tiles.plan_tiles_of_set(images, SetConfig("one", per_airplane, without), CONFIG, seed)


def shown(image: AnnotatedImage, corner: Array) -> tuple[Array, Array]:
    """Airplanes of a tile, and what it shows that is to be ignored."""
    boxes, cut = crops.boxes_in_crop(image.boxes, corner.astype(np.float64), 1.0, SIDE)
    return boxes, np.concatenate([cut, *crops.boxes_in_crop(image.ignored, corner.astype(np.float64), 1.0, SIDE)])


@given(seed=SEEDS)
def test_as_many_tiles_without_airplanes_as_with_them(seed: int) -> None:
    known_sizes: Sizes = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "read_size", known_sizes.__getitem__)
        planned = plan(made_up(seed, known_sizes))
    with_airplanes = without = 0
    for planned_image in planned.images:
        showing = [len(shown(planned_image.image, corner)[0]) > 0 for corner in planned_image.corners]
        assert showing == sorted(showing, reverse=True)
        with_airplanes += sum(showing)
        away = planned_image.corners[sum(showing) :]
        without += len(away)
        assert len(np.unique(away, axis=0)) == len(away)
        for corner in away:
            boxes, ignored = shown(planned_image.image, corner)
            assert len(boxes) == len(ignored) == 0
    assert planned.with_asked == 3 * sum(len(planned_image.image.boxes) for planned_image in planned.images)
    assert with_airplanes == planned.with_planned
    # All of them have 6 px and more in a tile of 64 px.
    assert planned.with_planned == planned.with_asked
    assert planned.without_asked == planned.with_planned
    assert without == planned.without_planned == min(planned.without_asked, room_of(planned, known_sizes))


def room_of(set_plan: SetPlan, known_sizes: Sizes) -> int:
    """Places without an airplane, counted one by one."""
    room = 0
    for planned_image in set_plan.images:
        axes = []
        for length in known_sizes[str(planned_image.image.path)]:
            axes.append(range(min(length - SIDE, 0), max(length - SIDE, 0) + 1, 8))
        corners = [np.array([x, y]) for x in axes[0] for y in axes[1]]
        room += sum(not any(map(len, shown(planned_image.image, corner))) for corner in corners)
    return room


@given(seed=SEEDS)
def test_every_airplane_is_in_as_many_tiles_that_are_its_own(seed: int) -> None:
    known_sizes: Sizes = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "read_size", known_sizes.__getitem__)
        set_plan = plan(made_up(seed, known_sizes), without=0)
    for planned_image in set_plan.images:
        size = np.array(known_sizes[str(planned_image.image.path)])
        assert len(planned_image.corners) == 3 * len(planned_image.image.boxes)
        for number, corner in enumerate(planned_image.corners):
            box = planned_image.image.boxes[[number // 3]]
            assert len(crops.boxes_in_crop(box, corner.astype(np.float64), 1.0, SIDE)[0]) == 1
            assert (corner >= np.minimum(size - SIDE, 0)).all()
            assert (corner <= np.maximum(size - SIDE, 0)).all()


def test_tiles_lie_normally_distributed_around_an_airplane(sizes: Sizes) -> None:
    sizes["a"] = (1000, 1000)
    image = AnnotatedImage(Path("a"), "a", np.array([[492.0, 494, 508, 506]]), 1.0, True)
    (planned,) = tiles.plan_tiles_of_set({"a": image}, SetConfig("one", 4000, 0), TileConfig(256, 30.0), seed=1).images
    moved = planned.corners + 128 - 500
    np.testing.assert_allclose(moved.mean(axis=0), 0, atol=1.5)
    np.testing.assert_allclose(moved.std(axis=0), 30, atol=1.0)
    assert abs(np.mean(moved[:, 0] * moved[:, 1])) < 0.05 * 30**2
    # Two thirds within one standard deviation, and not all at its distance.
    assert (np.abs(moved[:, 0]) < 30).mean() == pytest.approx(0.683, abs=0.02)


def test_airplanes_that_no_tile_can_show_are_counted(sizes: Sizes) -> None:
    sizes["a"] = (900, 900)
    boxes = np.array([[100.0, 100, 104, 105], [200, 200, 500, 600], [600, 600, 630, 630]])
    planned = plan({"a": AnnotatedImage(Path("a"), "a", boxes, 1.0, True)})
    assert (planned.with_asked, planned.with_planned, planned.without_planned) == (9, 3, 3)


def test_little_room_gives_fewer_tiles_without_airplanes(sizes: Sizes) -> None:
    sizes["a"] = (100, 100)
    planned = plan({"a": AnnotatedImage(Path("a"), "a", np.array([[40.0, 40, 60, 60]]), 1.0, True)})
    assert (planned.with_planned, planned.without_asked, planned.without_planned) == (3, 3, 0)


def test_tiles_without_airplanes_are_spread_evenly_over_the_free_ground(sizes: Sizes) -> None:
    images = {name: AnnotatedImage(Path(name), name, np.zeros((0, 4)), 1.0, True) for name in ("a", "b", "c")}
    sizes |= {"a": (264, 264), "b": (464, 264), "c": (64, 64)}
    planned = plan(images, without=300)
    counts = {image.name: len(image.corners) for image in planned.images}
    assert sum(counts.values()) == 300
    # 26 x 26, 51 x 26 and 1 position.
    assert counts["b"] / counts["a"] == pytest.approx(51 / 26, rel=0.03)
    assert counts["c"] <= 1
    centres = np.concatenate([image.corners for image in planned.images if image.name == "a"]).mean(axis=0)
    np.testing.assert_allclose(centres, 100, atol=15)


@given(st.integers(0, 200), st.lists(st.integers(0, 50), max_size=8))
def test_distributed_counts_add_up_and_fit(count: int, room: list[int]) -> None:
    fractions = tiles._distribute(count, room)
    assert sum(fractions) == min(count, sum(room))
    for fraction, room_of_image in zip(fractions, room, strict=True):
        assert 0 <= fraction <= room_of_image
        assert abs(fraction - min(count, sum(room)) * room_of_image / max(sum(room), 1)) < 1


def corners(set_plan: SetPlan) -> dict[str, list[list[int]]]:
    return {image.name: image.corners.tolist() for image in set_plan.images}


def test_tiles_depend_on_the_seed_and_the_names_alone(sizes: Sizes) -> None:
    images = made_up(3, sizes)
    expected = corners(plan(images))
    assert corners(plan(dict(reversed(images.items())))) == expected
    assert corners(plan(images, seed=2)) != expected
    # The name is part of the seed.
    renamed = {f"x{name}": image for name, image in images.items()}
    assert list(corners(plan(renamed)).values()) != list(expected.values())
    # What else is in the set moves no tile with an airplane.
    name = next(name for name, image in images.items() if len(image.boxes))
    alone = corners(plan({name: images[name]}, without=0))
    assert alone[name] == corners(plan(images, without=0))[name]


def test_a_tile_has_the_pixels_and_boxes_of_its_image(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    pixels = generator.integers(1, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    folder = write_set(tmp_path / "one", {"a": pixels})
    ignored = np.array([[0.0, 0, 30, 20]])
    boxes = np.array([box for box, _ in AIRPLANES], np.float64)
    image = AnnotatedImage(folder / "a.png", "a", boxes, 1.0, True, ignored)
    set_plan = plan({"one/a.png": image}, per_airplane=5)
    cut = list(tiles.cut_tiles(set_plan.images[0], SIDE))
    assert len(cut) == 30
    overlapped = 0
    for tile, (x, y) in zip(cut, set_plan.images[0].corners.tolist(), strict=True):
        assert tile.name == f"one/a.png@{x},{y}"
        np.testing.assert_array_equal(tile.crop.pixels, pixels[y : y + SIDE, x : x + SIDE])
        expected = crops.cut_crop(pixels, boxes, np.array([x, y], np.float64), 1.0, SIDE)
        np.testing.assert_array_equal(tile.crop.boxes, expected.boxes)
        assert len(tile.crop.ignored) == len(expected.ignored) + (x < 30 and y < 20)
        overlapped += x < 30 and y < 20
    assert overlapped > 0


def test_an_image_smaller_than_a_tile_is_padded(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "one", {"a": make_pixels()})
    image = AnnotatedImage(folder / "a.png", "a", np.array([[20.0, 30, 45, 60]]), 1.0, True)
    set_plan = tiles.plan_tiles_of_set({"one/a.png": image}, SetConfig("one", 4), TileConfig(256, 50.0), seed=1)
    assert set_plan.without_planned == 0
    for tile in tiles.cut_tiles(set_plan.images[0], 256):
        assert (tile.crop.pixels[..., 0] > 0).sum() == WIDTH * HEIGHT
        assert len(tile.crop.boxes) == 1


def test_images_are_assigned_to_files_whatever_their_order(sizes: Sizes) -> None:
    sizes |= dict.fromkeys("abcdefg", (100, 100))
    images = {name: AnnotatedImage(Path(name), name, np.zeros((0, 4)), 1.0, True) for name in "abcdefg"}
    planned = plan(images, without=60).images
    files = tiles.assign_to_files(planned, 3)
    assert sorted(image.name for file in files for image in file) == list("abcdefg")
    assert [len(file) for file in files] == [3, 2, 2]
    again = tiles.assign_to_files(planned[::-1], 3)
    assert [[image.name for image in file] for file in again] == [[image.name for image in file] for file in files]
    # No empty files, and no images without tiles.
    assert [len(file) for file in tiles.assign_to_files(planned, 100)] == [1] * 7
    assert tiles.assign_to_files(plan(images, without=0).images, 3) == []


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: TileConfig(side_px=100), "side_px"),
        (lambda: TileConfig(displacement_px=0.0), "displacement_px"),
        (lambda: SetConfig("one", -1), "tiles_per_airplane"),
        (lambda: SetConfig("one", 1, -1), "tiles_without"),
    ],
)
def test_invalid_settings_are_rejected(make: object, named: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=named):
        make()
