"""What one sees of a training while it runs: a log, figures and pictures of photos held out, all of it on TensorBoard.

In the run's folder: `log.csv`, a line for every epoch; `val.csv`, a line for every set and look at the val photos; and
`tensorboard`, for `tensorboard --logdir`.
"""

import csv
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tensorboardX import SummaryWriter

from geo.types import ImageArray
from model.data.sources import Photo
from model.evaluation.images import ComparedImage, draw
from model.evaluation.measure import ALL_SETS
from model.evaluation.predictions import predict
from model.evaluation.set_metrics import compute_metrics
from model.inference.predictor import Predictor
from model.inference.scan import MARGIN_PX, ScanConfig
from model.training.config import WatchConfig

LOG = "log.csv"
VAL = "val.csv"
BOARD = "tensorboard"

# Detections below this score are not looked at; a young detector gives any number of them.
LEAST_SCORE = 0.1
# Steps that one point of a curve sums up.
_STEPS = 10

# A set's name and its photos.
Sets = Mapping[str, Sequence[Photo]]


def cut(file: Path, epochs: int) -> None:
    """Drops what a table of the run says of epochs that will be done again, and a line that was never ended."""
    if file.is_file():
        head, *lines = file.read_bytes().splitlines(keepends=True) or [b""]
        kept = [line for line in lines if line.endswith(b"\n") and int(line.split(b",")[0]) < epochs]
        file.write_bytes(b"".join([head, *kept]) if epochs else b"")


def append(file: Path, row: Mapping[str, object]) -> None:
    """Adds a line to a table of the run; the first one brings the columns' names."""
    with file.open("a", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(row))
        if not opened.tell():
            writer.writeheader()
        writer.writerow(row)


@contextmanager
def running_mean(model: keras.Model) -> Iterator[None]:
    """In the block the model has the running mean of its weights; after it, its own again, to the last bit."""
    own = _values(model)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    # In JAX the model now shares the mean's arrays, and using it would use them up: it gets its own.
    _assign(model, _values(model))
    try:
        yield
    finally:
        _assign(model, own)


def _values(model: keras.Model) -> list[NDArray[Any]]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in model.trainable_variables]


def _assign(model: keras.Model, values: Sequence[NDArray[Any]]) -> None:
    for variable, value in zip(model.trainable_variables, values, strict=True):
        variable.assign(value)


class Log(keras.callbacks.Callback):  # type: ignore[misc]  # Keras publishes no types
    """Keeps a line of `log.csv` for every epoch, and the same and finer curves on TensorBoard.

    A line: the crops seen since the training's first step, the seconds that the epoch took and its crops per second,
    the learning rate at its end, and the mean of the loss and of its parts over the epoch.
    """

    def __init__(self, run: Path, board: SummaryWriter, rate: Callable[[int], Any], steps: int, batch: int) -> None:
        super().__init__()
        self.run, self.board, self.rate, self.steps, self.batch = run, board, rate, steps, batch

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002  # Keras passes them by name
        """Starts the clock."""
        self.done = epoch * self.steps
        self.started = time.perf_counter()
        self.point = 0, dict[str, float]()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Adds a point to the curves."""
        steps = batch + 1
        if steps % _STEPS == 0:
            # Keras gives means since the epoch began.
            (before, sums), sums_now = self.point, {name: float(mean) * steps for name, mean in (logs or {}).items()}
            self.point = steps, sums_now
            for name, value in sums_now.items():
                self.board.add_scalar(
                    f"step/{name}", (value - sums.get(name, 0.0)) / (steps - before), self.done + steps
                )
            self.board.add_scalar("step/learning_rate", self._rate(self.done + steps), self.done + steps)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes the epoch down."""
        seconds, done = time.perf_counter() - self.started, self.done + self.steps
        row = {
            "crops": done * self.batch,
            "seconds": round(seconds, 1),
            "crops_per_second": round(self.steps * self.batch / seconds, 2),
            "learning_rate": self._rate(done),
            **{name: float(mean) for name, mean in sorted((logs or {}).items())},
        }
        append(self.run / LOG, {"epoch": epoch, **row})
        for name, value in row.items():
            self.board.add_scalar(f"epoch/{name}", value, done)
        self.board.flush()

    def _rate(self, step: int) -> float:
        return float(keras.ops.convert_to_numpy(self.rate(step)))


def look(
    sets: Sets, predictor: Predictor, config: WatchConfig, scan: ScanConfig, min_score: float
) -> tuple[list[dict[str, object]], dict[str, ImageArray]]:
    """Looks at photos as the pipeline would.

    Args:
        sets: the photos.
        predictor: the detector, for scores from `LEAST_SCORE` on.
        config: how many are drawn.
        scan: levels, tiles and suppression.
        min_score: from which a detection counts as an airplane.

    Returns:
        A row of figures for each set, and one of all together; and pictures (height, width, 3) by set and photo, with
        truth and mistakes, see `model.evaluation.images.draw`.
    """
    predictions = {
        name: predict(photos, predictor, scan, config.batch, margin_px=MARGIN_PX) for name, photos in sets.items()
    }
    compared = {name: each.compare() for name, each in predictions.items()}
    together = [picture for pictures in compared.values() for picture in pictures]
    rows = [_row(name, pictures, min_score) for name, pictures in {**compared, ALL_SETS: together}.items()]
    drawn = {
        f"{name}/{photos[k].path.stem}": draw(compared[name][k], predictions[name].detections[k], min_score)
        for name, photos in sets.items()
        for k in _spread([len(photo.boxes) for photo in photos], config.pictures)
    }
    return rows, drawn


def write(
    rows: Sequence[Mapping[str, object]], pictures: Mapping[str, ImageArray], board: SummaryWriter, step: int
) -> None:
    """Puts figures and pictures on TensorBoard, and the figures on the terminal."""
    for row in rows:
        for name in ("ap50", "ap75", "tile_iou", "mistakes_per_tile"):
            if row[name] is not None:
                board.add_scalar(f"val/{name}/{row['set']}", row[name], step)
        print("val: " + ", ".join(f"{name} {'-' if value is None else value}" for name, value in row.items()))
    for name, picture in pictures.items():
        board.add_image(f"val/{name}", picture, step, dataformats="HWC")
    board.flush()


def _row(name: str, pictures: Sequence[ComparedImage], min_score: float) -> dict[str, object]:
    of = compute_metrics(pictures, min_score)
    return {
        "set": name,
        "pictures": of.pictures,
        "airplanes": of.airplanes,
        "ap50": _rounded(of.ap50),
        "ap75": _rounded(of.ap75),
        "false": of.false,
        "tile_iou": _rounded(of.tile_iou),
        "mistakes_per_tile": _rounded(of.mistakes_per_tile),
    }


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _spread(airplanes: Sequence[int], count: int) -> list[int]:
    """Numbers of photos, evenly over those that have airplanes, or over all where none has."""
    numbers = [k for k, some in enumerate(airplanes) if some] or list(range(len(airplanes)))
    return numbers[:: max(len(numbers) // max(count, 1), 1)][:count]
