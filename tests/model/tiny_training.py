"""A training of seconds: a tiny network on small images, its settings, and what a run leaves.

Imports no TensorFlow, so that processes with another backend start quickly.
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import keras
import numpy as np
import pytest
import safetensors.numpy
import yaml
from keras import layers
from numpy.typing import NDArray

from model import train
from model.detectors.anchor_free import network
from model.detectors.config import DetectorConfig
from model.inference.model_folder import WEIGHTS_FILE
from model.training import detector

EPOCHS, STEPS = 3, 2
SMALL = {
    "name": "small",
    "data": "data",
    "sources": [{"set": "one", "weight": 0.7}, {"set": "two", "weight": 0.3}],
    "run": "run",
    "crops": {"side_px": 64, "size_px": [16, 40]},
    "batch": 2,
    "steps_per_epoch": STEPS,
    "epochs": EPOCHS,
    "warmup_steps": 2,
    "learning_rate": 0.01,
    "ema": 0.7,
    "min_score": 0.3,
}


def tiny_network(_: DetectorConfig, *, folded: bool = False) -> Any:  # as `network.build`
    """A network with the detector's input and output that trains quickly and detects nothing at first."""
    pixels = keras.Input((None, None, 3), name="pixels")
    x = layers.Conv2D(6, 16, strides=4, padding="same", name="patches")(layers.Rescaling(1 / 128, offset=-1)(pixels))
    first = keras.initializers.Constant([-3.0, 1.6, 1.6, 1.6, 1.6])
    cells = layers.Conv2D(5, 1, bias_initializer=first, name="cells")(layers.ReLU(name="relu")(x))
    return keras.Model(pixels, cells, name="detector")


def settings(folder: Path, data: Path, **changes: object) -> Path:
    file = folder / "train.yaml"
    file.write_text(yaml.safe_dump(SMALL | {"data": str(data), "run": str(folder / "run")} | changes))
    return file


@contextmanager
def run_eagerly() -> Iterator[None]:
    """Run TensorFlow tiny_detector: tracing a graph takes longer than these few steps."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@contextmanager
def tiny_detector() -> Iterator[None]:
    """Train the tiny network in place of the detector, tiny_detector."""
    with pytest.MonkeyPatch.context() as patch, run_eagerly():
        patch.setattr(network, "build", tiny_network)
        yield


def trained(folder: Path, data: Path, **changes: object) -> Path:
    """Train the tiny network; return the run's folder."""
    with tiny_detector():
        assert train.main(["--config", str(settings(folder, data, **changes))]) == 0
    return folder / "run"


def state(run: Path) -> dict[str, NDArray[np.floating]]:
    """Read the state of a run: weights, their moving average, and the optimizer's variables."""
    weights: dict[str, NDArray[np.floating]] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            weights[name] = np.asarray(item)

    with h5py.File(run / "state" / "latest.weights.h5") as file:
        file.visititems(keep)
    return weights


def log(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open() as file:
        return list(csv.DictReader(file))


def assert_same(actual: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]]) -> None:
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array, err_msg=name)


class InterruptedTrainingError(Exception):
    """Ends a training."""


def interrupted(folder: Path, data: Path, interrupt: Callable[[pytest.MonkeyPatch], None], **changes: object) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch)
        with pytest.raises(InterruptedTrainingError):
            trained(folder, data, **changes)
    return folder / "run"


def in_the_second_epoch(patch: pytest.MonkeyPatch) -> None:
    steps = iter(range(100))

    def stop(*_: object, **__: object) -> None:
        if next(steps) == STEPS + 1:
            raise InterruptedTrainingError

    patch.setattr(detector._Save, "on_train_batch_begin", stop, raising=False)


def assert_same_run(run: Path, other: Path) -> None:
    assert_same(state(run), state(other))
    assert_same(model_weights(run), model_weights(other))
    assert [row["epoch"] for row in log(run)] == ["0", "1", "2"]
    losses = [[float(row["loss"]) for row in log(folder)] for folder in (run, other)]
    assert losses[0] == losses[1]


def model_weights(run: Path) -> dict[str, NDArray[np.floating]]:
    """Read the weights of the model of a run."""
    return dict(safetensors.numpy.load_file(run / "model" / WEIGHTS_FILE))
