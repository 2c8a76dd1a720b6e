"""How well airplanes are measured: `python -m tests.benchmarks.outlines`.

Runs the job on photos whose airplanes have points, each as a GeoTIFF, and on rendered scenes that no model was trained
on, and prints a table of docs/results.md: errors of length, wingspan and heading of the airplanes that were detected.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geo.boxes import iou_matrix
from model.data.keypoints import annotated_airplanes
from model.data.sources import RenderedSet, render_scenes
from pipeline.sinks.files import read_geojson
from tests.benchmarks.accuracy import detections, written

if TYPE_CHECKING:
    from pipeline.records import Airplane

RENDERED = (RenderedSet("airport", (7000, 7001), 3000, 0.3), RenderedSet("airport", (7002, 7003), 3000, 0.5))
#: Limits of the sizes that the table tells apart: longer side of the box, pixels of the scene.
SIDES_PX = ((0, 24), (24, 48), (48, 1000))
#: Overlap of a detection with the true box; boxes around points are looser than the detector's.
MIN_IOU = 0.4


@dataclasses.dataclass(frozen=True, slots=True)
class Truth:
    """A true airplane: its box, pixels, and what it measures."""

    box: tuple[float, ...]
    length_m: float
    wingspan_m: float
    heading_deg: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    parser.add_argument("--work", type=Path, default=Path("out/bench/outlines"), metavar="DIR")
    options = parser.parse_args()
    print("| set | side, px | airplanes | measured | heading | reversed | length | wingspan | within sd |")
    print("|---|---|---|---|---|---|---|---|---|")
    folder = options.work / "ucmerced"
    report("ucmerced test", folder, dict(photos(options.data / "ucmerced", folder)))
    for rendered in RENDERED:
        images = render_scenes(rendered, options.work)
        report(rendered.name, images[0].path.parent, {image.path: scene_truth(image.path) for image in images})
    return 0


def photos(data: Path, folder: Path) -> Iterator[tuple[Path, list[Truth]]]:
    """Yield the GeoTIFF of each photo with its airplanes; those that the edge cuts off are not measured."""
    folder.mkdir(parents=True, exist_ok=True)
    for image, airplanes in annotated_airplanes(data, "test"):
        step = image.resolution_m or 0.0
        yield (
            written(image, folder),
            [
                Truth(
                    tuple(airplane["box"]),
                    airplane["length_px"] * step,
                    airplane["wingspan_px"] * step,
                    airplane["heading_deg"],
                )
                for airplane in airplanes
                if not airplane["cut"] and airplane["length_px"] and airplane["wingspan_px"]
            ],
        )


def scene_truth(scene: Path) -> list[Truth]:
    features = json.loads(scene.with_suffix(".truth.geojson").read_text(encoding="utf-8"))["features"]
    rows = [feature["properties"] for feature in features]
    sides = ("xmin_px", "ymin_px", "xmax_px", "ymax_px")
    return [
        Truth(tuple(row[side] for side in sides), row["length_m"], row["wingspan_m"], row["heading_deg"])
        for row in rows
    ]


def report(name: str, folder: Path, truth: dict[Path, list[Truth]]) -> None:
    """Run the job on a folder and print the lines of its table."""
    output = folder.with_suffix(".geojson")
    command = [sys.executable, "-m", "pipeline.run", "--input", str(folder), "--output", str(output)]
    subprocess.run(command, check=True, capture_output=True)
    airplanes = list(read_geojson(output))
    pairs = [
        pair
        for scene, known in truth.items()
        for pair in paired([item for item in airplanes if Path(item.scene_uri).name == scene.name], known)
    ]
    for low, high in SIDES_PX:
        line(f"{name} | {low} to {high}", [pair for pair in pairs if low <= max_side(pair[0]) < high])


def max_side(airplane: Airplane) -> float:
    return max(airplane.xmax_px - airplane.xmin_px, airplane.ymax_px - airplane.ymin_px)


def paired(airplanes: list[Airplane], truth: list[Truth]) -> Iterator[tuple[Airplane, Truth]]:
    """Yield detections with the true airplanes that they overlap the most."""
    if not airplanes or not truth:
        return
    overlaps = iou_matrix(detections(airplanes).boxes, np.array([known.box for known in truth]))
    for airplane, row in zip(airplanes, overlaps, strict=True):
        if row.max() >= MIN_IOU:
            yield airplane, truth[int(row.argmax())]


def line(name: str, pairs: Iterable[tuple[Airplane, Truth]]) -> None:
    """Print a line of the table: medians, shares, and how many of the errors are within the expected one."""
    pairs = list(pairs)
    lengths, wingspans, headings, ratios = [], [], [], []
    for airplane, known in pairs:
        if airplane.length_m is None or airplane.wingspan_m is None:
            continue
        lengths.append(abs(airplane.length_m / known.length_m - 1))
        wingspans.append(abs(airplane.wingspan_m / known.wingspan_m - 1))
        ratios.append(abs(airplane.length_m - known.length_m) / (airplane.length_sd_m or 1))
        ratios.append(abs(airplane.wingspan_m - known.wingspan_m) / (airplane.wingspan_sd_m or 1))
        if airplane.heading_deg is not None:
            headings.append(abs((airplane.heading_deg - known.heading_deg + 180) % 360 - 180))
            ratios.append(headings[-1] / (airplane.heading_sd_deg or 1))
    if not lengths or not headings:
        print(f"| {name} | {len(pairs)} | {len(lengths)} | | | | | |")
        return
    turned = np.array(headings) > 90
    cells = [
        f"{np.median(np.array(headings)[~turned]):.1f}°",
        f"{turned.sum()} of {len(headings)}",
        f"{100 * np.median(lengths):.1f} %",
        f"{100 * np.median(wingspans):.1f} %",
        f"{100 * np.mean(np.array(ratios) < 1):.0f} %",
    ]
    print(f"| {name} | {len(pairs)} | {len(lengths)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
