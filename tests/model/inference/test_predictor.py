import numpy as np
import pytest

from model.inference.model_folder import WeightsError
from model.inference.predictor import FakePredictor, Predictor, load_predictor


def test_the_fake_detects_bright_rectangles() -> None:
    images = np.full((2, 64, 96, 3), 40, np.uint8)
    images[0, 10:20, 30:50] = 204
    images[0, 40:64, 0:5] = 255
    predictor: Predictor = FakePredictor()
    first, second = predictor(images)
    order = first.boxes[:, 0].argsort()
    assert first.boxes[order].tolist() == [[0, 40, 5, 64], [30, 10, 50, 20]]
    assert first.scores[order].tolist() == [1.0, 0.8]
    assert len(second) == 0


@pytest.mark.parametrize("name", ["no-such-model", "/no/such/folder"])
def test_a_missing_model_is_refused(name: str) -> None:
    with pytest.raises(WeightsError, match=name):
        load_predictor(name, 1, 0.5)
