"""The figures and pictures of docs/ladder.md that `model.ablation` does not make.

`python -m tests.benchmarks.ladder tiles --config configs/ablation/talk-short.yaml`: every experiment that is trained
and measured detects airplanes on one rendered tile, at its own threshold; draws it, and prints detected and missed.

`python -m tests.benchmarks.ladder grids --config configs/ablation/talk.yaml`: what share of all tiles' airplanes the
boxes of a grid are taught, before any training; draws that on the same rendered tile, and the tile augmented.

`python -m tests.benchmarks.ladder cost --config configs/ablation/talk.yaml`: times a few steps of every training, and
prints what all of its steps take.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.common import logs
from model.training import backend

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from PIL import Image

    from model.ablation.config import AblationConfig
    from model.data.labels import AnnotatedImage
    from model.detectors.config import GridConfig
    from model.training.config import TrainConfig

# The tile: an apron with eight airplanes. Every experiment is shown on the same one.
SEED, SIZE_PX, RESOLUTION_M = 14, 256, 1.0
# Pixels of a picture for one of the tile.
ENLARGED = 2
QUALITY = 60
# Steps that are timed, after one that is not.
STEPS = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("tiles", "grids", "cost"))
    parser.add_argument("--config", type=Path, required=True, help="a file of configs/ablation/")
    parser.add_argument("--output", type=Path, default=Path("docs/pictures"), metavar="DIR", help="for pictures")
    options = parser.parse_args()
    logs.silence()
    backend.choose("tensorflow")
    from model.ablation.config import AblationConfig, training_configs
    from model.common.config import load_yaml

    config = load_yaml(AblationConfig, options.config)
    options.output.mkdir(parents=True, exist_ok=True)
    if options.what == "tiles":
        draw_tiles(config, options.output)
        return 0
    if options.what == "grids":
        draw_grids(config, options.output)
        return 0
    print("| experiment | seconds a step | steps | hours |\n|---|---|---|---|")
    for name, training in training_configs(config).items():
        seconds, steps = time_step(training), training.steps_per_epoch * training.epochs
        print(f"| {name} | {seconds:.2f} | {steps:,} of {training.batch} | {seconds * steps / 3600:.2f} |", flush=True)
    return 0


def rendered_tile(config: AblationConfig) -> list[AnnotatedImage]:
    """Render the tile, if it is not there yet: a list of one."""
    from model.ablation.config import RENDERED
    from model.data.sources import RenderedSet, render_scenes

    return render_scenes(RenderedSet("airport", (SEED,), SIZE_PX, RESOLUTION_M), config.run / RENDERED)


def save(picture: Image.Image, file: Path) -> None:
    picture.save(file, quality=QUALITY, method=6)


def draw_tiles(config: AblationConfig, output: Path) -> None:
    from PIL import Image

    from model.ablation.config import experiment_folder
    from model.ablation.results import MODEL, TEST_FIGURES, read_figures
    from model.evaluation.images import draw
    from model.evaluation.metrics import find_mistakes
    from model.evaluation.predictions import predict
    from model.inference.predictor import load_predictor
    from model.inference.scan_config import read_scan_config

    images = rendered_tile(config)
    scan = read_scan_config(Path("configs/pipeline/default.yaml"))
    for experiment in config.experiments:
        folder = experiment_folder(config, experiment, experiment.seeds[0])
        if read_figures(folder / TEST_FIGURES, folder / MODEL) is None:
            print(f"{experiment.name}: not measured yet")
            continue
        predictor = load_predictor(str(folder / MODEL), 1, 0.01, precision="auto", engine="auto")
        predictions = predict(images, predictor, scan, 1)
        (compared,) = predictions.compare()
        score = predictor.default_min_score
        mistakes = find_mistakes(compared.detections(score), compared.comparison.airplanes)
        missed, false = int(mistakes.missed.sum()), int(mistakes.false.sum())
        detected = len(mistakes.missed) - missed
        print(f"{experiment.name}: detected {detected}, missed {missed}, false {false}, threshold {score:.2f}")
        picture = Image.fromarray(draw(compared, predictions.detections[0], score))
        save(picture.resize((SIZE_PX * ENLARGED,) * 2), output / f"tile-{experiment.name}.webp")


def draw_grids(config: AblationConfig, output: Path) -> None:
    from PIL import Image, ImageDraw

    from model.ablation.config import training_configs
    from model.data.augment import augment
    from model.evaluation.images import DETECTED, MISSED

    (tile,) = rendered_tile(config)
    pixels = tile.pixels()
    enlarged = Image.fromarray(pixels).resize((SIZE_PX * ENLARGED,) * 2, Image.Resampling.BICUBIC)
    trainings = training_configs(config)
    records = next(training.records for training in trainings.values() if training.records)
    of_all_tiles = record_boxes(records.pattern)
    for name, grid in distinct_grids(trainings).items():
        picture = enlarged.copy()
        canvas = ImageDraw.Draw(picture, "RGBA")
        for line in range(grid.cell_px * ENLARGED, picture.width, grid.cell_px * ENLARGED):
            canvas.line([(line, 0), (line, picture.height)], fill=(255, 255, 255, 120))
            canvas.line([(0, line), (picture.width, line)], fill=(255, 255, 255, 120))
        cells, centres = assigned(tile.boxes, grid)
        for box, is_assigned in zip(tile.boxes * ENLARGED, has_box(tile.boxes, centres), strict=True):
            canvas.rectangle(box.tolist(), outline=DETECTED if is_assigned else MISSED, width=2)
        for cell, centre in zip(cells * ENLARGED, centres * ENLARGED, strict=True):
            canvas.line([tuple(cell), tuple(centre)], fill=(0, 60, 220), width=2)
            canvas.ellipse([*(cell - 3), *(cell + 3)], fill=(0, 60, 220))
        save(picture, output / f"grid-{name}.webp")
        kept = np.concatenate([has_box(boxes, assigned(boxes, grid)[1]) for boxes in of_all_tiles])
        print(f"{name}: {kept.mean():.1%} of the {len(kept):,} airplanes of all tiles have a box", flush=True)
    variants = [augment(pixels, tile.boxes, tile.boxes[:0], np.random.default_rng(seed))[0] for seed in range(8)]
    rows = [np.concatenate(variants[:4], axis=1), np.concatenate(variants[4:], axis=1)]
    augmented = Image.fromarray(np.concatenate(rows))
    save(augmented.resize((augmented.width * 3 // 4, augmented.height * 3 // 4)), output / "augmented.webp")


def distinct_grids(trainings: Mapping[str, TrainConfig]) -> dict[str, GridConfig]:
    """Return the grids of the experiments, each by the first that has it."""
    from model.detectors.config import GridConfig

    grids: dict[tuple[int, int, str], tuple[str, GridConfig]] = {}
    for name, training in trainings.items():
        grid = training.detector
        if isinstance(grid, GridConfig):
            grids.setdefault((grid.grid, grid.boxes, grid.assignment), (name, grid))
    return dict(grids.values())


def record_boxes(pattern: str) -> list[NDArray[np.float64]]:
    """Read the airplanes (N, 4) of every tile."""
    import tensorflow as tf

    from model.data.tfrecord import open_records

    examples = map(tf.train.Example.FromString, open_records(pattern).dataset.as_numpy_iterator())
    return [np.reshape(each.features.feature["boxes"].float_list.value, (-1, 4)) for each in examples]


def assigned(boxes: NDArray[np.float64], grid: GridConfig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return, for every box of the grid that is taught an airplane, the centres of its cell and of that airplane."""
    from model.detectors.grid.losses import PLANE, POSITION, targets

    target = targets(boxes, np.zeros((0, 4)), SIZE_PX, SIZE_PX, grid)
    row, col, slot = np.nonzero(target[..., PLANE])
    cells = np.stack([col, row], axis=1).astype(np.float64) * grid.cell_px + grid.cell_px / 2
    return cells, cells + target[row, col, slot, POSITION].astype(np.float64) * grid.cell_px / 2


