"""The graph of a classifier that is used as a detector: what `model.export.graph` is for a detector.

The tiling is a part of it, so that a server takes whole pictures, as in the talk.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from geo.types import ImageArray
from model.data.chips import AIRPLANE
from model.detectors.classifier import SIDE_PX
from model.export import chip_tiling
from model.export.chip_tiling import ChipTiling
from model.export.graph import BOXES, PIXELS, SCORES
from model.export.signatures import Outputs

# Chips (N, 20, 20, 3), float, to the probability (N,) that each is an airplane.
Classify = Callable[[Any], Any]

# Chips in one call of the model that an export is compared with.
_CHECK_BATCH = 2048


def classifier_graph(model: keras.Model, tiling: ChipTiling) -> Any:
    """A classifier as a graph of constants that looks at whole pictures.

    Args:
        model: see `model.detectors.classifier.network.build`.
        tiling: how pictures are cut.

    Returns:
        A TensorFlow GraphDef with the names, types and shapes of `model.export.graph.detector_graph`; N is the
        number of tiles.
    """
    classify = _frozen(model)
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.uint8, (None, None, None, 3), PIXELS)
        boxes, scores = tiled(pixels, classify, tiling)
        tf.identity(boxes, BOXES)
        tf.identity(scores, SCORES)
    return graph.as_graph_def()


def _frozen(model: keras.Model) -> Classify:
    """The classifier as a graph of constants, to be put into another graph."""
    chips = tf.TensorSpec((None, SIDE_PX, SIDE_PX, 3), tf.float32, "chips")
    function = tf.function(lambda x: model(x, training=False)[:, AIRPLANE], autograph=False)
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(chips))
    definition, (entry,), (exit_,) = frozen.graph.as_graph_def(), frozen.inputs, frozen.outputs
    return lambda x: tf.graph_util.import_graph_def(definition, {entry.name: x}, [exit_.name], name="classifier")[0]


def tiled(pixels: Any, classify: Classify, tiling: ChipTiling) -> tuple[Any, Any]:
    """Looks at every tile of pictures.

    Args:
        pixels: uint8 (B, H, W, 3).
        classify: the classifier.
        tiling: how pictures are cut.

    Returns:
        The boxes (B, N, 4) of all tiles, in pixels of the picture, and their scores (B, N): zoom by zoom, row by row.
    """
    found = [_at_zoom(tf.cast(pixels, tf.float32), zoom, tiling.step_px, classify) for zoom in tiling.zooms]
    boxes = tf.concat([boxes for boxes, _ in found], axis=0)
    scores = tf.concat([scores for _, scores in found], axis=1)
    return tf.tile(boxes[None], (tf.shape(pixels)[0], 1, 1)), scores


def _at_zoom(pictures: Any, zoom: float, step: int, classify: Classify) -> tuple[Any, Any]:
    """Boxes (N, 4), which are the same for all pictures (B, H, W, 3), and scores (B, N)."""
    size = tf.cast(tf.shape(pictures)[1:3], tf.float64)
    resampled = tf.maximum(tf.cast(tf.round(size / zoom), tf.int32), 1)
    zoomed = tf.image.resize(pictures, resampled, antialias=True)
    y, x = (tf.range(0, tf.maximum(resampled[axis] - SIDE_PX + 1, 0), step) for axis in (0, 1))
    scores = _by_rows(zoomed, y, x, classify)
    scale = tf.cast(size / tf.cast(resampled, tf.float64), tf.float32)
    corners = tf.reshape(tf.stack(tf.meshgrid(x, y), axis=-1), (-1, 2))
    sides = [tf.cast(corners + far, tf.float32) * scale[::-1] for far in (0, SIDE_PX)]
    return tf.concat(sides, axis=1), scores


def _by_rows(pictures: Any, y: Any, x: Any, classify: Classify) -> Any:
    """Scores (B, N) of the tiles that begin at y and x; one row of tiles at a time, so that memory has a bound."""
    within, count = tf.range(SIDE_PX), tf.shape(pictures)[0]

    def row(start: Any) -> Any:
        strip = pictures[:, start : start + SIDE_PX]
        # (B, 20, tiles, 20, 3): gathered by the columns of each tile.
        chips = tf.transpose(tf.gather(strip, x[:, None] + within, axis=2), (0, 2, 1, 3, 4))
        scores = classify(tf.reshape(chips, (-1, SIDE_PX, SIDE_PX, 3)))
        return tf.reshape(scores, (count, tf.size(x)))

    def every_row() -> Any:
        return tf.map_fn(row, y, fn_output_signature=tf.TensorSpec((None, None), tf.float32), parallel_iterations=1)

    # What map_fn makes of no rows has no shape.
    rows = tf.cond(tf.size(y) > 0, every_row, lambda: tf.zeros((0, count, tf.size(x))))
    return tf.reshape(tf.transpose(rows, (1, 0, 2)), (count, tf.size(y) * tf.size(x)))


def tile_by_tile(model: keras.Model, tiling: ChipTiling, images: ImageArray) -> Outputs:
    """What a `classifier_graph` should say of pictures (B, H, W, 3), by plain loops: boxes (B, N, 4), scores (B, N)."""
    count, height, width = images.shape[:3]
    chips = np.stack([chip for image in images for chip in _chips(image, tiling)])
    scores = np.concatenate(
        [model.predict_on_batch(chips[k : k + _CHECK_BATCH])[:, AIRPLANE] for k in range(0, len(chips), _CHECK_BATCH)]
    )
    boxes = chip_tiling.boxes(height, width, tiling).astype(np.float32)
    return np.tile(boxes, (count, 1, 1)), scores.reshape(count, -1)


def _chips(image: ImageArray, tiling: ChipTiling) -> list[Any]:
    """The tiles (20, 20, 3) of one picture (H, W, 3)."""
    found = []
    for zoom in tiling.zooms:
        size = tuple(chip_tiling.zoomed(length, zoom) for length in image.shape[:2])
        zoomed = keras.ops.convert_to_numpy(keras.ops.image.resize(image.astype(np.float32), size, antialias=True))
        for y in chip_tiling.starts(size[0], tiling.step_px):
            for x in chip_tiling.starts(size[1], tiling.step_px):
                found.append(zoomed[y : y + SIDE_PX, x : x + SIDE_PX])
    return found
