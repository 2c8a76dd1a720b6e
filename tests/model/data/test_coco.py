import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from geo.errors import ConfigError
from model.data import sources
from model.data.labels import AnnotatedImage
from tests.geo.scenes import coordinates, write_tiff

WIDTH, HEIGHT = 40, 30
CATEGORIES = [{"id": 3, "name": "airplane"}, {"id": 5, "name": "truck"}]


def annotation(number: int, **changes: object) -> dict[str, Any]:
    return {"id": number, "image_id": 7, "category_id": 3, "bbox": [2, 4, 10, 6], "iscrowd": 0, **changes}


def write(folder: Path, annotations: list[dict[str, Any]], name: str = "labels.coco.json", **changes: Any) -> Path:
    """Write a set of two images, with ids 7 and 8."""
    folder.mkdir(exist_ok=True, parents=True)
    for image in ("a.png", "b.png"):
        if not any(folder.rglob(image)):
            Image.fromarray(coordinates(WIDTH, HEIGHT)).save(folder / image)
    images = [{"id": 7, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}, {"id": 8, "file_name": "b.png"}]
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES, **changes}
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def read(folder: Path) -> list[AnnotatedImage]:
    return sources.read_annotated_images(folder, "all")


def test_airplanes_are_read_and_the_rest_is_background(tmp_path: Path) -> None:
    annotations = [
        annotation(1),
        annotation(2, category_id=5, bbox=[0, 0, 3, 3]),
        annotation(3, bbox=[20.5, 10, 4, 5.25]),
        annotation(4, bbox=[0, 20, 40, 10], iscrowd=1),
        annotation(5, image_id=8, bbox=[35, 25, 10, 5]),
    ]
    first, second = read(write(tmp_path, annotations))
    assert first.path == tmp_path / "a.png"
    assert first.boxes.tolist() == [[2, 4, 12, 10], [20.5, 10, 24.5, 15.25]]
    assert first.ignored.tolist() == [[0, 20, 40, 30]]
    np.testing.assert_array_equal(first.pixels(), coordinates(WIDTH, HEIGHT))
    # Clipped at the image's edge.
    assert second.boxes.tolist() == [[35, 25, 40, 30]]
    assert second.ignored.shape == (0, 4)


@given(
    st.lists(
        st.tuples(*[st.floats(0, WIDTH - 1), st.floats(0, HEIGHT - 1), st.floats(0.5, WIDTH), st.floats(0.5, HEIGHT)]),
        min_size=1,
        max_size=8,
    )
)
def test_boxes_are_those_of_a_slow_reading(
    tmp_path_factory: pytest.TempPathFactory, boxes: list[tuple[float, ...]]
) -> None:
    folder = write(tmp_path_factory.mktemp("coco"), [annotation(n, bbox=box) for n, box in enumerate(boxes)])
    expected: list[list[float]] = []
    ignored: list[list[float]] = []
    for x, y, width, height in boxes:
        inside = [x, y, min(x + width, WIDTH), min(y + height, HEIGHT)]
        fraction = (inside[2] - x) * (inside[3] - y) / (width * height)
        (expected if fraction >= 0.35 else ignored).append(inside)
    image = read(folder)[0]
    np.testing.assert_allclose(image.boxes, np.array(expected).reshape(-1, 4))
    np.testing.assert_allclose(image.ignored, np.array(ignored).reshape(-1, 4))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("annotations.json", "a.png"),
        ("_annotations.coco.json", "a.png"),  # Roboflow
        ("result.json", "images/a.png"),  # Label Studio
        ("annotations/instances_default.json", "images/default/a.png"),  # CVAT
    ],
)
def test_labels_and_images_are_found_where_tools_write_them(tmp_path: Path, name: str, file: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coordinates(WIDTH, HEIGHT)).save(tmp_path / file)
    image = read(write(tmp_path, [annotation(1)], name))[0]
    assert image.path == tmp_path / file
    assert len(image.boxes) == 1


def test_a_name_with_the_separators_of_windows_is_found(tmp_path: Path) -> None:
    write(tmp_path, [annotation(1)], images=[{"id": 7, "file_name": "images\\c.png"}])
    (tmp_path / "images").mkdir()
    Image.fromarray(coordinates(WIDTH, HEIGHT)).save(tmp_path / "images" / "c.png")
    assert read(tmp_path)[0].path == tmp_path / "images" / "c.png"


def test_copies_of_an_image_are_in_one_split(tmp_path: Path) -> None:
    names = [f"{source}_png.rf.{copy}.png" for source in range(6) for copy in "abc"]
    for name in names:
        Image.fromarray(coordinates(WIDTH, HEIGHT)).save(tmp_path / name)
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    write(tmp_path, [annotation(1)], images=images)
    held_out = {image.path.name[0] for image in sources.read_annotated_images(tmp_path, "val")}
    assert held_out
    assert not held_out & {image.path.name[0] for image in sources.read_annotated_images(tmp_path, "train")}


