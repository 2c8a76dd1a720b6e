"""The training of the detector: a run from its first step, or from where it was broken off.

A run lives in its folder: the newest state to go on from, what is seen of it (see `model.training.callbacks`),
and after every epoch
the weights in the form in which a model is packaged.

The state is the last thing that is kept of an epoch. It holds the weights themselves, the running mean of them and the
optimizer's memory, and a batch is a function of the seed, the epoch and its number. So a training that was broken off
does the broken epoch again, step by step as it was, and ends as an unbroken one: on a CPU to the last bit.
"""

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tensorboardX import SummaryWriter

from geo.errors import ConfigError
from model.common.atomic import make_folder
from model.data import batches, rendered, sources
from model.detectors import INPUT_MULTIPLE, registry
from model.detectors.backbones import efficientnet_lite
from model.inference import weights_io
from model.inference.keras_predictor import KerasPredictor
from model.inference.scan import read_scan_config
from model.training import backend, distribution, schedules
from model.training import callbacks as watch
from model.training import checkpointing as resuming
from model.training import hard_examples as mining
from model.training.config import RecordsConfig, TrainConfig, WatchConfig

# In the run's folder.
_MISTAKES = "mistakes.json"
# Tiles in one call of a model that looks for its mistakes.
_MINING_BATCH = 2


def train(config: TrainConfig) -> Path:
    """Trains a detector, or goes on training it, and returns the folder of the finished model.

    Raises:
        ConfigError: data or devices that are not there, a run's folder that cannot be made, or a loss that is no
            number.
        RasterError: a photo that cannot be read.
        WeightsError: `start` names weights that do not fit.
    """
    backend.check(config.backend)
    keras.utils.set_random_seed(config.seed)
    if resuming.epochs_done(config.run) >= config.epochs:
        return config.run / "model"
    devices = distribution.scope(config.distribution, config.batch)
    loaded = _load(config)
    make_folder(config.run)
    with devices:
        _fit(loaded, config)
    return config.run / "model"


def _fit(loaded: dict[str, batches.Source], config: TrainConfig) -> None:
    """Builds the model, and trains it or goes on."""
    distribution.check_epochs(config.distribution, resuming.epochs_done(config.run))
    kind = registry.get(config.detector)
    model = _start(config)
    # XLA makes TensorFlow slower on a CPU; JAX is nothing without it.
    jit = keras.backend.backend() == "jax"
    metrics = [keras.metrics.MeanMetricWrapper(part, name=name) for name, part in kind.loss_parts.items()]
    model.compile(_optimizer(config), kind.loss(), metrics=metrics, jit_compile=jit)
    _build(model, kind.targets)
    crops = _tiles(config.records, config) if config.records else _crops(_with_mistakes(loaded, model, config), config)
    board = SummaryWriter(str(config.run / watch.BOARD), purge_step=crops.epoch * config.steps_per_epoch + 1)
    model.fit(
        distribution.part(crops, config.distribution),
        epochs=config.epochs,
        verbose=1 if sys.stdout.isatty() else 2,
        shuffle=False,
        callbacks=[
            resuming.Turn(crops),
            resuming.StopAtNoNumber(),
            watch.Log(config.run, board, _schedule(config), config.steps_per_epoch, config.batch),
            _Save(config, board),
            resuming.keep_state(config.run),  # at last
        ],
    )
    board.close()


def _build(model: keras.Model, targets: registry.Targets) -> None:
    """Makes what loss and metrics keep.

    Keras would take a batch for that on JAX, on PyTorch and with several devices, and serve the others out of order.
    """
    nothing = np.zeros((0, 4))
    target = keras.ops.convert_to_tensor(targets(nothing, nothing, INPUT_MULTIPLE, INPUT_MULTIPLE)[None])
    cells = keras.ops.zeros((*target.shape[:3], *model.output_shape[3:]))
    model.compute_loss(y=target, y_pred=cells)
    model.compute_metrics(None, target, cells)


def _crops(loaded: dict[str, batches.Source], config: TrainConfig) -> batches.Crops:
    """The crops from where the run stands, of all machines: each takes its part of a step as a batch of its own."""
    machines = config.distribution.machines
    return batches.Crops(
        list(loaded.values()),
        config.crops,
        config.batch // machines,
        config.steps_per_epoch * machines,
        config.seed,
        registry.get(config.detector).targets,
        epoch=resuming.epochs_done(config.run),
        mistakes=config.mistakes.share if config.mistakes else 0.0,
    )


