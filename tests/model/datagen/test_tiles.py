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
from tests.model.photos import AIRPLANES, HEIGHT, WIDTH, picture, write_set

SIDE = 64
CONFIG = TileConfig(SIDE, displacement_px=20.0)
SEEDS = st.integers(0, 2**32 - 1)
Array = NDArray[np.float64]

# By name: what a test's photos are said to measure.
Sizes = dict[str, tuple[int, int]]


@pytest.fixture(autouse=True)
def sizes(monkeypatch: pytest.MonkeyPatch) -> Sizes:
    """Photos that are only planned with have no files."""
    known_sizes: Sizes = {}
    monkeypatch.setattr(tiles, "read_size", lambda uri: known_sizes.get(uri) or read_size(uri))
    return known_sizes


def made_up(seed: int, known_sizes: Sizes) -> dict[str, AnnotatedImage]:
    """Photos of any size, some smaller than a tile, with airplanes anywhere, some of them tiny or cut by the edge."""
    generator = np.random.default_rng(seed)
    photos = {}
    for number in range(4):
        size = generator.integers(40, 260, 2)
        middles = generator.uniform(0, size, (int(generator.integers(0, 5)), 2))
        halves = generator.uniform(4, 30, middles.shape)
        boxes = np.clip(np.concatenate([middles - halves, middles + halves], axis=1), 0, np.tile(size, 2))
        some = generator.random(len(boxes)) < 0.2
        name = f"{seed}/{number}.png"
        known_sizes[name] = (int(size[0]), int(size[1]))
        photos[name] = AnnotatedImage(Path(name), name, boxes[~some], 1.0, True, boxes[some])
    return photos


def plan(
    photos: dict[str, AnnotatedImage], per_airplane: int = 3, without: int | None = None, seed: int = 1
) -> SetPlan:
    return tiles.plan_tiles_of_set(photos, SetConfig("one", per_airplane, without), CONFIG, seed)


def shown(photo: AnnotatedImage, corner: Array) -> tuple[Array, Array]:
    """Airplanes of a tile, and what it shows that is to be ignored."""
    boxes, cut = crops.boxes_in_crop(photo.boxes, corner.astype(np.float64), 1.0, SIDE)
    return boxes, np.concatenate([cut, *crops.boxes_in_crop(photo.ignored, corner.astype(np.float64), 1.0, SIDE)])


@given(seed=SEEDS)
def test_there_are_as_many_tiles_with_airplanes_as_asked_and_as_many_without(seed: int) -> None:
    known_sizes: Sizes = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "read_size", known_sizes.__getitem__)
        found = plan(made_up(seed, known_sizes))
    with_airplanes = without = 0
    for photo in found.images:
        showing = [len(shown(photo.image, corner)[0]) > 0 for corner in photo.corners]
        assert showing == sorted(showing, reverse=True)
        with_airplanes += sum(showing)
        away = photo.corners[sum(showing) :]
        without += len(away)
        assert len(np.unique(away, axis=0)) == len(away)
        for corner in away:
            boxes, ignored = shown(photo.image, corner)
            assert len(boxes) == len(ignored) == 0
    assert found.with_asked == 3 * sum(len(photo.image.boxes) for photo in found.images)
    assert with_airplanes == found.with_planned
    # All of them have 6 px and more in a tile of 64 px.
    assert found.with_planned == found.with_asked
    assert found.without_asked == found.with_planned
    assert without == found.without_planned == min(found.without_asked, room_of(found, known_sizes))


def room_of(found: SetPlan, known_sizes: Sizes) -> int:
    """Places without an airplane, counted one by one."""
    room = 0
    for photo in found.images:
        axes = []
        for length in known_sizes[str(photo.image.path)]:
            axes.append(range(min(length - SIDE, 0), max(length - SIDE, 0) + 1, 8))
        corners = [np.array([x, y]) for x in axes[0] for y in axes[1]]
        room += sum(not any(map(len, shown(photo.image, corner))) for corner in corners)
    return room


