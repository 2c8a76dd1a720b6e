"""Accuracy through the whole job: `python -m tests.benchmarks.accuracy`.

The test photos of a data set are written as GeoTIFFs in a UTM zone, `pipeline.run` finds their airplanes, and what its
GeoJSON says, in pixels, is compared with the truth. `model.evaluate` measures the same without the job around it.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from affine import Affine
from pyproj import CRS

from geo.georef import GeoReference
from geo.raster.writer import write_scene
from geo.types import Detections, ImageArray, Window
from model.data.sources import Photo, read_photos
from model.evaluation import metrics
from model.evaluation.metrics import Matches
from pipeline.records import Airplane
from pipeline.sinks.geojson import read_geojson

LEAST_SCORE = 0.1
IOUS = (0.5, 0.75)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    parser.add_argument("--set", default="airbus", metavar="NAME")
    parser.add_argument("--work", type=Path, default=Path("out/accuracy"), metavar="DIR")
    options = parser.parse_args()
    photos = read_photos(options.data / options.set, "test")
    folder = options.work / options.set
    folder.mkdir(parents=True, exist_ok=True)
    scenes = {str(written(photo, folder)): photo for photo in photos}
    airplanes = run(folder)
    found = {uri: [airplane for airplane in airplanes if airplane.scene_uri == uri] for uri in scenes}
    for iou in IOUS:
        together = Matches.concatenate([outcomes(found[uri], photo, iou) for uri, photo in scenes.items()])
        average = metrics.average_precision(together)
        text = "no airplanes" if math.isnan(average) else f"AP {average:.3f}"
        print(f"{options.set}: {together.num_images} scenes, {together.num_airplanes} airplanes, IoU {iou}: {text}")
    return 0


def written(photo: Photo, folder: Path) -> Path:
    """The photo as a GeoTIFF of its ground resolution, in the middle of a UTM zone."""
    path = folder / f"{photo.path.stem}.tif"
    if not path.exists():
        pixels = photo.pixels()
        height, width = pixels.shape[:2]
        step = photo.resolution_m
        if step is None:
            raise SystemExit(f"{photo.path}: expected a photo without a georeference, this one has its own")
        georef = GeoReference(Affine(step, 0, 500_000, 0, -step, 5_000_000), CRS.from_epsg(32631))
        write_scene(path, width, height, georef, blocks(pixels))
    return path


def blocks(pixels: ImageArray) -> Iterator[tuple[Window, ImageArray]]:
    height, width = pixels.shape[:2]
    yield Window(0, 0, width, height), pixels


def run(folder: Path) -> list[Airplane]:
    """What the job finds in all scenes of a folder."""
    output = folder.with_suffix(".geojson")
    words = ["--input", str(folder), "--output", str(output), "--min-score", str(LEAST_SCORE)]
    subprocess.run([sys.executable, "-m", "pipeline.run", *words], check=True)
    return list(read_geojson(output))


def outcomes(airplanes: list[Airplane], photo: Photo, iou: float) -> Matches:
    boxes = np.array([(a.xmin_px, a.ymin_px, a.xmax_px, a.ymax_px) for a in airplanes], np.float64).reshape(-1, 4)
    scores = np.array([airplane.score for airplane in airplanes], np.float64)
    height, width = photo.pixels().shape[:2]
    found = Detections(boxes, scores, np.full(len(boxes), np.nan))
    return metrics.match_detections(found, photo.boxes, width, height, iou)


if __name__ == "__main__":
    sys.exit(main())
