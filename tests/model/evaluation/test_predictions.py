from pathlib import Path

import numpy as np
import pytest

from geo.boxes import Suppression
from geo.errors import ConfigError
from geo.grid import Tiling
from model.data.sources import read_photos
from model.evaluation import predictions as look
from model.evaluation.images import compare
from model.evaluation.predictions import Looked
from model.inference.predictor import FakePredictor
from model.inference.scan import ScanConfig
from tests.model.evaluation.made_up import detections, squares, subject
from tests.model.photos import AIRPLANES, picture, write_set

CONFIG = ScanConfig(Tiling((0.5, 1.0), tile_px=128, halo_px=16), Suppression(0.5, 0.8))


def test_pictures_are_looked_at_in_their_order(tmp_path: Path) -> None:
    write_set(tmp_path / "set", {name: picture(level) for name, level in (("a", 0.7), ("b", 1.0), ("c", 0.8))})
    looked = look.look(read_photos(tmp_path / "set", "test"), "set", FakePredictor(), CONFIG, 2)
    assert [subject.photo.path.name for subject in looked.subjects] == ["a.png", "b.png", "c.png"]
    assert [found.scores.max() for found in looked.found] == pytest.approx([175 / 255, 250 / 255, 200 / 255], abs=0.01)
    for each in looked.compared():
        assert each.compared.airplanes.tolist() == [box for box, _ in AIRPLANES]
        assert not np.isnan(each.compared.found_at).any()


def test_the_threshold_lies_between_what_is_kept_and_what_is_not() -> None:
    truth = squares(20, 30)
    found = detections(np.concatenate([truth, squares(15, 15) + 75]), np.array([0.9, 0.8, 0.4, 0.3]))
    assert look.best_min_score([compare(subject("a", truth), found)]) == pytest.approx(0.6)
    lowest = compare(subject("a", truth), detections(truth, np.array([0.9, 0.8])))
    assert look.best_min_score([lowest]) == pytest.approx(0.4)


def test_no_threshold_is_chosen_where_there_is_nothing() -> None:
    none = detections(np.zeros((0, 4)), np.zeros(0))
    for truth, found in ((squares(20), none), (np.zeros((0, 4)), detections(squares(9), np.array([0.5])))):
        with pytest.raises(ConfigError, match="airplanes and detections"):
            look.best_min_score([compare(subject("a", truth), found)])


def test_the_calibration_is_that_of_all_sets_together() -> None:
    generator = np.random.default_rng(7)
    sets = {}
    for name in ("one", "two"):
        truth = squares(*[20] * 30)
        scores = generator.uniform(0.1, 0.9, (40, 30))
        # A detection is on its airplane or beside it, and an airplane the likelier the higher its score.
        beside = (generator.random((40, 30)) > scores**2)[..., None] * 75.0
        sets[name] = Looked(
            [subject(f"{name}{n}", truth) for n in range(40)],
            [detections(truth + beside[n], scores[n]) for n in range(40)],
        )
    found = look.fit_calibration(sets)
    raw = np.linspace(0.2, 0.8, 7)
    np.testing.assert_allclose(found.apply(raw, squares(*[20] * 7)), raw**2, atol=0.06)
