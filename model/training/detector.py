"""The training of the detector, resumable.

A run's folder holds the newest state to resume from, log and validations (see `model.training.loop`), and after
every epoch the weights in the form in which a model is packaged.

The state is the last thing that is saved of an epoch. It holds the weights themselves, their moving average and the
optimizer's variables, and a batch is a function of the seed, the epoch and its number. So an interrupted training
repeats its last epoch, step by step as it was, and ends as an uninterrupted one: on a CPU bit for bit.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tensorboardX import SummaryWriter

from geo.boxes import iou_matrix
from geo.errors import ConfigError
from geo.raster.header import read_header
from geo.types import Detections, FloatArray, ImageArray
from model.common.atomic import make_folder, write_atomically
from model.data import sources
from model.data.crops import CropBatches, TrainingSet
from model.data.labels import AnnotatedImage
from model.detectors import INPUT_MULTIPLE, backbones, registry
from model.detectors.registry import Decode
from model.inference import model_folder, weights_io
from model.inference.cells import tile_detections
from model.inference.predictor import Predictor
from model.inference.scan import scan_all
from model.inference.scan_config import ScanConfig, read_scan_config
from model.training import backend, distribution, loop, schedules
from model.training.config import CallbacksConfig, RecordsConfig, TrainConfig

# In the run's folder.
_HARD_EXAMPLES = "hard_examples.json"
# Tiles in one call of a model that is run to find hard examples.
_MINING_BATCH = 2
# A detection whose IOU with every airplane is below this is a false positive; between the two only its box is off.
_FALSE_IOU = 0.1
_DETECTED_IOU = 0.5


def train(config: TrainConfig) -> Path:
    """Train a detector, or resume its training, and return the folder of the finished model.

    Raises:
        ConfigError: data or devices are missing, the run's folder cannot be created, or the loss is NaN.
        RasterError: an image cannot be read.
        WeightsError: `start` names weights that do not fit.
    """
    backend.check(config.backend)
    keras.utils.set_random_seed(config.seed)
    if loop.resume_epoch(config.run) >= config.epochs:
        return config.run / "model"
    devices = distribution.scope(config.distribution, config.batch)
    sets = _load_sets(config)
    make_folder(config.run)
    with devices:
        _fit(sets, config)
    return config.run / "model"


def _fit(sets: dict[str, TrainingSet], config: TrainConfig) -> None:
    """Build the model and fit it."""
    distribution.check_same_epoch(config.distribution, loop.resume_epoch(config.run))
    kind = registry.get(config.detector)
    model = _start_model(config)
    schedule = schedules.make_schedule(
        config.schedule, config.learning_rate, config.warmup_steps, config.steps_per_epoch * config.epochs
    )
    model.compile(
        _make_optimizer(config, schedule),
        kind.loss(),
        metrics=[keras.metrics.MeanMetricWrapper(part, name=name) for name, part in kind.loss_parts.items()],
        # XLA makes TensorFlow slower on a CPU; JAX depends on it.
        jit_compile=keras.backend.backend() == "jax",
    )
    _build_loss(model, kind.targets)
    batches: Any
    if config.records:
        batches = _tile_batches(config.records, config)
    else:
        batches = _crop_batches(_add_hard_examples(sets, model, config), config)
    dataset = distribution.batches_of_machine(batches, config.distribution)
    loop.fit(model, batches, config, schedule, partial(_Save, config), dataset)


def _build_loss(model: keras.Model, targets: registry.Targets) -> None:
    """Create the variables of loss and metrics.

    Keras would take a batch for that on JAX, on PyTorch and with several devices, and serve the others out of order.
    """
    no_boxes = np.zeros((0, 4))
    target = keras.ops.convert_to_tensor(targets(no_boxes, no_boxes, INPUT_MULTIPLE, INPUT_MULTIPLE)[None])
    cells = keras.ops.zeros((*target.shape[:3], *model.output_shape[3:]))
    model.compute_loss(y=target, y_pred=cells)
    model.compute_metrics(None, target, cells)


def _crop_batches(sets: dict[str, TrainingSet], config: TrainConfig) -> CropBatches:
    """Return the batches of all machines, from the epoch of the run on: each machine's part of a step is a batch."""
    machines = config.distribution.machines
    return CropBatches(
        list(sets.values()),
        config.crops,
        config.batch // machines,
        config.steps_per_epoch * machines,
        config.seed,
        registry.get(config.detector).targets,
        epoch=loop.resume_epoch(config.run),
        hard_share=config.hard_examples.share if config.hard_examples else 0.0,
    )


