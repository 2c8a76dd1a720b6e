"""The training loop: fitting with callbacks, resuming from checkpoints, tables, and validation of the model.

A run's folder holds the newest state to resume from; `log.csv`, a line for every epoch; `val.csv`, a line for every set
and validation; and `tensorboard`, for `tensorboard --logdir`.
"""

import csv
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray
from tensorboardX import SummaryWriter

from geo.errors import ConfigError
from geo.types import ImageArray
from model.data.labels import AnnotatedImage
from model.evaluation.images import ComparedImage, draw
from model.evaluation.measure import ALL_SETS
from model.evaluation.predictions import predict
from model.evaluation.set_metrics import compute_metrics
from model.inference.predictor import Predictor
from model.inference.scan_config import ScanConfig
from model.training.config import CallbacksConfig, ClassifierTrainConfig, KeypointTrainConfig, TrainConfig

LOG = "log.csv"
VAL = "val.csv"
TENSORBOARD = "tensorboard"
# Detections below this score are dropped; an untrained detector returns any number of them.
MIN_SCORE = 0.1
# Steps whose mean is one point of a curve.
_STEPS_PER_POINT = 10
# In the run's folder.
_STATE = "state"
_FORMER_FILES = {"dev.csv": VAL, "mistakes.json": "hard_examples.json"}


class EpochBatches(Protocol):
    """The batches of an epoch: a function of the epoch and their number."""

    epoch: int

    def __len__(self) -> int:
        """Return the number of batches."""


def truncate_table(file: Path, epochs: int) -> None:
    """Drop the lines of a table from this epoch on, which will be repeated, and a line that was not completed."""
    if file.is_file():
        head, *lines = file.read_bytes().splitlines(keepends=True) or [b""]
        complete = [line for line in lines if line.endswith(b"\n") and int(line.split(b",")[0]) < epochs]
        file.write_bytes(b"".join([head, *complete]) if epochs else b"")