@pytest.mark.parametrize("name", ["airplane", "Aeroplane", "planes", "AIRCRAFT "])
def test_the_usual_names_of_airplanes_are_known(tmp_path: Path, name: str) -> None:
    categories = [{"id": 3, "name": name}, {"id": 5, "name": "truck"}]
    annotations = [annotation(1), annotation(2, category_id=5)]
    assert len(read(write(tmp_path, annotations, categories=categories))[0].boxes) == 1


def test_a_single_category_is_airplanes(tmp_path: Path) -> None:
    assert len(read(write(tmp_path, [annotation(1)], categories=[{"id": 3, "name": "object"}]))[0].boxes) == 1


def test_categories_of_other_names_must_be_configured(tmp_path: Path) -> None:
    categories = [{"id": 3, "name": "jet"}, {"id": 5, "name": "truck"}, {"id": 6, "name": "glider"}]
    annotations = [annotation(number, category_id=number) for number in (3, 5, 6)]
    write(tmp_path, annotations, categories=categories)
    with pytest.raises(ConfigError, match=r"found glider, jet, truck: .*labels.yaml .*`categories:"):
        read(tmp_path)
    (tmp_path / "labels.yaml").write_text("categories: [jet, glider]")
    assert len(read(tmp_path)[0].boxes) == 2
    (tmp_path / "labels.yaml").write_text("categories: [jet, airliner]")
    with pytest.raises(ConfigError, match=r"expected a category airliner, found glider, jet, truck"):
        read(tmp_path)


def test_the_resolution_is_from_the_image_or_the_setting_or_typical(tmp_path: Path) -> None:
    plain = read(write(tmp_path, [annotation(1)]))[0]
    assert (plain.resolution_m, plain.resolution_known) == (0.5, False)
    (tmp_path / "labels.yaml").write_text("resolution_m: 0.3")
    with_setting = read(tmp_path)[0]
    assert (with_setting.resolution_m, with_setting.resolution_known) == (0.3, True)
    write_tiff(tmp_path / "c.tif", coordinates(WIDTH, HEIGHT))
    placed = read(write(tmp_path, [annotation(1)], images=[{"id": 7, "file_name": "c.tif"}]))[0]
    assert (placed.resolution_m, placed.resolution_known) == (None, True)


@pytest.mark.parametrize(
    ("annotations", "changes", "named"),
    [
        ([], {}, "expected airplanes, found no annotation of category airplane"),
        ([annotation(1, category_id=5)], {}, "expected airplanes, found no annotation of category airplane"),
        ([annotation(1)], {"categories": []}, "expected a category airplane, found none"),
        ([annotation(1), annotation(9, category_id=4)], {}, "annotation 9: expected category_id .* got 4"),
        ([annotation(9, image_id=1)], {}, "annotation 9: expected image_id .* got 1"),
        ([annotation(9, bbox=[3, 3, 0, 5])], {}, "annotation 9: expected a box with an area"),
        ([annotation(9, bbox=[3, 3, 4, 5], iscrowd=1), annotation(1, bbox=[50, 3, 4, 5])], {}, "annotation 1: .*a.png"),
        ([annotation(9, bbox=[3, 3, 4])], {}, "damaged"),
        ([annotation(9, bbox=None)], {}, "damaged"),
        ([annotation(1)], {"images": [{"id": 7, "file_name": "gone.png"}]}, "gone.png"),
        ([annotation(1)], {"images": [{"id": 7, "file_name": "a.png", "width": 80, "height": 60}]}, "80 x 60 px"),
        ([annotation(1)], {"images": [{"id": 7}]}, "damaged"),
        ([annotation(1)], {"images": 3}, "damaged"),
    ],
)
def test_invalid_labels_are_rejected_by_name(
    tmp_path: Path, annotations: list[dict[str, Any]], changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=f"labels.coco.json: .*{named}") as caught:
        read(write(tmp_path, annotations, **changes))
    assert "\n" not in str(caught.value)


def test_an_image_that_exists_twice_is_rejected(tmp_path: Path) -> None:
    for folder in ("east", "west"):
        (tmp_path / folder).mkdir()
        Image.fromarray(coordinates(WIDTH, HEIGHT)).save(tmp_path / folder / "c.png")
    with pytest.raises(ConfigError, match=r"c.png, found .*east/c.png and .*west/c.png"):
        read(write(tmp_path, [annotation(1)], images=[{"id": 7, "file_name": "c.png"}]))