def _tile_batches(records: RecordsConfig, config: TrainConfig) -> Any:
    """Return the batches of tiles, likewise."""
    from model.data import tfrecord  # imports TensorFlow, which the other backends do without

    machines = config.distribution.machines
    return tfrecord.TileBatches(
        tfrecord.open_records(records.pattern, records.cache),
        records.shuffle_buffer,
        records.augment,
        config.batch // machines,
        config.steps_per_epoch * machines,
        config.seed,
        registry.get(config.detector).targets,
        epoch=loop.resume_epoch(config.run),
    )


class _Save(keras.callbacks.Callback):  # type: ignore[misc]  # Keras publishes no types
    """Saves the moving average of the weights after every epoch, and validates it every few epochs."""

    def __init__(self, config: TrainConfig, board: SummaryWriter) -> None:
        super().__init__()
        self.config, self.board = config, board
        self.sets = _read_val_sets(config, config.callbacks) if config.callbacks else {}

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002  # Keras passes them by name
        c = self.config
        with loop.averaged_weights(self.model):
            weights_io.save(c.run / "model", self.model, c.name, c.detector, c.min_score)
            if c.callbacks and ((epoch + 1) % c.callbacks.every == 0 or epoch + 1 == c.epochs):
                self._validate(epoch, c.callbacks)

    def _validate(self, epoch: int, config: CallbacksConfig) -> None:
        c = self.config
        predictor = KerasPredictor(self.model, registry.get(c.detector).decode, c.name, loop.MIN_SCORE)
        rows, pictures = loop.validate(self.sets, predictor, config, read_scan_config(c.scan), c.min_score)
        for row in rows:
            loop.append_row(c.run / loop.VAL, {"epoch": epoch} | row)
        loop.write_validation(rows, pictures, self.board, (epoch + 1) * c.steps_per_epoch)


def _read_val_sets(config: TrainConfig, validation: CallbacksConfig) -> dict[str, list[AnnotatedImage]]:
    """Read the val images of the sets to validate on; sets without any are left out."""
    names = validation.sets or tuple(source.set for source in config.sources)
    sets = {name: sources.read_annotated_images(config.data / name, "val") for name in names}
    sets = {name: images for name, images in sets.items() if images}
    if not sets:
        raise ConfigError(
            f"callbacks.sets: expected sets with val images, {', '.join(names)} have none: set callbacks to null"
        )
    return sets


def _start_model(config: TrainConfig) -> keras.Model:
    model = registry.get(config.detector).build()
    if config.start == "imagenet":
        backbones.load_imagenet(model)
    elif config.start != "random":
        folder = model_folder.resolve(config.start)
        model_folder.read_config(folder)  # checks the digest of the weights
        weights_io.load_into(model, folder / model_folder.WEIGHTS_FILE)
    backbones.freeze(model, config.frozen_blocks)
    return model