@given(seed=SEEDS)
def test_every_airplane_is_in_as_many_tiles_that_are_its_own(seed: int) -> None:
    known_sizes: Sizes = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "read_size", known_sizes.__getitem__)
        found = plan(made_up(seed, known_sizes), without=0)
    for photo in found.images:
        size = np.array(known_sizes[str(photo.image.path)])
        assert len(photo.corners) == 3 * len(photo.image.boxes)
        for number, corner in enumerate(photo.corners):
            box = photo.image.boxes[[number // 3]]
            assert len(crops.boxes_in_crop(box, corner.astype(np.float64), 1.0, SIDE)[0]) == 1
            assert (corner >= np.minimum(size - SIDE, 0)).all()
            assert (corner <= np.maximum(size - SIDE, 0)).all()


def test_tiles_lie_normally_distributed_around_an_airplane(sizes: Sizes) -> None:
    sizes["a"] = (1000, 1000)
    photo = AnnotatedImage(Path("a"), "a", np.array([[492.0, 494, 508, 506]]), 1.0, True)
    (planned,) = tiles.plan_tiles_of_set({"a": photo}, SetConfig("one", 4000, 0), TileConfig(256, 30.0), seed=1).images
    moved = planned.corners + 128 - 500
    np.testing.assert_allclose(moved.mean(axis=0), 0, atol=1.5)
    np.testing.assert_allclose(moved.std(axis=0), 30, atol=1.0)
    assert abs(np.mean(moved[:, 0] * moved[:, 1])) < 0.05 * 30**2
    # Two thirds within one standard deviation, and not all at its distance.
    assert (np.abs(moved[:, 0]) < 30).mean() == pytest.approx(0.683, abs=0.02)


def test_airplanes_that_no_tile_can_show_are_counted(sizes: Sizes) -> None:
    sizes["a"] = (900, 900)
    boxes = np.array([[100.0, 100, 104, 105], [200, 200, 500, 600], [600, 600, 630, 630]])
    found = plan({"a": AnnotatedImage(Path("a"), "a", boxes, 1.0, True)})
    assert (found.with_asked, found.with_planned, found.without_planned) == (9, 3, 3)


def test_little_room_gives_fewer_tiles_without_airplanes(sizes: Sizes) -> None:
    sizes["a"] = (100, 100)
    found = plan({"a": AnnotatedImage(Path("a"), "a", np.array([[40.0, 40, 60, 60]]), 1.0, True)})
    assert (found.with_planned, found.without_asked, found.without_planned) == (3, 3, 0)


def test_tiles_without_airplanes_are_spread_evenly_over_the_free_ground(sizes: Sizes) -> None:
    photos = {name: AnnotatedImage(Path(name), name, np.zeros((0, 4)), 1.0, True) for name in ("a", "b", "c")}
    sizes |= {"a": (264, 264), "b": (464, 264), "c": (64, 64)}
    found = plan(photos, without=300)
    counts = {photo.name: len(photo.corners) for photo in found.images}
    assert sum(counts.values()) == 300
    # 26 x 26, 51 x 26 and 1 place.
    assert counts["b"] / counts["a"] == pytest.approx(51 / 26, rel=0.03)
    assert counts["c"] <= 1
    middles = np.concatenate([photo.corners for photo in found.images if photo.name == "a"]).mean(axis=0)
    np.testing.assert_allclose(middles, 100, atol=15)


@given(st.integers(0, 200), st.lists(st.integers(0, 50), max_size=8))
def test_distributed_counts_add_up_and_fit(count: int, room: list[int]) -> None:
    shares = tiles._distribute(count, room)
    assert sum(shares) == min(count, sum(room))
    for share, most in zip(shares, room, strict=True):
        assert 0 <= share <= most
        assert abs(share - min(count, sum(room)) * most / max(sum(room), 1)) < 1


def corners(found: SetPlan) -> dict[str, list[list[int]]]:
    return {photo.name: photo.corners.tolist() for photo in found.images}


def test_tiles_depend_on_the_seed_and_the_names_alone(sizes: Sizes) -> None:
    photos = made_up(3, sizes)
    found = corners(plan(photos))
    assert corners(plan(dict(reversed(photos.items())))) == found
    assert corners(plan(photos, seed=2)) != found
    # The same photo under another name is another one.
    renamed = {f"x{name}": photo for name, photo in photos.items()}
    assert list(corners(plan(renamed)).values()) != list(found.values())
    # What else is in the set moves no tile with an airplane.
    name = next(name for name, photo in photos.items() if len(photo.boxes))
    alone = corners(plan({name: photos[name]}, without=0))
    assert alone[name] == corners(plan(photos, without=0))[name]


def test_a_tile_has_the_photos_own_pixels_and_its_boxes(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    pixels = generator.integers(1, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    folder = write_set(tmp_path / "one", {"a": pixels})
    ignored = np.array([[0.0, 0, 30, 20]])
    boxes = np.array([box for box, _ in AIRPLANES], np.float64)
    photo = AnnotatedImage(folder / "a.png", "a", boxes, 1.0, True, ignored)
    found = plan({"one/a.png": photo}, per_airplane=5)
    cut = list(tiles.cut_tiles(found.images[0], SIDE))
    assert len(cut) == 30
    overlapped = 0
    for tile, (x, y) in zip(cut, found.images[0].corners.tolist(), strict=True):
        assert tile.name == f"one/a.png@{x},{y}"
        np.testing.assert_array_equal(tile.crop.pixels, pixels[y : y + SIDE, x : x + SIDE])
        wanted = crops.cut_crop(pixels, boxes, np.array([x, y], np.float64), 1.0, SIDE)
        np.testing.assert_array_equal(tile.crop.boxes, wanted.boxes)
        assert len(tile.crop.ignored) == len(wanted.ignored) + (x < 30 and y < 20)
        overlapped += x < 30 and y < 20
    assert overlapped > 0


def test_a_photo_smaller_than_a_tile_is_shown_whole(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "one", {"a": picture()})
    photo = AnnotatedImage(folder / "a.png", "a", np.array([[20.0, 30, 45, 60]]), 1.0, True)
    found = tiles.plan_tiles_of_set({"one/a.png": photo}, SetConfig("one", 4), TileConfig(256, 50.0), seed=1)
    assert found.without_planned == 0
    for tile in tiles.cut_tiles(found.images[0], 256):
        assert (tile.crop.pixels[..., 0] > 0).sum() == WIDTH * HEIGHT
        assert len(tile.crop.boxes) == 1


def test_images_are_assigned_to_files_whatever_their_order(sizes: Sizes) -> None:
    sizes |= dict.fromkeys("abcdefg", (100, 100))
    photos = {name: AnnotatedImage(Path(name), name, np.zeros((0, 4)), 1.0, True) for name in "abcdefg"}
    found = plan(photos, without=60).images
    files = tiles.assign_to_files(found, 3)
    assert sorted(photo.name for file in files for photo in file) == list("abcdefg")
    assert [len(file) for file in files] == [3, 2, 2]
    again = tiles.assign_to_files(found[::-1], 3)
    assert [[photo.name for photo in file] for file in again] == [[photo.name for photo in file] for file in files]
    # No empty files, and no photos without tiles.
    assert [len(file) for file in tiles.assign_to_files(found, 100)] == [1] * 7
    assert tiles.assign_to_files(plan(photos, without=0).images, 3) == []


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: TileConfig(side_px=100), "side_px"),
        (lambda: TileConfig(displacement_px=0.0), "displacement_px"),
        (lambda: SetConfig("one", -1), "tiles_per_airplane"),
        (lambda: SetConfig("one", 1, -1), "tiles_without"),
    ],
)
def test_settings_that_do_not_fit_are_refused(make: object, named: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=named):
        make()
