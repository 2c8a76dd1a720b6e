"""The training of the keypoint network, resumable, and its test.

The run's folder is like that of a detector's training (see `model.training.detector`); `val.csv` has a line for every
epoch, and `result.json` the figures on the test airplanes, which nothing else uses. The model is a LiteRT file.
"""

import hashlib
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import yaml
from PIL import Image
from tensorboardX import SummaryWriter

from geo.outline import LEFT, NOSE, RIGHT, TAIL
from geo.types import FloatArray, ImageArray
from model.common.atomic import make_folder, write_atomically
from model.common.logs import hold_stderr
from model.data import keypoints
from model.data.keypoints import AirplanePatches, KeypointBatches, View
from model.detectors.keypoints import network
from model.detectors.keypoints.heat_maps import CROP_PX, Keypoints, decode
from model.inference.keypoints import MODEL_FILE, KeypointModelConfig, KeypointPredictor
from model.inference.model_folder import CONFIG_FILE
from model.training import backend, loop
from model.training.config import KeypointTrainConfig
from model.training.schedules import CosineConfig, make_schedule

# In the run's folder.
RESULT = "result.json"
_SCENES = "scenes"
# The share of errors that one standard deviation holds.
_WITHIN_SD = 0.683


def train(config: KeypointTrainConfig) -> Path:
    """Train the keypoint network, or resume its training, test it, and return the folder of the finished model.

    Raises:
        ConfigError: a data set is missing or damaged, the run's folder cannot be created, or the loss is NaN.
    """
    backend.check("tensorflow")
    keras.utils.set_random_seed(config.seed)
    make_folder(config.run)
    folder = config.run / "model"
    if loop.resume_epoch(config.run) < config.epochs or not (folder / CONFIG_FILE).is_file():
        _fit(config, folder)
    _test(config)
    return folder


def _fit(config: KeypointTrainConfig, folder: Path) -> None:
    """Build the network, fit it, and write the model folder."""
    sets = [(keypoints.read_patches(config.data / item.set, "train"), item.weight) for item in config.sources]
    sets += [(keypoints.rendered_patches(item, config.run / _SCENES), item.weight) for item in config.rendered]
    photos = _annotated(config, "val")
    rendered = [keypoints.rendered_patches(item, config.run / _SCENES) for item in config.val]
    val = AirplanePatches.concatenate([photos, *rendered])
    model = network.build()
    steps = config.steps_per_epoch * config.epochs
    schedule = make_schedule(CosineConfig(), config.learning_rate, config.warmup_steps, steps)
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay), network.loss)
    batches = KeypointBatches(sets, config.batch, config.steps_per_epoch, config.seed)
    loop.fit(model, batches, config, schedule, partial(_Measure, config, val))
    # Rendered airplanes are too clean to say how large errors are.
    save(model, folder, config.name, photos)


def measure_keypoints(predicted: Keypoints, patches: AirplanePatches) -> dict[str, float | int]:
    """Measure keypoints of upright crops against the annotated ones; airplanes with a hidden point do not count.

    Returns:
        `airplanes`; `heading_deg`, the median error of the heading, of those whose head is told from the tail; the
        share that is `reversed`; `length` and `wingspan`, median errors relative to the true ones.
    """
    known = ~np.isnan(patches.points).any(axis=(1, 2))
    truth, points = _upright_crops(patches)[1][known], predicted.points[known]
    errors = np.abs((_headings(points) - _headings(truth) + 180) % 360 - 180)
    is_reversed = errors > 90
    return {
        "airplanes": int(known.sum()),
        "heading_deg": round(float(np.median(errors[~is_reversed])), 2),
        "reversed": round(float(is_reversed.mean()), 4),
        "length": round(float(np.median(_relative_error(points, truth, NOSE, TAIL))), 4),
        "wingspan": round(float(np.median(_relative_error(points, truth, LEFT, RIGHT))), 4),
    }


def _headings(points: FloatArray) -> FloatArray:
    """Return headings (N,), degrees, as `geo.outline.measure` takes them, in the plane of the crops."""
    along, across = points[:, NOSE] - points[:, TAIL], points[:, RIGHT] - points[:, LEFT]
    # A quarter turn from the wings, towards the nose; weighted by length, as the sum of vectors times their lengths.
    forward = np.stack([across[:, 1], -across[:, 0]], axis=1)
    total = along * np.linalg.norm(along, axis=1, keepdims=True)
    total += forward * np.linalg.norm(across, axis=1, keepdims=True)
    return np.asarray(np.degrees(np.arctan2(total[:, 0], -total[:, 1])))


def _relative_error(points: FloatArray, truth: FloatArray, first: int, second: int) -> FloatArray:
    measured, expected = (np.linalg.norm(ends[:, first] - ends[:, second], axis=1) for ends in (points, truth))
    return np.asarray(np.abs(measured / expected - 1))