def has_box(boxes: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which airplanes (N, 4) have their centre, to a tenth of a pixel, among those that are taught."""
    own = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.asarray((np.abs(own[:, None] - centres[None]).max(axis=2) < 0.1).any(axis=1))


def time_step(config: TrainConfig) -> float:
    """Time a step of a training on random pixels, without reading and augmentation: the median, in seconds."""
    from model.detectors import registry
    from model.training import detector, schedules

    kind, steps = registry.get(config.detector), config.steps_per_epoch * config.epochs
    model = detector._start_model(config)
    schedule = schedules.make_schedule(config.schedule, config.learning_rate, config.warmup_steps, steps)
    model.compile(detector._make_optimizer(config, schedule), kind.loss(), jit_compile=False)
    boxes = np.array([[20.0, 20, 60, 60], [100, 120, 150, 170]])
    target = kind.targets(boxes, np.zeros((0, 4)), 256, 256)
    targets = np.repeat(target[None], config.batch, axis=0).astype(np.float32)
    pixels = np.random.default_rng(1).integers(0, 256, (config.batch, 256, 256, 3), dtype=np.uint8)
    seconds = []
    for _ in range(STEPS + 1):
        began = time.perf_counter()
        model.train_on_batch(pixels, targets)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[1:]))


if __name__ == "__main__":
    sys.exit(main())
