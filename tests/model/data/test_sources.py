import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from geo.errors import ConfigError, OutputError, RasterError
from model.common import config
from model.data import sources
from model.data.sources import RenderedSet, render_scenes
from tests.model.image_sets import AIRPLANES, make_pixels, write_rendered

SPLITS = ("train", "val", "test", "all")
GROUPS = st.lists(st.sampled_from([f"airport {number}" for number in range(30)]), max_size=120)


def annotated(folder: Path, images: list[dict[str, Any]], **more: object) -> Path:
    """Write the annotations of a set, and its missing images."""
    folder.mkdir(exist_ok=True)
    plain = {"image": "x.png", "boxes": [], "split": "train", "group": "a"}
    for image in images:
        file = folder / image.get("image", "x.png")
        if not file.exists():
            Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(file)
    content = {
        "name": "tiny",
        "gsd_m": None,
        "assumed_gsd_m": 0.7,
        "images": [{key: value for key, value in (plain | image).items() if value is not None} for image in images],
        **more,
    }
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@given(GROUPS)
def test_the_val_split_is_whole_groups_and_at_most_a_tenth(groups: list[str]) -> None:
    chosen = sources.val_groups(groups)
    sizes = Counter(groups)
    assert chosen <= sizes.keys()
    taken = sum(sizes[group] for group in chosen)
    assert taken * 10 <= len(groups)
    # No group that is left out would still have fitted.
    assert all((taken + sizes[group]) * 10 > len(groups) for group in sizes.keys() - chosen)


@given(GROUPS, st.randoms(use_true_random=False))
def test_the_val_split_does_not_depend_on_the_order(groups: list[str], random: Any) -> None:
    mixed = list(groups)
    random.shuffle(mixed)
    assert sources.val_groups(mixed) == sources.val_groups(groups)


def test_splits_share_no_group_and_lose_no_image(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    images: list[dict[str, Any]] = []
    for number in range(200):
        group = int(generator.integers(40))
        split = "val" if group % 5 == 0 else "train"
        images.append({"image": f"{number}.png", "group": str(group), "split": split})
    parts = {split: sources.read_annotated_images(annotated(tmp_path, images), split) for split in SPLITS}
    groups = {split: {labelled.group for labelled in part} for split, part in parts.items()}
    assert not groups["train"] & groups["val"]
    assert not (groups["train"] | groups["val"]) & groups["test"]
    paths = {split: {labelled.path for labelled in part} for split, part in parts.items()}
    assert paths["train"] | paths["val"] | paths["test"] == paths["all"]
    assert paths["all"] == {tmp_path / f"{number}.png" for number in range(200)}
    assert paths["test"] == {tmp_path / image["image"] for image in images if image["split"] == "val"}
    assert 0 < len(paths["val"]) <= 0.1 * (len(paths["train"]) + len(paths["val"]))


def test_an_image_has_its_annotations(tmp_path: Path) -> None:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    images: list[dict[str, Any]] = [
        {"image": "one.png", "boxes": [[0, 1, 2.5, 3]], "group": "north"},
        {"image": "grey.png"},
    ]
    colour, grey = sources.read_annotated_images(annotated(tmp_path, images), "all")
    assert colour.group == "north"
    assert colour.boxes.tolist() == [[0.0, 1.0, 2.5, 3.0]]
    assert (colour.resolution_m, colour.resolution_known) == (0.7, False)
    np.testing.assert_array_equal(colour.pixels(), pixels)
    assert grey.boxes.shape == (0, 4)
    np.testing.assert_array_equal(grey.pixels(), np.repeat(pixels[..., :1], 3, axis=2))


def test_a_measured_resolution_is_taken_before_a_typical_one(tmp_path: Path) -> None:
    (image,) = sources.read_annotated_images(annotated(tmp_path, [{}], gsd_m=0.5), "train")
    assert (image.resolution_m, image.resolution_known) == (0.5, True)


def test_an_unknown_split_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="train, val, test, all, got 'every'"):
        sources.read_annotated_images(annotated(tmp_path, [{}]), "every")


def test_a_folder_without_annotations_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match=f"{folder}: .*annotations.json"):
            sources.read_annotated_images(folder, "train")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "3",
        "{}",
        '{"name": "x", "assumed_gsd_m": 1, "images": [{"image": "a.png"}]}',
        '{"name": "x", "gsd_m": null, "assumed_gsd_m": null, "images": []}',
        '{"name": "x", "gsd_m": 1, "images": [{"image": "a", "group": "b", "split": "val", "boxes": [[1]]}]}',
    ],
)
def test_damaged_annotations_are_refused_by_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "annotations.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=str(file)) as caught:
        sources.read_annotated_images(tmp_path, "test")
    assert "\n" not in str(caught.value)


