"""The training of the classifier: a run from its first step, or from where it was broken off, and then its test.

A run's folder is that of a detector's training (see `model.training.detector`); `val.csv` has a line for every epoch,
and
`result.json` the figures of the chips to test on, which nothing else looks at.
"""

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tensorboardX import SummaryWriter

from model.common.atomic import make_folder
from model.data import chips
from model.data.chip_batches import Batches
from model.data.chips import Chips, Part
from model.detectors.classifier.network import build
from model.inference import weights_io
from model.training import backend
from model.training import callbacks as watch
from model.training import checkpointing as resuming
from model.training.classifier_config import ClassifierTrainConfig
from model.training.schedules import DecayTo

# In the run's folder.
RESULT = "result.json"
# Chips in one call of the model, where it does not train.
_LOOK_BATCH = 1000


def train(config: ClassifierTrainConfig) -> Path:
    """Trains a classifier, or goes on training it, tests it, and returns the folder of the finished model.

    Raises:
        ConfigError: chips that are not there, a run's folder that cannot be made, or a loss that is no number.
    """
    backend.check(config.backend)
    keras.utils.set_random_seed(config.seed)
    parts = chips.split(chips.read(config.data / chips.FILE), config.split)
    if resuming.epochs_done(config.run) < config.epochs:
        make_folder(config.run)
        _fit(parts, config)
    _test(parts["test"], config)
    return config.run / "model"


def figures(model: keras.Model, some: Chips) -> dict[str, Any]:
    """What a classifier gets right of these chips.

    Returns:
        How many `chips` and `airplanes` there are; `accuracy`, the share of chips that it is right about; `precision`,
        the share of airplanes among those that it takes for one (None if there are none); `recall`, the share of
        airplanes that it takes for one.
    """
    said = airplanes_in(model, some)
    true = some.labels == chips.AIRPLANE
    right = int((said & true).sum())
    return {
        "chips": len(some),
        "airplanes": int(true.sum()),
        "accuracy": _share(int((said == true).sum()), len(some)),
        "precision": _share(right, int(said.sum())),
        "recall": _share(right, int(true.sum())),
    }


def airplanes_in(model: keras.Model, some: Chips) -> Any:
    """Which chips (N,) the classifier takes for an airplane rather than for none."""
    starts = range(0, len(some), _LOOK_BATCH)
    each = [np.asarray(model.predict_on_batch(some.images[k : k + _LOOK_BATCH])) for k in starts]
    return np.concatenate(each).argmax(axis=1) == chips.AIRPLANE


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _fit(parts: dict[Part, Chips], config: ClassifierTrainConfig) -> None:
    """Builds the classifier, and trains it or goes on."""
    model = _compiled(config)
    batches = Batches(parts["train"], config.change, config.batch, config.steps_per_epoch, config.seed)
    done = resuming.epochs_done(config.run) * config.steps_per_epoch
    board = SummaryWriter(str(config.run / watch.BOARD), purge_step=done + 1)
    model.fit(
        batches,
        epochs=config.epochs,
        verbose=1 if sys.stdout.isatty() else 2,
        shuffle=False,
        callbacks=[
            resuming.Turn(batches),
            resuming.StopAtNoNumber(),
            watch.Log(config.run, board, _schedule(config), config.steps_per_epoch, config.batch),
            _Save(config, parts["val"], board),
            resuming.keep_state(config.run),  # at last
        ],
    )
    board.close()


def _compiled(config: ClassifierTrainConfig) -> keras.Model:
    model = build(config.classifier)
    model.compile(
        keras.optimizers.Adam(_schedule(config)),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        # XLA makes TensorFlow slower on a CPU; JAX is nothing without it.
        jit_compile=keras.backend.backend() == "jax",
    )
    # Makes what loss and metrics keep, for which Keras may take a batch otherwise, and serve the others out of order.
    label, probabilities = keras.ops.zeros((1,), "int32"), keras.ops.full((1, 2), 0.5)
    model.compute_loss(y=label, y_pred=probabilities)
    model.compute_metrics(None, label, probabilities)
    return model


class _Save(keras.callbacks.Callback):  # type: ignore[misc]  # Keras publishes no types
    """Leaves the model after every epoch, and looks at the val chips with it."""

    def __init__(self, config: ClassifierTrainConfig, val: Chips, board: SummaryWriter) -> None:
        super().__init__()
        self.config, self.val, self.board = config, val, board

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002  # Keras passes them by name
        c = self.config
        weights_io.save_classifier(c.run / "model", self.model, c.name, c.classifier, c.min_score)
        found = figures(self.model, self.val)
        watch.append(c.run / watch.VAL, {"epoch": epoch} | found)
        self.board.add_scalar("val/accuracy", found["accuracy"], (epoch + 1) * c.steps_per_epoch)
        print("val: " + ", ".join(f"{name} {value}" for name, value in found.items()))


def _schedule(config: ClassifierTrainConfig) -> keras.optimizers.schedules.LearningRateSchedule:
    return DecayTo(config.learning_rate, config.last_learning_rate, config.decay_steps)


def _test(some: Chips, config: ClassifierTrainConfig) -> None:
    """Looks at the chips to test on with the model as it was kept, and writes down what it got right."""
    model, kept = weights_io.load_classifier(config.run / "model")
    found = figures(model, some)
    result = {"model": kept.version, "split": config.split} | found
    (config.run / RESULT).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"test, {config.split} split: " + ", ".join(f"{name} {value}" for name, value in found.items()))
