"""What every training in Keras needs to be broken off and gone on with, whatever it trains.

A run's folder holds the newest state to go on from, and tables with a line for each epoch (see
`model.training.callbacks`).
"""

import json
import math
from pathlib import Path
from typing import Protocol

import keras

from geo.errors import ConfigError
from model.training import callbacks as watch

# In the run's folder.
_STATE = "state"


def epochs_done(run: Path) -> int:
    """How many epochs a broken-off run has behind it; its tables are cut to these."""
    done = epochs_kept(run)
    if (run / "dev.csv").is_file():  # what the table was called before
        (run / "dev.csv").replace(run / watch.VAL)
    for name in (watch.LOG, watch.VAL):
        watch.cut(run / name, done)
    return done


def epochs_kept(run: Path) -> int:
    """How many epochs the state of a run has behind it."""
    state = run / _STATE / "training_metadata.json"
    return int(json.loads(state.read_text())["epoch"]) if state.is_file() else 0


def keep_state(run: Path) -> keras.callbacks.Callback:
    """The callback that keeps the state after every epoch, and goes on from it.

    It is to be the last one: what the others say of an epoch that the state lacks is dropped before going on.
    """
    # Two states: one is whole even if the power fails while the other is written.
    return keras.callbacks.BackupAndRestore(str(run / _STATE), double_checkpoint=True, delete_checkpoint=False)


class Batches(Protocol):
    """The batches of an epoch: a function of the epoch and their number."""

    epoch: int

    def __len__(self) -> int:
        """How many there are."""


class Turn(keras.callbacks.Callback):  # type: ignore[misc]  # Keras publishes no types
    """Tells the batches and what draws inside of the model (dropout) which epoch it is.

    How often batches are told that an epoch has ended depends on the backend; and what the state keeps of a model does
    not tell how far its draws are.
    """

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002  # Keras passes them by name
        """Sets the epoch."""
        self.batches.epoch = epoch
        weights = {id(variable) for variable in self.model.weights}
        for draws in (variable for variable in self.model.variables if id(variable) not in weights):
            seed, _ = keras.ops.convert_to_numpy(draws.value)
            draws.assign([seed, epoch * len(self.batches)])


class StopAtNoNumber(keras.callbacks.Callback):  # type: ignore[misc]  # Keras publishes no types
    """Ends a training that has gone wild, before anything of it is kept."""

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Looks at the loss.

        Raises:
            ConfigError: it is no number.
        """
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            raise ConfigError(
                f"the loss is no number from step {batch + 1} of this epoch on: lower learning_rate in the config; "
                "the state of the epoch before is kept"
            )
