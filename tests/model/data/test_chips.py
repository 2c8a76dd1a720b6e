from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.errors import ConfigError
from model.data import chips
from model.data.augment import orient_chips
from model.data.chips import AugmentConfig, ChipBatches, Chips, SplitMethod
from tests.model.data import made_up_chips
from tests.model.data.made_up_chips import some_images

REAL = Path("../shared/data") / chips.FILE
SPLITS: tuple[SplitMethod, ...] = ("random", "scene")


def numbered(scenes: list[str]) -> Chips:
    """Chips whose first pixel encodes their number."""
    numbers = np.arange(len(scenes))
    images = np.zeros((len(scenes), 20, 20, 3), np.uint8)
    images[:, 0, 0] = np.stack([numbers // 65536, numbers // 256 % 256, numbers % 256], axis=-1)
    return Chips(images, numbers % 2, np.array(scenes, dtype="U22"))


def numbers_of(subset: Chips) -> list[int]:
    return [int(number) for number in subset.images[:, 0, 0].astype(int) @ (65536, 256, 1)]


@st.composite
def scenes(draw: st.DrawFn) -> list[str]:
    """A scene for each of 1 to 300 chips, of 1 to 12 days."""
    names = st.builds(lambda day, frame: f"201705{day:02}_1807{frame:02}_0f12", st.integers(1, 12), st.integers(0, 4))
    return draw(st.lists(names, min_size=1, max_size=300))


@given(scenes(), st.sampled_from(SPLITS))
def test_every_chip_is_in_one_split_with_its_label_and_scene(names: list[str], by: SplitMethod) -> None:
    parts = chips.split_chips(numbered(names), by)
    assert set(parts) == {"train", "val", "test"}
    assert sorted(number for part in parts.values() for number in numbers_of(part)) == list(range(len(names)))
    for part in parts.values():
        assert part.scenes.tolist() == [names[number] for number in numbers_of(part)]
        assert part.labels.tolist() == [number % 2 for number in numbers_of(part)]


@given(scenes())
def test_by_scene_no_scene_and_no_day_is_in_two_splits(names: list[str]) -> None:
    parts = chips.split_chips(numbered(names), "scene").values()
    days = [{scene[:8] for scene in part.scenes} for part in parts]
    assert sum(map(len, days)) == len(set().union(*days))


@given(scenes(), st.sampled_from(SPLITS))
def test_the_same_chips_are_split_alike(names: list[str], by: SplitMethod) -> None:
    first, second = (chips.split_chips(numbered(names), by) for _ in range(2))
    assert {part: numbers_of(subset) for part, subset in first.items()} == {
        part: numbers_of(subset) for part, subset in second.items()
    }


def test_at_random_the_sizes_are_exact_and_the_chips_are_mixed() -> None:
    parts = chips.split_chips(numbered([f"201705{number % 31:02}_1" for number in range(3200)]), "random")
    assert {part: len(subset) for part, subset in parts.items()} == {"test": 500, "val": 200, "train": 2500}
    for subset in parts.values():
        assert 0.4 < subset.labels.mean() < 0.6
        assert len(np.unique(subset.scenes)) == 31


def test_split_sizes_by_scene_are_within_a_day() -> None:
    parts = chips.split_chips(numbered([f"2017{number % 100:04}_1" for number in range(3200)]), "scene")
    assert abs(len(parts["test"]) - 500) < 32
    assert abs(len(parts["val"]) - 200) < 32


def test_a_file_round_trips(tmp_path: Path) -> None:
    chips_read = chips.read_chips(made_up_chips.write(tmp_path, 40) / chips.FILE)
    with np.load(tmp_path / chips.FILE) as content:
        assert (chips_read.images == content["images"]).all()
        assert (chips_read.labels == content["labels"]).all()
        assert chips_read.scenes.tolist() == [made_up_chips.SCENES[scene] for scene in content["scene"]]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"images": np.zeros((40, 21, 20, 3), np.uint8)}, "21"),
        ({"images": np.zeros((40, 20, 20, 3), np.float32)}, "float32"),
        ({"images": np.zeros((39, 20, 20, 3), np.uint8)}, "39"),
        ({"labels": None}, "labels"),
        ({"scene_ids": np.array([{}])}, "allow_pickle"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    file = made_up_chips.write(tmp_path, 40) / chips.FILE
    with np.load(file) as content:
        changed = {**content, **change}
    np.savez(file, **{name: array for name, array in changed.items() if array is not None})
    with pytest.raises(ConfigError, match=rf"planesnet\.npz: expected .*{named}") as caught:
        chips.read_chips(file)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--data"):
        chips.read_chips(tmp_path / chips.FILE)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ConfigError, match=r"broken\.npz"):
        chips.read_chips(tmp_path / "broken.npz")


@pytest.mark.skipif(not REAL.is_file(), reason="the data sets are absent")
def test_the_real_chips_are_split_as_the_talk_splits_them() -> None:
    every = chips.read_chips(REAL)
    at_random, by_scene = (chips.split_chips(every, by) for by in SPLITS)
    assert {part: len(subset) for part, subset in at_random.items()} == {"test": 5000, "val": 2000, "train": 25000}
    for part, subset in at_random.items():
        assert len(by_scene[part]) == pytest.approx(len(subset), rel=0.1)
        for each in (subset, by_scene[part]):
            assert each.labels.mean() == pytest.approx(0.25, abs=0.05)
    assert set(at_random["test"].scenes) & set(at_random["train"].scenes)
    assert not set(by_scene["test"].scenes) & (set(by_scene["train"].scenes) | set(by_scene["val"].scenes))


BOTH = AugmentConfig(orientation=True, hue=0.3)


def batches(config: AugmentConfig = BOTH, seed: int = 1, count: int = 50) -> ChipBatches:
    chips = Chips(some_images(count), np.arange(count), np.full(count, "scene"))
    return ChipBatches(chips, config, batch=8, steps=3, seed=seed)


def test_a_batch_depends_on_seed_epoch_and_number_alone() -> None:
    first, second = batches(), batches()
    first.epoch = second.epoch = 4
    _ = second[0]
    for actual, again in zip(first[2], second[2], strict=True):
        np.testing.assert_array_equal(actual, again)
    drawn = [first[2][0], first[1][0], batches(seed=2)[2][0]]
    first.epoch = 5
    drawn.append(first[2][0])
    assert len({images.tobytes() for images in drawn}) == 4


def test_chips_without_augmentation_keep_their_labels() -> None:
    source, served = some_images(50), batches(AugmentConfig())
    assert len(served) == 3
    for number in range(3):
        images, labels = served[number]
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(images, source[labels])


def test_every_chip_is_served() -> None:
    served = batches(AugmentConfig())
    drawn = [label for served.epoch in range(40) for number in range(3) for label in served[number][1]]
    counts = np.bincount(drawn, minlength=50)
    assert counts.min() > 0
    assert counts.max() < 5 * counts.mean()


def test_batches_have_every_orientation_if_configured() -> None:
    source, served = some_images(1), batches(AugmentConfig(orientation=True), count=1)
    drawn = {image.tobytes() for number in range(20) for image in served[number][0]}
    assert drawn == {image.tobytes() for image in orient_chips(np.repeat(source, 8, axis=0), np.arange(8))}


def test_a_negative_hue_is_rejected() -> None:
    with pytest.raises(ValueError, match="hue"):
        AugmentConfig(hue=-0.1)
