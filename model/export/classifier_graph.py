"""The graph of a classifier of chips that is applied to whole images, as in the talk.

It has the inputs and outputs of `model.export.formats.detector_graph`. Cutting an image into overlapping chips, at
several zooms, is a part of the graph.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from geo.types import FloatArray, ImageArray
from model.data.chips import AIRPLANE
from model.detectors.classifier import SIDE_PX
from model.export.config import ChipTiling
from model.export.formats import BOXES, PIXELS, SCORES, Outputs

# From chips (N, 20, 20, 3), float, to the probability (N,) that each is an airplane.
Classify = Callable[[Any], Any]

# Chips per call of the Keras model in the check.
_CHECK_BATCH = 2048


def chip_boxes(height: int, width: int, tiling: ChipTiling) -> FloatArray:
    """Return the boxes (N, 4) of all chips in pixels of the image: zoom by zoom, row by row."""
    boxes = [np.zeros((0, 4))]
    for zoom in tiling.zooms:
        rows, cols = zoomed_length(height, zoom), zoomed_length(width, zoom)
        y, x = np.meshgrid(_starts(rows, tiling.step_px), _starts(cols, tiling.step_px), indexing="ij")
        corners = np.stack([x, y, x + SIDE_PX, y + SIDE_PX], axis=-1).reshape(-1, 4)
        boxes.append(corners * np.array([width / cols, height / rows] * 2))
    return np.concatenate(boxes)


def zoomed_length(length_px: int, zoom: float) -> int:
    """Return the length of a side of an image at a zoom, in pixels."""
    return max(round(length_px / zoom), 1)


def _starts(length_px: int, step_px: int) -> list[int]:
    """Return where chips begin along a side of a resampled image; none if it is shorter than a chip."""
    return list(range(0, length_px - SIDE_PX + 1, step_px))


def classifier_graph(model: keras.Model, tiling: ChipTiling) -> Any:
    """Build the graph of a classifier that is applied to whole images, with its weights as constants.

    Args:
        model: see `model.detectors.classifier.build`.
        tiling: how images are cut into chips.

    Returns:
        A TensorFlow GraphDef with the names, types and shapes of `model.export.formats.detector_graph`; N is the
        number of chips.
    """
    classify = _freeze(model)
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.uint8, (None, None, None, 3), PIXELS)
        boxes, scores = classify_tiled(pixels, classify, tiling)
        tf.identity(boxes, BOXES)
        tf.identity(scores, SCORES)
    return graph.as_graph_def()


def _freeze(model: keras.Model) -> Classify:
    """Return a function that adds the classifier to the current graph, with its weights as constants."""
    chips = tf.TensorSpec((None, SIDE_PX, SIDE_PX, 3), tf.float32, "chips")
    function = tf.function(lambda x: model(x, training=False)[:, AIRPLANE], autograph=False)
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(chips))
    definition, (entry,), (output,) = frozen.graph.as_graph_def(), frozen.inputs, frozen.outputs
    return lambda x: tf.graph_util.import_graph_def(definition, {entry.name: x}, [output.name], name="classifier")[0]


def classify_tiled(pixels: Any, classify: Classify, tiling: ChipTiling) -> tuple[Any, Any]:
    """Classify every chip of images.

    Args:
        pixels: uint8 (B, H, W, 3).
        classify: the classifier.
        tiling: how images are cut into chips.

    Returns:
        The boxes (B, N, 4) of all chips, in pixels of the image, and their scores (B, N): zoom by zoom, row by row.
    """
    by_zoom = [_classify_zoom(tf.cast(pixels, tf.float32), zoom, tiling.step_px, classify) for zoom in tiling.zooms]
    boxes = tf.concat([boxes for boxes, _ in by_zoom], axis=0)
    scores = tf.concat([scores for _, scores in by_zoom], axis=1)
    return tf.tile(boxes[None], (tf.shape(pixels)[0], 1, 1)), scores


def _classify_zoom(images: Any, zoom: float, step: int, classify: Classify) -> tuple[Any, Any]:
    """Return boxes (N, 4), the same for all images (B, H, W, 3), and scores (B, N)."""
    size = tf.cast(tf.shape(images)[1:3], tf.float64)
    zoomed_size = tf.maximum(tf.cast(tf.round(size / zoom), tf.int32), 1)
    zoomed = tf.image.resize(images, zoomed_size, antialias=True)
    y, x = (tf.range(0, tf.maximum(zoomed_size[axis] - SIDE_PX + 1, 0), step) for axis in (0, 1))
    scores = _classify_rows(zoomed, y, x, classify)
    scale = tf.cast(size / tf.cast(zoomed_size, tf.float64), tf.float32)
    corners = tf.reshape(tf.stack(tf.meshgrid(x, y), axis=-1), (-1, 2))
    sides = [tf.cast(corners + offset, tf.float32) * scale[::-1] for offset in (0, SIDE_PX)]
    return tf.concat(sides, axis=1), scores


def _classify_rows(images: Any, y: Any, x: Any, classify: Classify) -> Any:
    """Return scores (B, N) of the chips that begin at y and x; one row of chips at a time bounds the memory."""
    offsets, count = tf.range(SIDE_PX), tf.shape(images)[0]

    def classify_row(start: Any) -> Any:
        strip = images[:, start : start + SIDE_PX]
        # (B, 20, chips, 20, 3): gathered by the columns of each chip.
        chips = tf.transpose(tf.gather(strip, x[:, None] + offsets, axis=2), (0, 2, 1, 3, 4))
        scores = classify(tf.reshape(chips, (-1, SIDE_PX, SIDE_PX, 3)))
        return tf.reshape(scores, (count, tf.size(x)))

    def classify_all() -> Any:
        spec = tf.TensorSpec((None, None), tf.float32)
        return tf.map_fn(classify_row, y, fn_output_signature=spec, parallel_iterations=1)

    # The output of map_fn over no rows has no shape.
    rows = tf.cond(tf.size(y) > 0, classify_all, lambda: tf.zeros((0, count, tf.size(x))))
    return tf.reshape(tf.transpose(rows, (1, 0, 2)), (count, tf.size(y) * tf.size(x)))


def predict_chips(model: keras.Model, tiling: ChipTiling, images: ImageArray) -> Outputs:
    """Return the expected outputs of a `classifier_graph`, by plain loops: boxes (B, N, 4) and scores (B, N)."""
    count, height, width = images.shape[:3]
    chips = np.stack([chip for image in images for chip in _cut_chips(image, tiling)])
    scores = np.concatenate(
        [model.predict_on_batch(chips[k : k + _CHECK_BATCH])[:, AIRPLANE] for k in range(0, len(chips), _CHECK_BATCH)]
    )
    boxes = chip_boxes(height, width, tiling).astype(np.float32)
    return np.tile(boxes, (count, 1, 1)), scores.reshape(count, -1)


def _cut_chips(image: ImageArray, tiling: ChipTiling) -> list[Any]:
    """Cut the chips (20, 20, 3) of one image (H, W, 3)."""
    chips = []
    for zoom in tiling.zooms:
        size = tuple(zoomed_length(length, zoom) for length in image.shape[:2])
        zoomed = keras.ops.convert_to_numpy(keras.ops.image.resize(image.astype(np.float32), size, antialias=True))
        for y in _starts(size[0], tiling.step_px):
            for x in _starts(size[1], tiling.step_px):
                chips.append(zoomed[y : y + SIDE_PX, x : x + SIDE_PX])
    return chips
