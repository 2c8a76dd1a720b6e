"""The training of the detector: settings, and the run from its first step, or from where it was broken off.

A run lives in its folder: the newest state to go on from, a log, and after every epoch the weights in the form in
which a model is packaged.
"""

import json
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path

import keras

from geo import render
from geo.errors import ConfigError
from model import weights_io
from model.backbones import efficientnet_lite
from model.data import batches, mining, sources
from model.data.crops import CropConfig
from model.detector import DetectorConfig, build
from model.evaluate import read_scan_config
from model.losses import DetectionLoss
from model.live import LivePredictor

# In the run's folder.
_LOG = "log.csv"
_STATE = "state"
_MISTAKES = "mistakes.json"
# Tiles in one call of a model that looks for its mistakes.
_MINING_BATCH = 2


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One data set: the folder's name below `data`, and the share of crops that come from it."""

    set: str
    weight: float

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"weight: expected a number above 0, got {self.weight}")


@dataclass(frozen=True, slots=True)
class RenderedConfig:
    """Sample scenes to train on beside the photos; drawn into the run's folder where they are not there yet.

    Attributes:
        weight: share of the crops, on the scale of the sets' weights.
        seeds: the scenes, one for each seed.
        size_px: side of a scene.
        resolution_m: ground resolutions of a pixel, taken in turn.
    """

    weight: float
    seeds: tuple[int, ...]
    size_px: int = 2400
    resolution_m: tuple[float, ...] = (0.5, 0.35)

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"weight: expected a number above 0, got {self.weight}")
        if not self.seeds:
            raise ValueError("seeds: expected one or more, got none")
        if not self.resolution_m:
            raise ValueError("resolution_m: expected one or more, got none")


