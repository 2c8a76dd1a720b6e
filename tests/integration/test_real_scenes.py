"""Real georeferenced scenes: every labelled airplane is detected at its position."""

import json
from pathlib import Path

import numpy as np
import pytest

import pipeline
from geo.raster.header import read_header
from geo.types import FloatArray
from pipeline.config import DEFAULT_CONFIG
from tests.precisions import PRECISIONS

SCENES = Path(__file__).resolve().parents[3] / "shared" / "data" / "scenes"

# Distance between the centres of the labelled and the detected box; these airplanes are 34 to 44 m long.
_FARTHEST_M = 2.5

pytestmark = pytest.mark.skipif(not SCENES.is_dir(), reason=f"the real scenes are not here: {SCENES}")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["hamburg", "milwaukee"])
def test_every_labelled_airplane_is_detected(name: str, precision: str, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(DEFAULT_CONFIG.read_text().replace("precision: auto", f"precision: {precision}"))
    scene = SCENES / f"{name}.tif"
    labelled = np.array(json.loads((SCENES / f"{name}_boxes.json").read_text()), np.float64)
    frame = pipeline.detect(scene, config=str(settings))
    detected = frame[["xmin_px", "ymin_px", "xmax_px", "ymax_px"]].to_numpy()
    georef = read_header(str(scene)).georef
    assert georef is not None
    for centre in centres(labelled):
        metres = georef.ground_distance_m(np.repeat(centre[None], len(detected), axis=0), centres(detected))
        assert metres.min() <= _FARTHEST_M


def centres(boxes: FloatArray) -> FloatArray:
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2)
