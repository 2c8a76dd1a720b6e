"""The training of the classifier, resumable, and its test.

The run's folder is like that of a detector's training (see `model.training.detector`); `val.csv` has a line for every
epoch, and `result.json` the figures on the test chips, which nothing else uses.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tensorboardX import SummaryWriter

from model.common.atomic import make_folder
from model.data import chips
from model.data.chips import ChipBatches, Chips, ChipSplit
from model.detectors.classifier import build
from model.inference import weights_io
from model.training import backend, loop
from model.training.config import ClassifierTrainConfig
from model.training.schedules import ExponentialDecay

# In the run's folder.
RESULT = "result.json"
# Chips in one call of the model outside training.
_PREDICT_BATCH = 1000


def train(config: ClassifierTrainConfig) -> Path:
    """Train a classifier, or resume its training, test it, and return the folder of the finished model.

    Raises:
        ConfigError: the chips are missing, the run's folder cannot be created, or the loss is NaN.
    """
    backend.check(config.backend)
    keras.utils.set_random_seed(config.seed)
    splits = chips.split_chips(chips.read_chips(config.data / chips.FILE), config.split)
    if loop.resume_epoch(config.run) < config.epochs:
        make_folder(config.run)
        _fit(splits, config)
    _test(splits["test"], config)
    return config.run / "model"


def measure_classifier(model: keras.Model, some_chips: Chips) -> dict[str, Any]:
    """Measure a classifier on chips.

    Returns:
        The number of `chips` and `airplanes`; `accuracy`, the share of correctly classified chips; `precision`, the
        share of airplanes among the chips classified as one (None if there are none); `recall`, the share of airplanes
        classified as one.
    """
    predicted = predict_airplanes(model, some_chips)
    truth = some_chips.labels == chips.AIRPLANE
    true_positives = int((predicted & truth).sum())
    return {
        "chips": len(some_chips),
        "airplanes": int(truth.sum()),
        "accuracy": _ratio(int((predicted == truth).sum()), len(some_chips)),
        "precision": _ratio(true_positives, int(predicted.sum())),
        "recall": _ratio(true_positives, int(truth.sum())),
    }


def predict_airplanes(model: keras.Model, some_chips: Chips) -> Any:
    """Return which chips (N,) are classified as an airplane."""
    starts = range(0, len(some_chips), _PREDICT_BATCH)
    batches = [np.asarray(model.predict_on_batch(some_chips.images[k : k + _PREDICT_BATCH])) for k in starts]
    return np.concatenate(batches).argmax(axis=1) == chips.AIRPLANE


def _ratio(numerator: int, denominator: int) -> float | None:
    return round(numerator / denominator, 4) if denominator else None


def _fit(splits: dict[ChipSplit, Chips], config: ClassifierTrainConfig) -> None:
    """Build the classifier and fit it."""
    schedule = ExponentialDecay(config.learning_rate, config.last_learning_rate, config.decay_steps)
    model = build(config.classifier)
    model.compile(
        keras.optimizers.Adam(schedule),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        # XLA makes TensorFlow slower on a CPU; JAX depends on it.
        jit_compile=keras.backend.backend() == "jax",
    )
    # Creates the variables of loss and metrics; Keras would take a batch for that, and serve the others out of order.
    label, probabilities = keras.ops.zeros((1,), "int32"), keras.ops.full((1, 2), 0.5)
    model.compute_loss(y=label, y_pred=probabilities)
    model.compute_metrics(None, label, probabilities)
    batches = ChipBatches(splits["train"], config.change, config.batch, config.steps_per_epoch, config.seed)
    loop.fit(model, batches, config, schedule, partial(_Save, config, splits["val"]))


class _Save(keras.callbacks.Callback):  # type: ignore[misc]  # Keras publishes no types
    """Saves the model after every epoch, and measures it on the val chips."""

    def __init__(self, config: ClassifierTrainConfig, val: Chips, board: SummaryWriter) -> None:
        super().__init__()
        self.config, self.val, self.board = config, val, board

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002  # Keras passes them by name
        c = self.config
        weights_io.save_classifier(c.run / "model", self.model, c.name, c.classifier, c.min_score)
        measured = measure_classifier(self.model, self.val)
        loop.append_row(c.run / loop.VAL, {"epoch": epoch} | measured)
        self.board.add_scalar("val/accuracy", measured["accuracy"], (epoch + 1) * c.steps_per_epoch)
        print("val: " + ", ".join(f"{name} {value}" for name, value in measured.items()))


def _test(test: Chips, config: ClassifierTrainConfig) -> None:
    """Measure the saved model on the test chips, and write the result."""
    model, saved = weights_io.load_classifier(config.run / "model")
    measured = measure_classifier(model, test)
    result = {"model": saved.version, "split": config.split} | measured
    (config.run / RESULT).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"test, {config.split} split: " + ", ".join(f"{name} {value}" for name, value in measured.items()))
