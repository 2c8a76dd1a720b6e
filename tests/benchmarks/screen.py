"""What screening saves and loses: `python -m tests.benchmarks.screen`.

Scans scenes with and without `screen` in the settings, and prints a table of docs/results.md: a drawn one that is
95 % countryside and town, drawn ones that are all airport, and test images. Lost: found without it and not with it.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geo.boxes import match
from model.common import logs
from tests.benchmarks import scenes
from tests.benchmarks.accuracy import written

if TYPE_CHECKING:
    from model.inference.predictor import Predictor
    from pipeline.config import PipelineConfig
    from pipeline.ledger import SceneResult
    from pipeline.model_loading import ModelSpec

#: Two sizes of a grid of drawn scenes of 5,000 px, of which one is an airport.
ROWS, COLUMNS = 4, 5
SETS = ("airbus", "hrplanes", "aerial_airport")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    parser.add_argument("--work", type=Path, default=Path("out/bench"), metavar="DIR")
    parser.add_argument("--pictures", type=int, default=1000, metavar="N", help="of each set, at most")
    parser.add_argument("--min-score", type=float, default=0.3, metavar="S")
    parser.add_argument("--margin", type=float, default=500.0, metavar="M")
    options = parser.parse_args()
    logs.silence()
    from pipeline.config import Screen, load_config
    from pipeline.model_loading import describe_model, load_model

    plain = describe_model(load_config())
    screened = dataclasses.replace(
        plain, config=dataclasses.replace(plain.config, screen=Screen(options.min_score, options.margin))
    )
    models = load_model(plain), load_model(screened)
    print("| scenes | airplanes | lost | finest tiles | inferred with it | times fewer |")
    print("|---|---|---|---|---|---|")
    airport = scenes.drawn(scenes.PART_PX, options.work)
    large = scenes.together(grid(airport, options.work), options.work / "mostly-empty.vrt")
    report("20 drawn, one an airport", [(airport, large)], plain, screened, models)
    airports = [scenes.drawn(scenes.PART_PX, options.work, seed=seed) for seed in (scenes.SEED, 8, 9)]
    report("3 drawn, all airport", zip(airports, airports, strict=True), plain, screened, models)
    for name in SETS:
        with tempfile.TemporaryDirectory() as folder:
            images = list(pictures_of(options.data / name, Path(folder), options.pictures))
            report(f"{name} test", zip(images, images, strict=True), plain, screened, models)
    return 0


def grid(airport: Path, folder: Path) -> list[list[Path]]:
    """The airport, not in a corner, among countryside and town."""
    others = [
        scenes.drawn(scenes.PART_PX, folder, kind, seed)
        for kind, seed in itertools.product(("countryside", "town"), (1, 2, 3))
    ]
    endless = itertools.cycle(others)
    rows = [[next(endless) for _ in range(COLUMNS)] for _ in range(ROWS)]
    rows[0][0] = airport  # where a VRT of many has its origin: the pixels are those of the airport alone
    return rows


def pictures_of(data: Path, folder: Path, count: int) -> Iterator[Path]:
    from model.data.sources import read_annotated_images

    for image in itertools.islice(read_annotated_images(data, "test"), count):
        if image.resolution_m is not None:
            yield written(image, folder)


def report(
    name: str,
    pairs: Iterable[tuple[Path, Path]],
    plain: ModelSpec,
    screened: ModelSpec,
    models: tuple[Predictor, Predictor],
) -> None:
    """Print a line; of a pair, the first is inferred everywhere and the second is screened."""
    airplanes, lost, tiles, done = 0, 0, 0, 0
    for first, second in pairs:
        everywhere = detect(first, plain, models[0])
        near = detect(second, screened, models[1])
        taken = match(boxes(near), np.array([airplane.score for airplane in near.airplanes]), boxes(everywhere), 0.5)
        airplanes += len(everywhere.airplanes)
        lost += len(everywhere.airplanes) - int((taken >= 0).sum())
        planned, inferred = finest(second, near, screened.config)
        tiles, done = tiles + planned, done + inferred
    fraction = f"{lost / max(1, airplanes):.2%}"
    print(f"| {name} | {airplanes} | {lost} ({fraction}) | {tiles} | {done} | {tiles / max(1, done):.1f} |", flush=True)


def detect(path: Path, spec: ModelSpec, predictor: Predictor) -> SceneResult:
    from pipeline import local, planning
    from pipeline.values import SceneSource

    return local.detect_scene(
        planning.open_scene(SceneSource(str(path)), spec.config), spec.config, predictor, spec.identity
    )


def boxes(result: SceneResult) -> np.ndarray:
    boxes = [(airplane.xmin_px, airplane.ymin_px, airplane.xmax_px, airplane.ymax_px) for airplane in result.airplanes]
    return np.array(boxes, np.float64).reshape(-1, 4)


def finest(path: Path, result: SceneResult, config: PipelineConfig) -> tuple[int, int]:
    """Tiles of the finest level: all, and those that were inferred, by their share of the ground."""
    from geo.grid import plan_tiles
    from pipeline import planning
    from pipeline.values import SceneSource

    opened = planning.open_scene(SceneSource(str(path)), config)
    planned = len(list(plan_tiles(opened.levels[0], config.tiling)))
    entry = result.entry
    return planned, round(planned * entry.km2 / max(1e-9, entry.km2 + entry.km2_coarse))


if __name__ == "__main__":
    sys.exit(main())