def _upright_crops(patches: AirplanePatches) -> tuple[ImageArray, FloatArray]:
    """Return crops (N, CROP_PX, CROP_PX, 3), taken as the pipeline takes them, and the annotated points in them."""
    rows = zip(patches.pixels, patches.points, patches.boxes, strict=True)
    crops = [keypoints.crop(Image.fromarray(pixels), points, box, View()) for pixels, points, box in rows]
    return np.stack([pixels for pixels, _ in crops]), np.stack([points for _, points in crops])


class _Measure(keras.callbacks.Callback):  # type: ignore[misc]  # Keras publishes no types
    """Measures the model on the val airplanes after every epoch."""

    def __init__(self, config: KeypointTrainConfig, val: AirplanePatches, board: SummaryWriter) -> None:
        super().__init__()
        self.config, self.val, self.board = config, val, board

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002  # Keras passes them by name
        measured = measure_keypoints(_predict(self.model, self.val), self.val)
        loop.append_row(self.config.run / loop.VAL, {"epoch": epoch, **measured})
        self.board.add_scalar("val/heading_deg", measured["heading_deg"], (epoch + 1) * self.config.steps_per_epoch)
        print("val: " + ", ".join(f"{name} {value}" for name, value in measured.items()))


def _predict(model: keras.Model, patches: AirplanePatches) -> Keypoints:
    logits = model.predict_on_batch(_upright_crops(patches)[0].astype(np.float32))
    return decode(np.asarray(keras.ops.softmax(logits, axis=1)))


def save(model: keras.Model, folder: Path, name: str, val: AirplanePatches) -> None:
    """Write a trained network as a model folder, with the expected errors that fit the val airplanes."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def heat_maps(pixels: Any) -> Any:
        return tf.nn.softmax(model(tf.cast(pixels, tf.float32), training=False), axis=1)

    spec = tf.TensorSpec((1, CROP_PX, CROP_PX, 3), tf.uint8, "pixels")
    graph = convert_variables_to_constants_v2(tf.function(heat_maps, autograph=False).get_concrete_function(spec))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    with hold_stderr():  # it says what it does
        content = bytes(converter.convert())
    offset, slope = fit_expected_error(_predict(model, val), _upright_crops(val)[1])
    make_folder(folder)
    write_atomically(folder / MODEL_FILE, content)
    config = KeypointModelConfig(name, hashlib.sha256(content).hexdigest(), offset, slope)
    write_atomically(folder / CONFIG_FILE, yaml.safe_dump(asdict(config), sort_keys=False))


def fit_expected_error(predicted: Keypoints, points: FloatArray) -> tuple[float, float]:
    """Return offset and slope of the expected error, see `model.inference.keypoints.KeypointModelConfig`.

    For every slope the offset is such that 68.3 % of the errors are within the expected one; of these pairs, the one
    under which the errors are the most likely, as those of a normal distribution.

    Args:
        predicted: N airplanes.
        points: (N, 4, 2) where their points are; NaN where hidden.
    """
    known = ~np.isnan(points).any(axis=-1)
    errors, spread = np.abs(predicted.points - points)[known], predicted.spread_px[known][:, None]
    fits = []
    for slope in np.linspace(0, 1, 21):
        offset = max(float(np.quantile(errors - slope * spread, _WITHIN_SD)), 0.05)
        expected = np.broadcast_to(offset + slope * spread, errors.shape)
        # Outliers, such as a nose taken for a tail, would decide alone.
        likelihood = np.minimum((errors / expected) ** 2 / 2, 8.0) + np.log(expected)
        fits.append((float(likelihood.mean()), round(offset, 3), round(float(slope), 3)))
    _, offset, slope = min(fits)
    return offset, slope


def _test(config: KeypointTrainConfig) -> None:
    """Measure the saved model on the test airplanes, and write the result."""
    predictor = KeypointPredictor(str(config.run / "model"))
    test = _annotated(config, "test")
    crops, truth = _upright_crops(test)
    predicted = predictor(crops)
    known = ~np.isnan(truth).any(axis=-1)
    within = (np.abs(predicted.points - truth) <= predictor.sd_px(predicted)[..., None])[known]
    measured = measure_keypoints(predicted, test) | {"within_expected_error": round(float(within.mean()), 3)}
    write_atomically(config.run / RESULT, json.dumps({"sha256": predictor.config.sha256} | measured, indent=2) + "\n")
    print("test: " + ", ".join(f"{name} {value}" for name, value in measured.items()))


def _annotated(config: KeypointTrainConfig, split: str) -> AirplanePatches:
    """Return the airplanes of a split of all sets of images."""
    return AirplanePatches.concatenate(
        [keypoints.read_patches(config.data / item.set, split) for item in config.sources]
    )
