"""The demo: `python -m pipeline.demo` renders two sample airports and detects the airplanes on them.

The scenes are rendered once, with their ground truth beside them, into DIR/scenes. The main job processes them with
the packaged model and writes DIR/airplanes.geojson and DIR/report.html; its detections are compared with the truth.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from geo.boxes import match
from geo.types import FloatArray
from model.common import logs
from model.common.command import Parser, command
from pipeline.records import Airplane

SEEDS = (7, 8)
RESOLUTION_M = 0.5
SIZE_PX = 3000
#: Intersection over union from which a detection matches an airplane.
MIN_IOU = 0.5

_SIDES = ("xmin_px", "ymin_px", "xmax_px", "ymax_px")


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """Counts of one scene: airplanes in the ground truth, detections, and correct detections."""

    airplanes: int
    detections: int
    correct: int

    def __str__(self) -> str:
        """Return the counts with recall and precision, as one line."""
        return (
            f"{self.airplanes} airplanes, {self.detections} detections, {self.correct} of these correct: "
            f"recall {_ratio(self.correct, self.airplanes)}, precision {_ratio(self.correct, self.detections)}"
        )


@command("error")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit status, which is that of the main job."""
    logs.silence()
    parser = Parser(
        prog="python -m pipeline.demo",
        description="Renders sample airports and detects the airplanes on them.",
        epilog="All other options are passed to python -m pipeline.run.",
    )
    parser.add_argument("--directory", type=Path, default=Path("out/demo"), metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--size", type=int, default=SIZE_PX, metavar="PX", help="side of a scene (default: %(default)s)"
    )
    options, rest = parser.parse_known_args(argv)
    scenes = render_scenes(options.directory / "scenes", options.size)
    return process_scenes(options.directory, scenes, rest)


def process_scenes(directory: Path, scenes: Sequence[Path], argv: Sequence[str]) -> int:
    """Run the main job on the scenes, print recall and precision, and return its exit status."""
    from pipeline import run
    from pipeline.sinks.files import read_geojson

    output = directory / "airplanes.geojson"
    inputs = [argument for scene in scenes for argument in ("--input", str(scene))]
    status = run.main([*inputs, "--output", str(output), "--report", str(directory), *argv])
    if status:
        return status
    airplanes = read_geojson(output)
    for scene in scenes:
        detected = [airplane for airplane in airplanes if airplane.scene_uri == str(scene)]
        print(f"{scene}: {compare(detected, _truth_file(scene))}")
    return status


def render_scenes(folder: Path, size_px: int) -> list[Path]:
    """Return the sample scenes in `folder`; renders missing ones, each with its ground truth beside it.

    Raises:
        FinderError: the size is out of range, or the scenes cannot be written.
    """
    from model import synthetic

    scenes = [folder / f"airport-{seed}-{size_px}px.tif" for seed in SEEDS]
    for scene, seed in zip(scenes, SEEDS, strict=True):
        if not (scene.exists() and _truth_file(scene).exists()):
            print(f"rendering {scene} ...", flush=True)
            synthetic.write(synthetic.render(size_px, seed, RESOLUTION_M), scene)
    return scenes


def compare(detected: Sequence[Airplane], truth_file: Path) -> Comparison:
    """Compare the detections of one scene with its ground truth."""
    features = json.loads(truth_file.read_text(encoding="utf-8"))["features"]
    truth = _boxes(feature["properties"] for feature in features)
    boxes = _boxes({name: getattr(airplane, name) for name in _SIDES} for airplane in detected)
    scores = np.array([airplane.score for airplane in detected], np.float64)
    matches = match(boxes, scores, truth, MIN_IOU)
    return Comparison(airplanes=len(truth), detections=len(boxes), correct=int((matches >= 0).sum()))


def _boxes(rows: Iterable[dict[str, float]]) -> FloatArray:
    return np.array([[row[name] for name in _SIDES] for row in rows], np.float64).reshape(-1, 4)


def _truth_file(scene: Path) -> Path:
    return scene.with_suffix(".truth.geojson")


def _ratio(count: int, total: int) -> str:
    return f"{count / total:.2f}" if total else "-"


if __name__ == "__main__":
    sys.exit(main())