@dataclass(frozen=True, slots=True)
class MistakesConfig:
    """More crops from where the model that training starts from is wrong (hard examples).

    Attributes:
        share: of the crops of every set.
        min_score: detections from this score on are false hits where there is no airplane.
    """

    share: float
    min_score: float = 0.3

    def __post_init__(self) -> None:
        for name in ("share", "min_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a number from 0 to 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that a training depends on.

    Attributes:
        name: of the model.
        data: folder of the data sets.
        sources: the sets and their weights.
        run: the run's folder.
        rendered: sample scenes to train on as well.
        start: `imagenet`, or a model to go on from: the name of a packaged one, or a model's folder.
        mistakes: train more on what that model gets wrong in the same photos and scenes.
        scan: the pipeline's settings, by which a model looks at photos.
        frozen_blocks: leading blocks of the backbone that stay as they are.
        batch, steps_per_epoch, epochs: crops a step, steps between two checkpoints, and checkpoints.
        learning_rate, warmup_steps, weight_decay: AdamW's, with linear warm-up and cosine decay to a hundredth.
        ema: momentum of the running mean of all weights over steps; this mean is the model that is kept.
        seed: of weights and crops.
        min_score: recorded with the weights until `model.evaluate` chooses one on dev.
    """

    name: str
    data: Path
    sources: tuple[SourceConfig, ...]
    run: Path
    rendered: RenderedConfig | None = None
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    crops: CropConfig = field(default_factory=CropConfig)
    start: str = "imagenet"
    mistakes: MistakesConfig | None = None
    scan: Path = Path("configs/pipeline/default.yaml")
    frozen_blocks: int = 3
    batch: int = 32
    steps_per_epoch: int = 100
    epochs: int = 10
    learning_rate: float = 2e-3
    warmup_steps: int = 200
    weight_decay: float = 1e-4
    ema: float = 0.998
    seed: int = 1
    min_score: float = 0.5

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("sources: expected one data set or more, got none")
        if self.mistakes and self.start == "imagenet":
            raise ValueError("mistakes: expected a model to start from, whose mistakes they are, got imagenet")
        for name in ("batch", "steps_per_epoch", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number from 1 on, got {getattr(self, name)}")


def train(config: TrainConfig) -> Path:
    """Trains a detector, or goes on training it, and returns the folder of the finished model.

    Raises:
        ConfigError: data that is not there, a run's folder that cannot be made, or a loss that is no number.
        RasterError: a photo that cannot be read.
        WeightsError: `start` names weights that do not fit.
    """
    keras.utils.set_random_seed(config.seed)
    _make_folder(config.run)
    loaded = _load(config)
    model = _start(config)
    loaded = _with_mistakes(loaded, model, config)
    # XLA makes TensorFlow slower on a CPU; JAX is nothing without it.
    model.compile(optimizer=_optimizer(config), loss=DetectionLoss(), jit_compile=keras.backend.backend() == "jax")
    done = _epochs_done(config.run)
    crops = batches.Crops(
        list(loaded.values()),
        config.crops,
        config.batch,
        config.steps_per_epoch,
        config.seed,
        epoch=done,
        mistakes=config.mistakes.share if config.mistakes else 0.0,
    )
    model.fit(
        crops,
        epochs=config.epochs,
        verbose=1 if sys.stdout.isatty() else 2,
        shuffle=False,
        callbacks=[
            _StopAtNoNumber(),
            # The log before the state: what it says of an epoch that the state lacks is cut off before going on.
            keras.callbacks.CSVLogger(str(config.run / _LOG), append=done > 0),
            # Two states: one is whole even if the power fails while the other is written.
            keras.callbacks.BackupAndRestore(str(config.run / _STATE), double_checkpoint=True, delete_checkpoint=False),
            # After the state, which holds the weights themselves, before the model, which is their mean.
            keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
            _Save(config),
        ],
    )
    return config.run / "model"


class _StopAtNoNumber(keras.callbacks.Callback):  # type: ignore[misc]  # Keras publishes no types
    """Ends a training that has gone wild, before anything of it is kept."""

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            raise ConfigError(
                f"the loss is no number from step {batch + 1} of this epoch on: lower learning_rate in the config; "
                "the state of the epoch before is kept"
            )


class _Save(keras.callbacks.Callback):  # type: ignore[misc]  # Keras publishes no types
    """Leaves the model as it stands after every epoch."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.config = config

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002  # Keras passes them by name
        c = self.config
        weights_io.save(c.run / "model", self.model, c.name, c.detector, c.min_score)


def _start(config: TrainConfig) -> keras.Model:
    model = build(config.detector)
    if config.start == "imagenet":
        efficientnet_lite.load_imagenet(model)
    else:
        weights_io.load_into(model, weights_io.resolve(config.start) / weights_io.WEIGHTS_FILE)
    efficientnet_lite.freeze(model, config.frozen_blocks)
    return model


def _optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    steps = config.steps_per_epoch * config.epochs
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / 100,
        decay_steps=max(steps - config.warmup_steps, 1),
        alpha=0.01,
        warmup_target=config.learning_rate,
        warmup_steps=min(config.warmup_steps, steps),
    )
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=config.weight_decay, global_clipnorm=10.0, use_ema=True, ema_momentum=config.ema
    )
    # Shifts are not to shrink.
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def _load(config: TrainConfig) -> dict[str, batches.Source]:
    """What is trained on, by the name of the set."""
    loaded = {source.set: _load_set(config.data / source.set, source.weight) for source in config.sources}
    if config.rendered is not None:
        loaded["rendered"] = _draw(config.rendered, config.run / "rendered")
    return loaded


def _load_set(folder: Path, weight: float) -> batches.Source:
    photos = sources.read_photos(folder, "fit")
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
        predictor = LivePredictor(model, config.name, config.mistakes.min_score)
        scan_config = read_scan_config(config.scan)
        found = {
            name: mining.mine(source.photos, predictor, scan_config, _MINING_BATCH) for name, source in loaded.items()
        }
        mining.write(found, file)
    places = mining.read(file)
    return {name: batches.with_mistakes(source, places[name]) for name, source in loaded.items()}


def _draw(config: RenderedConfig, folder: Path) -> batches.Source:
    """Draws the sample scenes that are not there yet, and reads them."""
    _make_folder(folder)
    for number, seed in enumerate(config.seeds):
        if not (folder / f"{seed}.truth.geojson").is_file():
            resolution_m = config.resolution_m[number % len(config.resolution_m)]
            render.write(render.render(config.size_px, seed, resolution_m), folder / f"{seed}.tif")
    return batches.load(sources.read_rendered(folder), config.weight)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"run: expected a folder that can be made, got {folder}: {error}") from error


def _epochs_done(run: Path) -> int:
    """How many epochs a broken-off run has behind it; its log is cut to these."""
    state, log = run / _STATE / "training_metadata.json", run / _LOG
    done = int(json.loads(state.read_text())["epoch"]) if state.is_file() else 0
    if log.is_file():
        log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[: done + 1]))
    return done
