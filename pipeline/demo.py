"""A first look: `python -m pipeline.demo` draws two airports and finds the airplanes on them.

The scenes are drawn once, with their truth beside them, and stay in DIR/scenes. The main job runs over them with the
packaged model and leaves DIR/airplanes.geojson and DIR/report.html. What was found is compared with the truth.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from geo.matching import match
from geo.types import FloatArray
from model.common import logs
from model.common.command import Parser, command
from pipeline.records import Airplane

SEEDS = (7, 8)
RESOLUTION_M = 0.5
SIZE_PX = 3000
#: Overlap (intersection over union) from which a box is the airplane.
LEAST_IOU = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Tally:
    """How what was found compares with the truth: airplanes there, boxes found, and those that are one of them."""

    there: int
    found: int
    right: int

    def __str__(self) -> str:
        """The tally for people."""
        return (
            f"{self.there} airplanes, {self.found} found, {self.right} of these right: "
            f"recall {_share(self.right, self.there)}, precision {_share(self.right, self.found)}"
        )


@command("error")
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the demo and returns its exit status, which is that of the main job."""
    logs.silence()
    parser = Parser(
        prog="python -m pipeline.demo",
        description="Draws sample airports and finds the airplanes on them.",
        epilog="Every other option goes to python -m pipeline.run.",
    )
    parser.add_argument("--directory", type=Path, default=Path("out/demo"), metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--size", type=int, default=SIZE_PX, metavar="PX", help="side of a scene (default: %(default)s)"
    )
    options, rest = parser.parse_known_args(argv)
    scenes = draw(options.directory / "scenes", options.size)
    return show(options.directory, scenes, rest)


def show(directory: Path, scenes: Sequence[Path], words: Sequence[str]) -> int:
    """Runs the main job over the scenes, prints how well it did, and returns its exit status."""
    from pipeline import run
    from pipeline.sinks.geojson import read_geojson

    output = directory / "airplanes.geojson"
    inputs = [word for scene in scenes for word in ("--input", str(scene))]
    status = run.main([*inputs, "--output", str(output), "--report", str(directory), *words])
    if status:
        return status
    airplanes = read_geojson(output)
    for scene in scenes:
        here = [airplane for airplane in airplanes if airplane.scene_uri == str(scene)]
        print(f"{scene}: {compare(here, _truth(scene))}")
    print(f"The airplanes are in {output}, the report is {directory / 'report.html'}.")
    return status


def draw(folder: Path, size_px: int) -> list[Path]:
    """Returns the sample scenes in `folder`; draws those that are absent, each with its truth beside it.

    Raises:
        FinderError: the size is out of range, or the scenes cannot be written.
    """
    from model import synthetic as render

    scenes = [folder / f"airport-{seed}-{size_px}px.tif" for seed in SEEDS]
    for scene, seed in zip(scenes, SEEDS, strict=True):
        if not (scene.exists() and _truth(scene).exists()):
            print(f"drawing {scene} ...", flush=True)
            render.write(render.render(size_px, seed, RESOLUTION_M), scene)
    return scenes


def compare(airplanes: Sequence[Airplane], truth: Path) -> Tally:
    """Compares the airplanes found in one scene with those that were drawn in it."""
    features = json.loads(truth.read_text(encoding="utf-8"))["features"]
    there = _boxes(feature["properties"] for feature in features)
    found = _boxes({name: getattr(airplane, name) for name in _SIDES} for airplane in airplanes)
    scores = np.array([airplane.score for airplane in airplanes], np.float64)
    taken = match(found, scores, there, LEAST_IOU)
    return Tally(there=len(there), found=len(found), right=int((taken >= 0).sum()))


_SIDES = ("xmin_px", "ymin_px", "xmax_px", "ymax_px")


def _boxes(rows: Iterable[dict[str, float]]) -> FloatArray:
    return np.array([[row[name] for name in _SIDES] for row in rows], np.float64).reshape(-1, 4)


def _truth(scene: Path) -> Path:
    return scene.with_suffix(".truth.geojson")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "-"


if __name__ == "__main__":
    sys.exit(main())
