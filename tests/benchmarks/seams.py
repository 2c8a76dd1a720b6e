"""What moves when a scene's origin moves: `python -m tests.benchmarks.seams`.

Of each image, windows of one size are scanned as scenes of their own, each with another origin, so that other
airplanes lie at the seams of tiles. What is sure in the first window, and 64 px or more within all, is looked for in
the others. Prints a table of docs/results.md.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine
from pyproj import CRS

from geo.boxes import match
from geo.georef import GeoReference
from geo.raster.writer import write_scene
from geo.types import Detections, ImageArray, Window
from model.common import logs
from model.synthetic import scene

if TYPE_CHECKING:
    from model.inference.predictor import Predictor
    from pipeline.model_loading import ModelSpec

#: A multiple of the model's stride, 32 px, at both levels, 0.5 and 1.25 m, in pixels of a scene of 0.5 m.
STRIDE_PX = 160
WITHIN_PX = 64
SCORE_MARGIN = 0.1
#: Origins (x, y), pixels of the image: those at multiples of the stride, and others.
STRIDES = [(0, STRIDE_PX), (STRIDE_PX, 0), (STRIDE_PX, STRIDE_PX)]
OTHERS = [(1, 0), (7, 13), (16, 16), (37, 5), (64, 20), (100, 99)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    parser.add_argument("--pictures", type=int, default=8, metavar="N", help="of airbus test (default: %(default)s)")
    options = parser.parse_args()
    logs.silence()
    from pipeline.config import load_config
    from pipeline.model_loading import describe_model, load_model

    spec = describe_model(load_config())
    predictor = load_model(spec)
    heads = ("pictures", "origin moved by", "sure airplanes", "found again", "centres by, px", "px of their level")
    print(f"| {' | '.join(heads)} | scores by: mean, 99 %, most |\n{'|---' * 7}|")
    sets = {"rendered": list(rendered()), "airbus test": list(annotated_images(options.data, options.pictures))}
    for name, images in sets.items():
        first = [detect(image, (0, 0), spec, predictor) for image in images]
        for kind, origins in (("the stride", STRIDES), ("other", OTHERS)):
            rows = [
                again(base, detect(image, origin, spec, predictor), image, spec)
                for (image, base), origin in itertools.product(zip(images, first, strict=True), origins)
            ]
            print(f"| {len(images)} {name} | {kind} | {summary(np.concatenate(rows))} |", flush=True)
    return 0


def rendered() -> Iterator[ImageArray]:
    """Airports that are drawn."""
    for seed in (11, 12):
        yield scene.paint_window(scene.render(3000, seed), Window(0, 0, 3000, 3000))


def annotated_images(data: Path, count: int) -> Iterator[ImageArray]:
    """Real images of 0.5 m, with airplanes."""
    from model.data.sources import read_annotated_images

    with_airplanes = (image for image in read_annotated_images(data / "airbus", "test") if len(image.boxes))
    return (image.pixels() for image in itertools.islice(with_airplanes, count))


def detect(image: ImageArray, origin: tuple[int, int], spec: ModelSpec, predictor: Predictor) -> Detections:
    """Return the detections in the window that begins at `origin`, in pixels of the image."""
    from pipeline import local, planning, steps
    from pipeline.values import SceneSource

    x, y = origin
    height, width = (length - STRIDE_PX for length in image.shape[:2])
    pixels = image[y : y + height, x : x + width]
    georef = GeoReference(Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000), CRS.from_epsg(32631))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.tif"
        write_scene(path, width, height, georef, iter([(Window(0, 0, width, height), pixels)]))
        opened = planning.open_scene(SceneSource(str(path)), spec.config)
        merged = steps.merge(list(local.detect_tiles(opened, spec.config, predictor)), spec.config.suppression)
    return Detections(merged.boxes + np.array([x, y, x, y]), merged.scores, merged.resolution_m)


def again(base: Detections, moved: Detections, image: ImageArray, spec: ModelSpec) -> np.ndarray:
    """Of each sure airplane how far its centre moved, pixels, and its score, and its level's scale: (N, 3).

    NaN where it was not found.
    """
    threshold = spec.config.min_score or 0.0
    low = STRIDE_PX + WITHIN_PX
    high = np.array([image.shape[1], image.shape[0]] * 2) - low
    within = (base.boxes >= low).all(axis=1) & (base.boxes <= high).all(axis=1)
    sure = base.take(np.flatnonzero(within & (base.scores >= threshold + SCORE_MARGIN)))
    taken = match(moved.boxes, moved.scores, sure.boxes, 0.5)
    result = np.full((len(sure), 3), math.nan)
    matched = np.flatnonzero(taken >= 0)
    centres = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (moved.boxes[matched], sure.boxes[taken[matched]])]
    result[taken[matched], 0] = np.linalg.norm(centres[0] - centres[1], axis=1)
    result[taken[matched], 1] = np.abs(moved.scores[matched] - sure.scores[taken[matched]])
    result[:, 2] = sure.resolution_m / 0.5
    return result


def summary(rows: np.ndarray) -> str:
    """Four cells of the table."""
    matched = rows[~np.isnan(rows[:, 0])]
    by = matched[:, 1]
    moved, of_level = (
        f"99 %: {np.quantile(away, 0.99):.2f}, most {away.max():.2f}"
        for away in (matched[:, 0], matched[:, 0] / matched[:, 2])
    )
    fraction = f"{len(matched)} ({len(matched) / len(rows):.2%})"
    scores = f"{by.mean():.4f}, {np.quantile(by, 0.99):.3f}, {by.max():.3f}"
    return f"{len(rows)} | {fraction} | {moved} | {of_level} | {scores}"


if __name__ == "__main__":
    sys.exit(main())