def _make_optimizer(
    config: TrainConfig, schedule: keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=config.weight_decay,
        global_clipnorm=10.0,
        use_ema=True,
        ema_momentum=config.ema,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def _load_sets(config: TrainConfig) -> dict[str, TrainingSet]:
    """Load the images and scenes to train on, by the name of the set."""
    sets = {source.set: _load_set(config.data / source.set, source.weight) for source in config.sources}
    for rendered in config.rendered:
        images = sources.render_scenes(rendered, config.run / "rendered")
        sets[rendered.name] = TrainingSet.load(images, rendered.weight)
    return sets


def _load_set(folder: Path, weight: float) -> TrainingSet:
    images = sources.read_annotated_images(folder, "train")
    if not images:
        raise ConfigError(f"{folder}: expected images to train on, found none in its train split")
    return TrainingSet.load(images, weight)


def _add_hard_examples(sets: dict[str, TrainingSet], model: keras.Model, config: TrainConfig) -> dict[str, TrainingSet]:
    """Add the hard examples of `model` to the sets; they are mined once, and kept in the run's folder."""
    if config.hard_examples is None:
        return sets
    file = config.run / _HARD_EXAMPLES
    if not file.is_file():
        predictor = KerasPredictor(
            model, registry.get(config.detector).decode, config.name, config.hard_examples.min_score
        )
        scan = read_scan_config(config.scan)
        mined = {
            name: mine_hard_examples(training_set.images, predictor, scan, _MINING_BATCH)
            for name, training_set in sets.items()
        }
        write_hard_examples(mined, file)
    examples = read_hard_examples(file)
    counts = {name: len(training_set.images) for name, training_set in sets.items()}
    if {name: len(images) for name, images in examples.items()} != counts:
        raise ConfigError(
            f"{file}: expected hard examples in the images of `sources`, got others: remove it to mine them again"
        )
    return {name: training_set.with_hard_examples(examples[name]) for name, training_set in sets.items()}


class KerasPredictor:
    """A `Predictor` over a Keras model, with raw scores.

    Args:
        model: the detector.
        decode: decodes its cells, see `model.detectors.registry`.
        name: name of the model.
        min_score: detections below it are left out.
    """

    def __init__(self, model: keras.Model, decode: Decode, name: str, min_score: float) -> None:
        self.model = model
        self.decode = decode
        self.name = name
        self.default_min_score = min_score

    def __call__(self, images: ImageArray) -> list[Detections]:
        """See `Predictor`."""
        # On several TensorFlow devices each computes all images, and their outputs are concatenated.
        cells = self.model.predict_on_batch(images)[: len(images)]
        boxes, scores = (np.asarray(keras.ops.convert_to_numpy(output)) for output in self.decode(cells))
        # Before calibration nearly all cells have some score: only those above the threshold vote.
        min_score = self.default_min_score
        return [tile_detections(*cells, min_score, min_score) for cells in zip(boxes, scores, strict=True)]


def select_hard_boxes(detections: Detections, truth: FloatArray) -> FloatArray:
    """Select the boxes where a model was wrong in one image.

    Args:
        detections: the model's detections, in the image's pixels.
        truth: the airplanes (M, 4).

    Returns:
        (K, 4): the boxes of false positives, then those of missed airplanes.
    """
    overlaps = iou_matrix(detections.boxes, truth)
    false = overlaps.max(axis=1, initial=0) < _FALSE_IOU
    missed = overlaps.max(axis=0, initial=0) < _DETECTED_IOU
    return np.concatenate([detections.boxes[false], truth[missed]])


def mine_hard_examples(
    images: Sequence[AnnotatedImage], predictor: Predictor, config: ScanConfig, batch: int
) -> list[FloatArray]:
    """Return the hard boxes (K, 4) of every image, scanned as the pipeline would."""
    headers = (read_header(str(image.path), image.resolution_m) for image in images)
    detections = scan_all(headers, config, predictor, batch)
    return [select_hard_boxes(of_image, image.boxes) for of_image, image in zip(detections, images, strict=True)]


def write_hard_examples(examples: dict[str, list[FloatArray]], file: Path) -> None:
    """Write hard boxes, by data set and image, atomically."""
    write_atomically(
        file, json.dumps({name: [boxes.tolist() for boxes in images] for name, images in examples.items()})
    )


def read_hard_examples(file: Path) -> dict[str, list[FloatArray]]:
    """Read what `write_hard_examples` has written."""
    content = json.loads(file.read_text(encoding="utf-8"))
    return {name: [np.array(boxes, np.float64).reshape(-1, 4) for boxes in images] for name, images in content.items()}