def _tiles(records: RecordsConfig, config: TrainConfig) -> Any:
    """The tiles from where the run stands, likewise."""
    from model.training.tile_batches import Tiles  # brings TensorFlow, which other backends do without

    machines = config.distribution.machines
    return Tiles(
        records,
        config.batch // machines,
        config.steps_per_epoch * machines,
        config.seed,
        registry.get(config.detector).targets,
        epoch=resuming.epochs_done(config.run),
    )


class _Save(keras.callbacks.Callback):  # type: ignore[misc]  # Keras publishes no types
    """Leaves the model after every epoch, with the running mean of its weights, and looks at it at times."""

    def __init__(self, config: TrainConfig, board: SummaryWriter) -> None:
        super().__init__()
        self.config, self.board = config, board
        self.sets = _val_photos(config, config.watch) if config.watch else {}

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002  # Keras passes them by name
        c = self.config
        with watch.running_mean(self.model):
            weights_io.save(c.run / "model", self.model, c.name, c.detector, c.min_score)
            if c.watch and ((epoch + 1) % c.watch.every == 0 or epoch + 1 == c.epochs):
                self._look(epoch, c.watch)

    def _look(self, epoch: int, config: WatchConfig) -> None:
        c = self.config
        predictor = KerasPredictor(self.model, registry.get(c.detector).decode, c.name, watch.LEAST_SCORE)
        rows, pictures = watch.look(self.sets, predictor, config, read_scan_config(c.scan), c.min_score)
        for row in rows:
            watch.append(c.run / watch.VAL, {"epoch": epoch} | row)
        watch.write(rows, pictures, self.board, (epoch + 1) * c.steps_per_epoch)


def _val_photos(config: TrainConfig, watched: WatchConfig) -> dict[str, list[sources.Photo]]:
    """The photos to look at meanwhile, by set."""
    names = watched.sets or tuple(source.set for source in config.sources)
    read = {name: sources.read_photos(config.data / name, "val") for name in names}
    found = {name: photos for name, photos in read.items() if photos}
    if not found:
        raise ConfigError(f"watch.sets: expected sets with val photos, {', '.join(names)} have none: set watch to null")
    return found


def _start(config: TrainConfig) -> keras.Model:
    model = registry.get(config.detector).build()
    if config.start == "imagenet":
        efficientnet_lite.load_imagenet(model)
    elif config.start != "random":
        folder = weights_io.resolve(config.start)
        weights_io.read_config(folder)  # holds the weights against their digest
        weights_io.load_into(model, folder / weights_io.WEIGHTS_FILE)
    efficientnet_lite.freeze(model, config.frozen_blocks)
    return model


def _schedule(config: TrainConfig) -> keras.optimizers.schedules.LearningRateSchedule:
    steps = config.steps_per_epoch * config.epochs
    return schedules.schedule(config.schedule, config.learning_rate, config.warmup_steps, steps)


def _optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    optimizer = keras.optimizers.AdamW(
        _schedule(config),
        weight_decay=config.weight_decay,
        global_clipnorm=10.0,
        use_ema=True,
        ema_momentum=config.ema,
    )
    # Shifts are not to shrink.
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def _load(config: TrainConfig) -> dict[str, batches.Source]:
    """What is trained on, by the name of the set."""
    loaded = {source.set: _load_set(config.data / source.set, source.weight) for source in config.sources}
    for scenes in config.rendered:
        loaded[scenes.name] = batches.load(rendered.draw(scenes, config.run / "rendered"), scenes.weight)
    return loaded


def _load_set(folder: Path, weight: float) -> batches.Source:
    photos = sources.read_photos(folder, "train")
    if not photos:
        raise ConfigError(f"{folder}: expected photos to train on, found none in its train split")
    return batches.load(photos, weight)


def _with_mistakes(
    loaded: dict[str, batches.Source], model: keras.Model, config: TrainConfig
) -> dict[str, batches.Source]:
    """What is trained on, with the places where `model` is wrong; looked for once, and kept in the run's folder."""
    if config.mistakes is None:
        return loaded
    file = config.run / _MISTAKES
    if not file.is_file():
        decode = registry.get(config.detector).decode
        predictor = KerasPredictor(model, decode, config.name, config.mistakes.min_score)
        scan_config = read_scan_config(config.scan)
        found = {
            name: mining.mine(source.photos, predictor, scan_config, _MINING_BATCH) for name, source in loaded.items()
        }
        mining.write(found, file)
    places = mining.read(file)
    if {name: len(some) for name, some in places.items()} != {name: len(s.photos) for name, s in loaded.items()}:
        raise ConfigError(f"{file}: expected mistakes in the photos of `sources`, got others: remove it to look anew")
    return {name: batches.with_mistakes(source, places[name]) for name, source in loaded.items()}
