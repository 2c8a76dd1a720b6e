"""What one sees of a training while it runs: a log, figures and pictures of photos held out, all of it on TensorBoard.

In the run's folder: `log.csv`, a line for every epoch; `dev.csv`, a line for every set and look at the dev part; and
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
from PIL import Image, ImageDraw
from tensorboardX import SummaryWriter

from geo.raster import read_header
from geo.types import Detections, ImageArray
from model import metrics
from model.data.sources import Photo
from model.metrics import Outcomes
from model.predictor import Predictor
from model.scan import ScanConfig, scan_all
from model.training_config import WatchConfig

LOG = "log.csv"
DEV = "dev.csv"
BOARD = "tensorboard"

# Overlaps at which detections are compared with the truth.
_IOUS = (0.5, 0.75)
# Detections below this score are not looked at; a young detector gives any number of them.
LEAST_SCORE = 0.1
# Steps that one point of a curve sums up.
_STEPS = 10
# Pictures are cut to at most this side.
_SIDE_PX = 640
_TRUTH_COLOUR, _FOUND_COLOUR = (0, 230, 0), (255, 0, 255)

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
        A row of figures for each set, and one of all together; and pictures (height, width, 3) by set and photo.
    """
    found = {name: _scan(photos, predictor, scan, config.batch) for name, photos in sets.items()}
    outcomes = {name: _outcomes(photos, found[name]) for name, photos in sets.items()}
    outcomes["together"] = [Outcomes.concatenate(some) for some in zip(*outcomes.values(), strict=True)]
    rows = [_row(name, some, min_score) for name, some in outcomes.items()]
    pictures = {
        f"{name}/{photos[k].path.stem}": drawn(photos[k], found[name][k], min_score)
        for name, photos in sets.items()
        for k in _spread([len(photo.boxes) for photo in photos], config.pictures)
    }
    return rows, pictures


def drawn(photo: Photo, found: Detections, min_score: float) -> ImageArray:
    """A photo around its first airplane, with its airplanes (green) and what was found (magenta, with scores).

    Returns:
        (height, width, 3), at most 640 pixels high and wide.
    """
    pixels = photo.pixels()
    size = np.array(pixels.shape[1::-1])
    centre = (photo.boxes[0, :2] + photo.boxes[0, 2:]) / 2 if len(photo.boxes) else size / 2
    x, y = np.clip(centre - _SIDE_PX / 2, 0, np.maximum(size - _SIDE_PX, 0)).astype(int)
    image = Image.fromarray(pixels[y : y + _SIDE_PX, x : x + _SIDE_PX])
    canvas = ImageDraw.Draw(image)
    for box in photo.boxes - (x, y, x, y):
        canvas.rectangle(tuple(box), outline=_TRUTH_COLOUR)
    for box, score in zip(found.boxes - (x, y, x, y), found.scores, strict=True):
        if score >= min_score:
            canvas.rectangle(tuple(box), outline=_FOUND_COLOUR)
            canvas.text((box[0], box[3]), f"{score:.2f}", fill=_FOUND_COLOUR)
    return np.asarray(image)


def write(
    rows: Sequence[Mapping[str, object]], pictures: Mapping[str, ImageArray], board: SummaryWriter, step: int
) -> None:
    """Puts figures and pictures on TensorBoard, and the figures on the terminal."""
    for row in rows:
        for name in ("ap50", "ap75"):
            if row[name] is not None:
                board.add_scalar(f"dev/{name}/{row['set']}", row[name], step)
        print("dev: " + ", ".join(f"{name} {'-' if value is None else value}" for name, value in row.items()))
    for name, picture in pictures.items():
        board.add_image(f"dev/{name}", picture, step, dataformats="HWC")
    board.flush()


def _scan(photos: Sequence[Photo], predictor: Predictor, config: ScanConfig, batch: int) -> list[Detections]:
    return scan_all((read_header(str(photo.path), photo.resolution_m) for photo in photos), config, predictor, batch)


def _outcomes(photos: Sequence[Photo], found: Sequence[Detections]) -> list[Outcomes]:
    """What became of the detections of a set, for each overlap."""
    each: list[Mapping[float, Outcomes]] = []
    for photo, some in zip(photos, found, strict=True):
        header = read_header(str(photo.path), photo.resolution_m)
        each.append(metrics.compare(some, photo.boxes, header.width, header.height, _IOUS, photo.ignored).outcomes)
    return [Outcomes.concatenate([outcomes[iou] for outcomes in each]) for iou in _IOUS]


def _row(name: str, outcomes: Sequence[Outcomes], min_score: float) -> dict[str, object]:
    loose, tight = outcomes
    return {
        "set": name,
        "pictures": loose.pictures,
        "airplanes": loose.truths,
        "ap50": _rounded(metrics.average_precision(loose)),
        "ap75": _rounded(metrics.average_precision(tight)),
        "false": metrics.at_threshold(loose, min_score).wrong,
    }


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _spread(airplanes: Sequence[int], count: int) -> list[int]:
    """Numbers of photos, evenly over those that have airplanes, or over all where none has."""
    numbers = [k for k, some in enumerate(airplanes) if some] or list(range(len(airplanes)))
    return numbers[:: max(len(numbers) // max(count, 1), 1)][:count]