def test_rendered_scenes_are_a_test_set(tmp_path: Path) -> None:
    folder = write_rendered(tmp_path / "scenes", {"b": make_pixels(), "a": make_pixels(0.5)})
    first, second = sources.read_annotated_images(folder, "test")
    assert [first.path, second.path] == [folder / "a.tif", folder / "b.tif"]
    assert first.group != second.group
    assert first.boxes.tolist() == [box for box, _ in AIRPLANES]
    assert (first.resolution_m, first.resolution_known) == (None, True)
    np.testing.assert_array_equal(second.pixels(), make_pixels())
    assert all(sources.read_annotated_images(folder, split) == [] for split in ("train", "val"))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"features": [{}]}',
        '{"features": [{"properties": {"xmin_px": 1}}]}',
        '{"features": [{"properties": {"xmin_px": "a", "ymin_px": 0, "xmax_px": 1, "ymax_px": 1}}]}',
    ],
)
def test_a_damaged_truth_of_a_scene_is_refused_by_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.truth.geojson"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=str(file)):
        sources.read_annotated_images(tmp_path, "test")


def test_a_file_that_is_no_image_is_rejected_by_name(tmp_path: Path) -> None:
    (tmp_path / "words.png").write_text("no picture")
    with pytest.raises(RasterError, match=r"words.png"):
        sources.read_annotated_images(annotated(tmp_path, [{"image": "words.png"}]), "train")


def test_a_missing_image_is_rejected_by_name(tmp_path: Path) -> None:
    annotated(tmp_path, [{"image": "gone.png"}])
    (tmp_path / "gone.png").unlink()
    with pytest.raises(ConfigError, match=r"annotations.json: .*gone.png"):
        sources.read_annotated_images(tmp_path, "train")


