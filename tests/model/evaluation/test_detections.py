import json
from pathlib import Path

import numpy as np
import pytest

from geo.errors import ConfigError
from geo.types import Detections
from model.evaluation.detections import DetectionFile, Source, assign, read_detections
from tests.model.evaluation.made_up import subject

NONE = np.zeros((0, 4))
OURS = {"scene_uri": "in/a.tif", "scene_id": "0123", "score": 0.75, "model": "m@1"}
SIDES = {"xmin_px": 1.5, "ymin_px": 2, "xmax_px": 11.5, "ymax_px": 22}
COCO = {"image_id": "a.png", "category_id": 3, "bbox": [1.5, 2, 10, 20], "score": 0.75}


def written(folder: Path, content: object) -> Path:
    file = folder / "found.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def features(*properties: dict[str, object]) -> dict[str, object]:
    rows = [{"type": "Feature", "geometry": None, "properties": each} for each in properties]
    return {"type": "FeatureCollection", "features": rows}


def one(score: float = 0.5) -> Detections:
    return Detections(np.array([[0.0, 0, 10, 10]]), np.array([score]), np.array([np.nan]))


@pytest.mark.parametrize(
    ("content", "source", "model"),
    [
        (features(OURS | SIDES, OURS | SIDES | {"score": 0.5}), Source("in/a.tif", "0123"), "m@1"),
        ([COCO, COCO | {"score": 0.5}], Source("a.png", ""), "found.json"),
    ],
)
def test_both_forms_say_the_same(tmp_path: Path, content: object, source: Source, model: str) -> None:
    file = read_detections(written(tmp_path, content))
    assert (file.model, list(file.found)) == (model, [source])
    found = file.found[source]
    assert found.boxes.tolist() == [[1.5, 2, 11.5, 22]] * 2
    assert found.scores.tolist() == [0.75, 0.5]


def test_detections_of_two_models_are_called_by_their_file(tmp_path: Path) -> None:
    content = features(OURS | SIDES, OURS | SIDES | {"model": "n@2"})
    assert read_detections(written(tmp_path, content)).model == "found.json"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("no JSON", "JSON"),
        ({"type": "FeatureCollection"}, "features"),
        (features(dict(OURS)), "xmin_px"),
        (features(OURS | SIDES | {"score": None}), "NoneType"),
        (features(OURS | SIDES | {"score": 75}), "0 to 1"),
        ([COCO | {"image_id": 17}], "image_id 17"),
        ([COCO | {"bbox": [1, 2, 3]}], "values"),
        ([COCO | {"bbox": [1, 2, 3, float("nan")]}], "no numbers"),
        (["a.png"], "str"),
        (17, "int"),
    ],
)
def test_what_is_neither_is_refused_in_one_line(tmp_path: Path, content: object, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        read_detections(written(tmp_path, content))
    assert "found.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_picture_is_known_by_fingerprint_path_name_or_stem() -> None:
    subjects = [subject(path, NONE) for path in ("one/a.png", "two/b.png", "two/c.png", "three/d.png", "four/a.png")]
    sources = {
        Source("elsewhere/x.tif", "id of four/a.png"): 4,
        Source("one/a.png", "another"): 0,
        Source("b.png", ""): 1,
        Source("written/c.tif", ""): 2,
    }
    scores = np.linspace(0.2, 0.8, len(sources))
    found, unknown = assign(DetectionFile("m", dict(zip(sources, map(one, scores), strict=True))), subjects)
    assert unknown == 0
    assert {place: each.scores.tolist() for place, each in enumerate(found) if len(each)} == {
        place: [score] for place, score in zip(sources.values(), scores, strict=True)
    }
    assert len(found[3]) == 0


def test_what_fits_two_pictures_is_refused() -> None:
    subjects = [subject(path, NONE) for path in ("one/a.png", "two/a.png")]
    with pytest.raises(ConfigError, match=r"a\.png.*one/a\.png and two/a\.png"):
        assign(DetectionFile("m", {Source("a.png", ""): one()}), subjects)


def test_detections_on_other_pictures_are_counted_and_refused_if_there_are_no_others() -> None:
    file = DetectionFile("m", {Source("a.png", ""): one(), Source("x.png", ""): one()})
    found, unknown = assign(file, [subject("one/a.png", NONE)])
    assert (len(found[0]), unknown) == (1, 1)
    with pytest.raises(ConfigError, match=r"2 others, first a\.png"):
        assign(file, [subject("one/b.png", NONE)])
    assert assign(DetectionFile("m", {}), [subject("one/b.png", NONE)])[1] == 0
