"""Resumable trainings in Keras: the run's folder, its state, and the fit with all callbacks.

A run's folder holds the newest state to resume from, and tables with a line for each epoch (see
`model.training.callbacks`).
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import keras
from tensorboardX import SummaryWriter

from model.training import callbacks
from model.training.callbacks import EpochBatches
from model.training.config import ClassifierTrainConfig, KeypointTrainConfig, TrainConfig

# In the run's folder.
_STATE = "state"
_FORMER_FILES = {"dev.csv": callbacks.VAL, "mistakes.json": "hard_examples.json"}


def resume_epoch(run: Path) -> int:
    """Return the number of epochs that an interrupted run has completed; truncates its tables to these."""
    for former, name in _FORMER_FILES.items():
        if (run / former).is_file():
            (run / former).replace(run / name)
    completed = epochs_completed(run)
    for name in (callbacks.LOG, callbacks.VAL):
        callbacks.truncate_table(run / name, completed)
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
    with SummaryWriter(str(config.run / callbacks.TENSORBOARD), purge_step=first_step) as board:
        model.fit(
            batches if dataset is None else dataset,
            epochs=config.epochs,
            verbose=1 if sys.stdout.isatty() else 2,
            shuffle=False,
            callbacks=[
                callbacks.SetEpoch(batches),
                callbacks.StopAtNaN(),
                callbacks.TrainingLog(config.run, board, schedule, config.steps_per_epoch, config.batch),
                make_save(board),
                # Last: what the others write of an epoch that the state lacks is dropped when a run is resumed. Two
                # states: one stays intact if the power fails while the other is written.
                keras.callbacks.BackupAndRestore(
                    str(config.run / _STATE), double_checkpoint=True, delete_checkpoint=False
                ),
            ],
        )
