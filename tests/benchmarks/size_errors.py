"""What the expected errors of length and wingspan say of a detection: `python -m tests.benchmarks.size_errors`.

The keypoint model expects large errors where there is no airplane. On the val images of `model.evaluate`, each written
as a GeoTIFF, this fits `size_error` of `configs/monitor/default.yaml`: a factor for the odds of a detection. Then it
prints what the factor in those settings changes, on these images and on a test set of a sensor that no model was
trained on.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geo.types import FloatArray
from model.data.sources import read_annotated_images
from model.evaluation import metrics
from pipeline.config import load_config
from pipeline.model_loading import describe_model
from pipeline.monitor.counts import probability
from pipeline.monitor.settings import SizeError, load_settings
from pipeline.sinks.files import read_geojson
from tests.benchmarks.accuracy import detections, written

if TYPE_CHECKING:
    from pipeline.records import Airplane

#: Boxes of small airplanes are loose.
MIN_IOU = 0.4
#: Fitted from this score on: enough of the detections that do not count.
MIN_SCORE = 0.3


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """A detection that was measured, and whether it is an airplane."""

    score: float
    size_px: float
    error: float
    is_airplane: bool

    def probability(self, settings: SizeError | None) -> float:
        return probability(self.score, self.size_px, self.error, settings)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    parser.add_argument("--work", type=Path, default=Path("out/bench/size_errors"), metavar="DIR")
    options = parser.parse_args()
    settings = load_settings().size_error
    if settings is None:
        raise SystemExit("expected size_error in configs/monitor/default.yaml, got none")
    val = [
        row
        for name in ("hrplanes", "aerial_airport", "empty_airbases")
        for row in judged(options.data, name, "val", options.work)
    ]
    large = [row for row in val if row.size_px >= settings.min_px]
    print("fitted:", fitted(large, settings.min_px), "to", len(large), "detections,", false(large), "of them false")
    threshold = describe_model(load_config()).config.min_score or 0.0
    print("| set | airplanes, counted | false, counted | expected number | log loss |")
    print("|---|---|---|---|---|")
    for name, rows in (("val", large), ("airbus test", judged(options.data, "airbus", "test", options.work))):
        for label, used in (("score alone", None), ("with size_error", settings)):
            print(f"| {name}, {label} | {line([row for row in rows if row.score >= threshold], used, threshold)}")
    return 0


def judged(data: Path, name: str, split: str, work: Path) -> list[Judged]:
    """Return the measured detections of a data set; as in the evaluation, those at the edge are left out."""
    folder = work / f"{name}-{split}"
    folder.mkdir(parents=True, exist_ok=True)
    images = read_annotated_images(data / name, split)
    scenes = [str(written(image, folder)) for image in images]
    output = folder.with_suffix(".geojson")
    command = [sys.executable, "-m", "pipeline.run", "--input", str(folder), "--output", str(output)]
    subprocess.run([*command, "--min-score", str(MIN_SCORE)], check=True, capture_output=True)
    by_scene: dict[str, list[Airplane]] = {}
    for airplane in read_geojson(output):
        by_scene.setdefault(airplane.scene_uri, []).append(airplane)
    rows = []
    for uri, image in zip(scenes, images, strict=True):
        own = by_scene.get(uri, [])
        by_box = dict(zip(map(tuple, detections(own).boxes.tolist()), own, strict=True))
        height, width = image.pixels().shape[:2]
        compared = metrics.compare(detections(own), image.boxes, width, height, (MIN_IOU,), image.ignored)
        correct = compared.matches[MIN_IOU].correct.tolist()
        for box, is_airplane in zip(map(tuple, compared.detections.boxes.tolist()), correct, strict=True):
            airplane = by_box[box]
            if airplane.length_sd_m is not None and airplane.wingspan_sd_m is not None:
                error = max(airplane.length_sd_m, airplane.wingspan_sd_m) / airplane.size_m
                rows.append(Judged(airplane.score, max(box[2] - box[0], box[3] - box[1]), error, is_airplane))
    return rows


def fitted(rows: Sequence[Judged], min_px: float) -> SizeError:
    """Return the factor of the highest likelihood."""
    from scipy.optimize import minimize

    def loss(parameters: FloatArray) -> float:
        weight, offset, slope = parameters.tolist()
        return log_loss(rows, SizeError(min_px, max(0.01, weight), offset, min(0.0, slope)))

    best = minimize(loss, np.array([1.0, 0.0, -1.0]), method="Nelder-Mead").x.round(2).tolist()
    return SizeError(min_px, *best)


def log_loss(rows: Sequence[Judged], settings: SizeError | None) -> float:
    chances = np.clip([row.probability(settings) for row in rows], 1e-6, 1 - 1e-6)
    right = np.array([row.is_airplane for row in rows])
    return float(-np.mean(np.log(np.where(right, chances, 1 - chances))))


def false(rows: Sequence[Judged]) -> int:
    return sum(not row.is_airplane for row in rows)


def line(rows: Sequence[Judged], settings: SizeError | None, threshold: float) -> str:
    counted = [row for row in rows if row.probability(settings) >= threshold]
    expected = sum(row.probability(settings) for row in counted)
    return f"{len(counted) - false(counted)} | {false(counted)} | {expected:.1f} | {log_loss(rows, settings):.3f} |"


if __name__ == "__main__":
    sys.exit(main())
