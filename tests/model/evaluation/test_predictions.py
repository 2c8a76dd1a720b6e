import json
from pathlib import Path

import numpy as np
import pytest

from geo.errors import ConfigError
from geo.grid import Tiling
from geo.nms import Suppression
from geo.types import Detections
from model.data.sources import read_annotated_images
from model.evaluation.images import compare_image
from model.evaluation.predictions import (
    DetectionFile,
    ImageReference,
    Predictions,
    assign_detections,
    best_min_score,
    fit_calibration,
    predict,
    read_detection_file,
)
from model.inference.predictor import FakePredictor
from model.inference.scan_config import ScanConfig
from tests.model.evaluation.synthetic_images import detections, evaluation_image, squares
from tests.model.image_sets import AIRPLANES, make_pixels, write_set

CONFIG = ScanConfig(Tiling((0.5, 1.0), tile_px=128, halo_px=16), Suppression(0.5, 0.8))


def test_images_are_processed_in_their_order(tmp_path: Path) -> None:
    write_set(tmp_path / "set", {name: make_pixels(level) for name, level in (("a", 0.7), ("b", 1.0), ("c", 0.8))})
    predictions = predict(read_annotated_images(tmp_path / "set", "test"), FakePredictor(), CONFIG, 2)
    assert [source.image.path.name for source in predictions.images] == ["a.png", "b.png", "c.png"]
    assert [each.scores.max() for each in predictions.detections] == pytest.approx(
        [175 / 255, 250 / 255, 200 / 255], abs=0.01
    )
    for each in predictions.compare():
        assert each.comparison.airplanes.tolist() == [box for box, _ in AIRPLANES]
        assert not np.isnan(each.comparison.airplane_scores).any()


def test_the_threshold_lies_between_the_scores_kept_and_dropped() -> None:
    airplanes = squares(20, 30)
    detected = detections(np.concatenate([airplanes, squares(15, 15) + 75]), np.array([0.9, 0.8, 0.4, 0.3]))
    assert best_min_score([compare_image(evaluation_image("a", airplanes), detected)]) == pytest.approx(0.6)
    lowest = compare_image(evaluation_image("a", airplanes), detections(airplanes, np.array([0.9, 0.8])))
    assert best_min_score([lowest]) == pytest.approx(0.4)


def test_no_threshold_is_chosen_without_airplanes_and_detections() -> None:
    none = detections(np.zeros((0, 4)), np.zeros(0))
    for airplanes, detected in ((squares(20), none), (np.zeros((0, 4)), detections(squares(9), np.array([0.5])))):
        with pytest.raises(ConfigError, match="airplanes and detections"):
            best_min_score([compare_image(evaluation_image("a", airplanes), detected)])


def test_the_calibration_is_fitted_to_all_sets_together() -> None:
    generator = np.random.default_rng(7)
    sets = {}
    for name in ("one", "two"):
        airplanes = squares(*[20] * 30)
        scores = generator.uniform(0.1, 0.9, (40, 30))
        # A detection is on its airplane with a probability of the square of its score, or else beside it.
        beside = (generator.random((40, 30)) > scores**2)[..., None] * 75.0
        sets[name] = Predictions(
            [evaluation_image(f"{name}{n}", airplanes) for n in range(40)],
            [detections(airplanes + beside[n], scores[n]) for n in range(40)],
        )
    fitted = fit_calibration(sets)
    raw = np.linspace(0.2, 0.8, 7)
    np.testing.assert_allclose(fitted.apply(raw, squares(*[20] * 7)), raw**2, atol=0.06)


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


def one_detection(score: float = 0.5) -> Detections:
    return Detections(np.array([[0.0, 0, 10, 10]]), np.array([score]), np.array([np.nan]))


@pytest.mark.parametrize(
    ("content", "reference", "model"),
    [
        (features(OURS | SIDES, OURS | SIDES | {"score": 0.5}), ImageReference("in/a.tif", "0123"), "m@1"),
        ([COCO, COCO | {"score": 0.5}], ImageReference("a.png", ""), "found.json"),
    ],
)
def test_both_formats_are_read(tmp_path: Path, content: object, reference: ImageReference, model: str) -> None:
    file = read_detection_file(written(tmp_path, content))
    assert (file.model, list(file.detections)) == (model, [reference])
    read = file.detections[reference]
    assert read.boxes.tolist() == [[1.5, 2, 11.5, 22]] * 2
    assert read.scores.tolist() == [0.75, 0.5]


def test_detections_of_two_models_are_named_by_their_file(tmp_path: Path) -> None:
    content = features(OURS | SIDES, OURS | SIDES | {"model": "n@2"})
    assert read_detection_file(written(tmp_path, content)).model == "found.json"


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
        ([COCO | {"bbox": [1, 2, 3, float("nan")]}], "not finite"),
        (["a.png"], "str"),
        (17, "int"),
    ],
)
def test_other_content_is_refused_in_one_line(tmp_path: Path, content: object, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        read_detection_file(written(tmp_path, content))
    assert "found.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_images_are_identified_by_fingerprint_path_name_or_stem() -> None:
    paths = ("one/a.png", "two/b.png", "two/c.png", "three/d.png", "four/a.png")
    images = [evaluation_image(path, NONE) for path in paths]
    references = {
        ImageReference("elsewhere/x.tif", "id of four/a.png"): 4,
        ImageReference("one/a.png", "another"): 0,
        ImageReference("b.png", ""): 1,
        ImageReference("written/c.tif", ""): 2,
    }
    scores = np.linspace(0.2, 0.8, len(references))
    file = DetectionFile("m", dict(zip(references, map(one_detection, scores), strict=True)))
    assigned, unknown = assign_detections(file, images)
    assert unknown == 0
    assert {k: each.scores.tolist() for k, each in enumerate(assigned) if len(each)} == {
        k: [score] for k, score in zip(references.values(), scores, strict=True)
    }
    assert len(assigned[3]) == 0


def test_a_name_that_fits_two_images_is_refused() -> None:
    images = [evaluation_image(path, NONE) for path in ("one/a.png", "two/a.png")]
    with pytest.raises(ConfigError, match=r"a\.png.*one/a\.png and two/a\.png"):
        assign_detections(DetectionFile("m", {ImageReference("a.png", ""): one_detection()}), images)


def test_detections_on_unknown_images_are_counted_and_refused_if_all_are() -> None:
    references = (ImageReference("a.png", ""), ImageReference("x.png", ""))
    file = DetectionFile("m", dict.fromkeys(references, one_detection()))
    assigned, unknown = assign_detections(file, [evaluation_image("one/a.png", NONE)])
    assert (len(assigned[0]), unknown) == (1, 1)
    with pytest.raises(ConfigError, match=r"2 others, first a\.png"):
        assign_detections(file, [evaluation_image("one/b.png", NONE)])
    assert assign_detections(DetectionFile("m", {}), [evaluation_image("one/b.png", NONE)])[1] == 0
