"""Accuracy through the whole job: `python -m tests.benchmarks.accuracy`.

The test images of a data set are written as GeoTIFFs in a UTM zone, `pipeline.run` detects their airplanes, and its
GeoJSON is compared with the truth, in pixels. With `--evaluate` the evaluation scans the same files, too. Both run
`model.inference.scan`: on the same pixels, with the same minimum score, their figures agree.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from affine import Affine
from pyproj import CRS

from geo.georef import GeoReference
from geo.raster.header import SceneHeader, read_header
from geo.raster.writer import write_scene
from geo.types import Detections, ImageArray, Window
from model.data.labels import AnnotatedImage
from model.data.sources import read_annotated_images
from model.evaluation import metrics
from model.evaluation.metrics import Matches
from model.inference.predictor import load_predictor
from model.inference.scan import scan_all
from pipeline.config import load_config
from pipeline.records import Airplane
from pipeline.sinks.files import read_geojson

#: That of `model.evaluate`: a higher one cuts the tail off the precision-recall curve, and the AP with it.
MIN_SCORE = 0.002
IOUS = (0.5, 0.75)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    parser.add_argument("--set", default="airbus", metavar="NAME")
    parser.add_argument("--images", type=int, metavar="N", help="only the first N images (default: all)")
    parser.add_argument("--evaluate", action="store_true", help="scan images and GeoTIFFs without the job, too")
    parser.add_argument("--work", type=Path, default=Path("out/accuracy"), metavar="DIR")
    options = parser.parse_args()
    annotated = read_annotated_images(options.data / options.set, "test")[: options.images]
    folder = options.work / f"{options.set}-{len(annotated)}"
    folder.mkdir(parents=True, exist_ok=True)
    scenes = [str(written(image, folder)) for image in annotated]
    airplanes = run(folder)
    by_scene = [[airplane for airplane in airplanes if airplane.scene_uri == uri] for uri in scenes]
    report("job, GeoTIFF", annotated, [detections(each) for each in by_scene])
    if options.evaluate:
        report("evaluation, GeoTIFF", annotated, scanned([read_header(uri) for uri in scenes]))
        originals = [read_header(str(image.path), image.resolution_m) for image in annotated]
        report("evaluation, original", annotated, scanned(originals))
    return 0


def report(name: str, images: Sequence[AnnotatedImage], detections: Sequence[Detections]) -> None:
    """Prints the average precision of detections at detected overlap."""
    compared = []
    for detected, image in zip(detections, images, strict=True):
        height, width = image.pixels().shape[:2]
        compared.append(metrics.compare(detected, image.boxes, width, height, IOUS, image.ignored))
    for iou in IOUS:
        together = Matches.concatenate([detected.matches[iou] for detected in compared])
        average = metrics.average_precision(together)
        text = "no airplanes" if math.isnan(average) else f"AP {average:.4f}"
        print(
            f"{name}: {together.num_images} scenes, {together.num_airplanes} airplanes, IoU {iou}: {text}", flush=True
        )


def scanned(headers: Sequence[SceneHeader]) -> list[Detections]:
    """What the evaluation detects."""
    config = load_config()
    predictor = load_predictor(config.model, config.batch_size, MIN_SCORE, precision=config.precision)
    return scan_all(headers, config, predictor, config.batch_size)


def written(image: AnnotatedImage, folder: Path) -> Path:
    """The image as a GeoTIFF of its ground resolution, in the centre of a UTM zone."""
    path = folder / f"{image.path.stem}.tif"
    if not path.exists():
        pixels = image.pixels()
        height, width = pixels.shape[:2]
        step = image.resolution_m
        if step is None:
            raise SystemExit(f"{image.path}: expected a photo without a georeference, this one has its own")
        georef = GeoReference(Affine(step, 0, 500_000, 0, -step, 5_000_000), CRS.from_epsg(32631))
        write_scene(path, width, height, georef, blocks(pixels))
    return path


def blocks(pixels: ImageArray) -> Iterator[tuple[Window, ImageArray]]:
    height, width = pixels.shape[:2]
    yield Window(0, 0, width, height), pixels


def run(folder: Path) -> list[Airplane]:
    """What the job finds in all scenes of a folder."""
    output = folder.with_suffix(".geojson")
    args = ["--input", str(folder), "--output", str(output), "--min-score", str(MIN_SCORE)]
    subprocess.run([sys.executable, "-m", "pipeline.run", *args], check=True)
    return list(read_geojson(output))


def detections(airplanes: Sequence[Airplane]) -> Detections:
    boxes = np.array([(a.xmin_px, a.ymin_px, a.xmax_px, a.ymax_px) for a in airplanes], np.float64).reshape(-1, 4)
    scores = np.array([airplane.score for airplane in airplanes], np.float64)
    return Detections(boxes, scores, np.full(len(boxes), np.nan))


if __name__ == "__main__":
    sys.exit(main())