def append_row(file: Path, row: Mapping[str, object]) -> None:
    """Append a line to a table; the first one is preceded by the names of the columns."""
    with file.open("a", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(row))
        if not opened.tell():
            writer.writeheader()
        writer.writerow(row)


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Give the model the moving average of its weights for the block; restores its own, bit for bit."""
    own = _values(model)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    # On JAX the model now shares the arrays of the average, and using it would consume them: copy them.
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


class SetEpoch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras publishes no types
    """Sets the epoch of the batches and of the seed generators inside the model (dropout).

    How often Keras notifies a dataset of an epoch's end depends on the backend, and a checkpoint does not restore how
    far the seed generators are.
    """

    def __init__(self, batches: EpochBatches) -> None:
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002  # Keras passes them by name
        """Set the epoch."""
        self.batches.epoch = epoch
        weights = {id(variable) for variable in self.model.weights}
        for state in (variable for variable in self.model.variables if id(variable) not in weights):
            seed, _ = keras.ops.convert_to_numpy(state.value)
            state.assign([seed, epoch * len(self.batches)])


class StopAtNaN(keras.callbacks.Callback):  # type: ignore[misc]  # Keras publishes no types
    """Ends a diverged training with an error, before anything of the epoch is saved; Keras' own ends it silently."""

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Check the loss.

        Raises:
            ConfigError: the loss is NaN or infinite.
        """
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            raise ConfigError(
                f"the loss is NaN from step {batch + 1} of this epoch on: lower learning_rate in the config; "
                "the state of the epoch before is kept"
            )


class TrainingLog(keras.callbacks.Callback):  # type: ignore[misc]  # Keras publishes no types
    """Writes a line of `log.csv` for every epoch, and the same and finer curves for TensorBoard.

    A line: the crops since the training's first step, the seconds that the epoch took and its crops per second, the
    learning rate at its end, and the mean of the loss and of its parts over the epoch.
    """

    def __init__(self, run: Path, board: SummaryWriter, rate: Callable[[int], Any], steps: int, batch: int) -> None:
        super().__init__()
        self.run, self.board, self.rate, self.steps, self.batch = run, board, rate, steps, batch

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002  # Keras passes them by name
        """Start the clock."""
        self.done = epoch * self.steps
        self.started = time.perf_counter()
        self.point = 0, dict[str, float]()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Add a point to the curves every few steps."""
        steps = batch + 1
        if steps % _STEPS_PER_POINT == 0:
            # Keras passes means since the epoch began.
            (before, sums), sums_now = self.point, {name: float(mean) * steps for name, mean in (logs or {}).items()}
            self.point = steps, sums_now
            for name, value in sums_now.items():
                self.board.add_scalar(
                    f"step/{name}", (value - sums.get(name, 0.0)) / (steps - before), self.done + steps
                )
            self.board.add_scalar("step/learning_rate", self._rate(self.done + steps), self.done + steps)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the line of the epoch."""
        seconds, done = time.perf_counter() - self.started, self.done + self.steps
        row = {
            "crops": done * self.batch,
            "seconds": round(seconds, 1),
            "crops_per_second": round(self.steps * self.batch / seconds, 2),
            "learning_rate": self._rate(done),
            **{name: float(mean) for name, mean in sorted((logs or {}).items())},
        }
        append_row(self.run / LOG, {"epoch": epoch, **row})
        for name, value in row.items():
            self.board.add_scalar(f"epoch/{name}", value, done)
        self.board.flush()

    def _rate(self, step: int) -> float:
        return float(keras.ops.convert_to_numpy(self.rate(step)))


def validate(
    sets: Mapping[str, Sequence[AnnotatedImage]],
    predictor: Predictor,
    config: CallbacksConfig,
    scan: ScanConfig,
    min_score: float,
) -> tuple[list[dict[str, object]], dict[str, ImageArray]]:
    """Measure a detector on images, scanned as the pipeline would.

    Args:
        sets: the images, by name of their set.
        predictor: the detector, for scores from `MIN_SCORE` on.
        config: how many images are drawn.
        scan: levels, tiles and suppression.
        min_score: from which a detection counts as an airplane.

    Returns:
        A row of metrics for each set, and one for all together; and pictures (height, width, 3) by set and image, with
        truth and errors, see `model.evaluation.images.draw`.
    """
    predictions = {name: predict(images, predictor, scan, config.batch) for name, images in sets.items()}
    compared = {name: predicted.compare() for name, predicted in predictions.items()}
    together = [picture for pictures in compared.values() for picture in pictures]
    rows = [_make_row(name, pictures, min_score) for name, pictures in {**compared, ALL_SETS: together}.items()]
    drawings = {
        f"{name}/{images[k].path.stem}": draw(compared[name][k], predictions[name].detections[k], min_score)
        for name, images in sets.items()
        for k in _spread([len(image.boxes) for image in images], config.pictures)
    }
    return rows, drawings


def write_validation(
    rows: Sequence[Mapping[str, object]], pictures: Mapping[str, ImageArray], board: SummaryWriter, step: int
) -> None:
    """Write metrics and images for TensorBoard, and print the metrics."""
    for row in rows:
        for name in ("ap50", "ap75", "tile_iou", "mistakes_per_tile"):
            if row[name] is not None:
                board.add_scalar(f"val/{name}/{row['set']}", row[name], step)
        print("val: " + ", ".join(f"{name} {'-' if value is None else value}" for name, value in row.items()))
    for name, picture in pictures.items():
        board.add_image(f"val/{name}", picture, step, dataformats="HWC")
    board.flush()


def _make_row(name: str, pictures: Sequence[ComparedImage], min_score: float) -> dict[str, object]:
    measured = compute_metrics(pictures, min_score)
    return {
        "set": name,
        "pictures": measured.pictures,
        "airplanes": measured.airplanes,
        "ap50": _round(measured.ap50),
        "ap75": _round(measured.ap75),
        "false": measured.false,
        "tile_iou": _round(measured.tile_iou),
        "mistakes_per_tile": _round(measured.mistakes_per_tile),
    }


def _round(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _spread(airplanes: Sequence[int], count: int) -> list[int]:
    """Return indices spread evenly over the images with airplanes, or over all where none has any."""
    indices = [k for k, number in enumerate(airplanes) if number] or list(range(len(airplanes)))
    return indices[:: max(len(indices) // max(count, 1), 1)][:count]


def resume_epoch(run: Path) -> int:
    """Return the number of epochs that an interrupted run has completed; truncates its tables to these."""
    for former, name in _FORMER_FILES.items():
        if (run / former).is_file():
            (run / former).replace(run / name)
    completed = epochs_completed(run)
    for name in (LOG, VAL):
        truncate_table(run / name, completed)
    return completed


def epochs_completed(run: Path) -> int:
    """Return the number of epochs in the state of a run."""
    state = run / _STATE / "training_metadata.json"
    return int(json.loads(state.read_text())["epoch"]) if state.is_file() else 0


def fit(
    model: keras.Model,
    batches: EpochBatches,
    config: TrainConfig | ClassifierTrainConfig | KeypointTrainConfig,
    schedule: keras.optimizers.schedules.LearningRateSchedule,
    make_save: Callable[[SummaryWriter], keras.callbacks.Callback],
    dataset: keras.utils.PyDataset | None = None,
) -> None:
    """Fit a compiled model for the remaining epochs, with log, TensorBoard and checkpoints.

    Args:
        model: the model.
        batches: the batches of all machines.
        config: the settings.
        schedule: the learning rate by step, for the log.
        make_save: makes the callback that saves and validates the model after an epoch.
        dataset: the batches of this machine, where several train together.

    Raises:
        ConfigError: the loss is NaN.
    """
    first_step = resume_epoch(config.run) * config.steps_per_epoch + 1
    with SummaryWriter(str(config.run / TENSORBOARD), purge_step=first_step) as board:
        model.fit(
            batches if dataset is None else dataset,
            epochs=config.epochs,
            verbose=1 if sys.stdout.isatty() else 2,
            shuffle=False,
            callbacks=[
                SetEpoch(batches),
                StopAtNaN(),
                TrainingLog(config.run, board, schedule, config.steps_per_epoch, config.batch),
                make_save(board),
                # Last: what the others write of an epoch that the state lacks is dropped when a run is resumed. Two
                # states: one stays intact if the power fails while the other is written.
                keras.callbacks.BackupAndRestore(
                    str(config.run / _STATE), double_checkpoint=True, delete_checkpoint=False
                ),
            ],
        )