def test_a_truncated_image_is_rejected_by_name(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "half.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "half.png").read_bytes()[:3000])
    (image,) = sources.read_annotated_images(annotated(tmp_path, [{"image": "half.png"}]), "train")
    with pytest.raises(RasterError, match=r"half.png"):
        image.pixels()


@pytest.mark.parametrize(
    ("image", "named"),
    [
        ({"boxes": [[1, 1, 5, 5], [4, 4, 4, 8]]}, r"box 2 of x.png: expected a box with an area"),
        ({"boxes": [[5, 1, 4, 8]]}, "box 1 of x.png: expected a box with an area"),
        ({"boxes": [[1, 1, float("nan"), 8]]}, "box 1 of x.png: expected a box with an area"),
        ({"boxes": [[9, 1, 12, 8]]}, r"box 1 of x.png: expected a box in x.png \(9 x 9 px\)"),
        ({"width": 18, "height": 9}, r"x.png: expected an image of 18 x 9 px, got one of 9 x 9"),
    ],
)
def test_boxes_that_do_not_fit_their_image_are_rejected(tmp_path: Path, image: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        sources.read_annotated_images(annotated(tmp_path, [image]), "train")
    assert "\n" not in str(caught.value)


def test_boxes_are_clipped_at_the_edge_and_ignored_if_mostly_outside(
    tmp_path: Path,
) -> None:
    boxes = [[-1, 2, 3, 5], [8, 8, 14, 14], [1, 1, 2, 2]]
    (image,) = sources.read_annotated_images(annotated(tmp_path, [{"boxes": boxes}]), "train")
    assert image.boxes.tolist() == [[0, 2, 3, 5], [1, 1, 2, 2]]
    assert image.ignored.tolist() == [[8, 8, 9, 9]]


@pytest.mark.parametrize(("count", "held_out"), [(1, 0), (2, 1), (4, 1), (5, 1), (20, 4)])
def test_labels_without_splits_are_cut_by_name(tmp_path: Path, count: int, held_out: int) -> None:
    images: list[dict[str, Any]] = [{"image": f"{n}.png", "split": None, "group": None} for n in range(count)]
    parts = {split: sources.read_annotated_images(annotated(tmp_path, images), split) for split in SPLITS}
    names = {split: {labelled.path.name for labelled in part} for split, part in parts.items()}
    assert len(names["val"]) == held_out
    assert names["train"] | names["val"] == names["all"] == {image["image"] for image in images}
    assert not names["train"] & names["val"]
    assert not names["test"]
    annotated(tmp_path, images[::-1])
    assert {labelled.path.name for labelled in sources.read_annotated_images(tmp_path, "val")} == names["val"]


def test_images_to_hold_out_can_be_named(tmp_path: Path) -> None:
    images = [{"image": f"{n}.png", "split": None, "group": "east" if n < 2 else None} for n in range(6)]
    (annotated(tmp_path, images) / "labels.yaml").write_text("val: [0.png, 4.png]")
    # With its whole group.
    assert [image.path.name for image in sources.read_annotated_images(tmp_path, "val")] == ["0.png", "1.png", "4.png"]
    (tmp_path / "labels.yaml").write_text("val: [9.png]")
    with pytest.raises(ConfigError, match=r"labels.yaml: val: .*9.png"):
        sources.read_annotated_images(tmp_path, "val")


def test_a_former_key_of_the_settings_works_and_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [{"image": f"{n}.png", "split": None, "group": None} for n in range(6)]
    (annotated(tmp_path, images) / "labels.yaml").write_text("dev: [0.png, 4.png]")
    config._report_former.cache_clear()
    for _ in range(2):
        assert [image.path.name for image in sources.read_annotated_images(tmp_path, "val")] == ["0.png", "4.png"]
    assert capsys.readouterr().err == "config: 'dev' is now called 'val'; the former name still works\n"


@pytest.mark.parametrize(("labelled", "split"), [("dev", "val"), ("val", "test"), ("test", "test"), ("train", "train")])
def test_splits_of_labels_are_mapped(tmp_path: Path, labelled: str, split: str) -> None:
    images = [{"image": f"{n}.png", "split": labelled if n == 3 else "train", "group": f"{n}"} for n in range(9)]
    annotated(tmp_path, images)
    assert "3.png" in [image.path.name for image in sources.read_annotated_images(tmp_path, split)]
    assert len(sources.read_annotated_images(tmp_path, "train")) == (9 if labelled == "train" else 8)


def test_val_of_labels_with_a_test_split_is_val(tmp_path: Path) -> None:
    annotated(tmp_path, [{"image": f"{name}.png", "split": name} for name in ("train", "val", "test")])
    for split in ("train", "val", "test"):
        assert [image.path.name for image in sources.read_annotated_images(tmp_path, split)] == [f"{split}.png"]


def test_settings_of_labels_that_are_unknown_are_refused(tmp_path: Path) -> None:
    for text, named in (("gsd: 1", "unknown key gsd"), ("resolution_m: 0", "resolution_m"), ("val: []", "val")):
        (annotated(tmp_path, [{}]) / "labels.yaml").write_text(text)
        with pytest.raises(ConfigError, match=f"labels.yaml: {named}"):
            sources.read_annotated_images(tmp_path, "train")


def test_two_kinds_of_labels_in_one_folder_are_refused(tmp_path: Path) -> None:
    coco: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    geojson: dict[str, Any] = {"type": "FeatureCollection", "features": []}
    (tmp_path / "a.json").write_text(json.dumps(coco))
    for name, content in (("b.geojson", geojson), ("b.json", coco)):
        (tmp_path / name).write_text(json.dumps(content))
        with pytest.raises(ConfigError, match=f"{tmp_path}: .*a.json and {name}"):
            sources.read_annotated_images(tmp_path, "train")
        (tmp_path / name).unlink()


def test_invalid_json_is_rejected_with_the_name_of_the_file(tmp_path: Path) -> None:
    for text in (b"{", b"\xff\xfe\x00", b"[" * 100_000):
        (tmp_path / "a.geojson").write_bytes(text)
        with pytest.raises(ConfigError, match=r"a.geojson: expected labels as JSON") as caught:
            sources.read_annotated_images(tmp_path, "train")
        assert "\n" not in str(caught.value)


SMALL = RenderedSet("airport", (3, 5), size_px=300, resolution_m=2.0)


def test_scenes_are_rendered_once_and_read_with_their_truth(tmp_path: Path) -> None:
    images = render_scenes(SMALL, tmp_path)
    assert [image.path.name for image in images] == ["3.tif", "5.tif"]
    assert all(image.resolution_known and image.path.is_file() for image in images)
    times = [image.path.stat().st_mtime_ns for image in images]
    more = render_scenes(RenderedSet("airport", (5, 3, 8), size_px=300, resolution_m=2.0), tmp_path)
    assert [image.path.name for image in more] == ["3.tif", "5.tif", "8.tif"]
    assert [image.path.stat().st_mtime_ns for image in more[:2]] == times
    # Others in the folder are not of the set.
    assert [image.path.name for image in render_scenes(SMALL, tmp_path)] == ["3.tif", "5.tif"]


@pytest.mark.parametrize("scene", ["countryside", "town"])
def test_scenes_without_an_airport_have_no_airplanes(tmp_path: Path, scene: str) -> None:
    (image,) = render_scenes(RenderedSet(scene, (3,), size_px=300, resolution_m=2.0), tmp_path)  # type: ignore[arg-type]
    assert len(image.boxes) == 0


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        render_scenes(SMALL, tmp_path / "file")


def test_an_incomplete_scene_is_rendered_again(tmp_path: Path) -> None:
    (image, _) = render_scenes(SMALL, tmp_path)
    image.path.unlink()
    assert render_scenes(SMALL, tmp_path)[0].path.is_file()
