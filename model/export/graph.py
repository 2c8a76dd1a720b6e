"""The graph that every export holds: pixels in, boxes and scores out, under names that stay."""

from typing import Any

import keras
import tensorflow as tf

from model.detectors.registry import Decode
from model.inference.calibration import Calibration
from model.inference.frozen_graph import freeze

# What goes in and comes out, in every format.
PIXELS = "pixels"
BOXES = "boxes"
SCORES = "scores"


def detector_graph(model: keras.Model, decode: Decode, calibration: Calibration | None) -> Any:
    """The detector as one graph of constants.

    Args:
        model: the detector.
        decode: see `model.inference.frozen_graph.freeze`.
        calibration: see `model.inference.frozen_graph.freeze`.

    Returns:
        A TensorFlow GraphDef: `pixels` uint8 (B, H, W, 3), H and W multiples of 32, to `boxes` float32 (B, N, 4):
        xmin, ymin, xmax, ymax in pixels of the picture, corner origin, not clipped to it; and `scores` float32 (B, N),
        0..1. N is the number of cells, or of their slots.
    """
    frozen = freeze(model, decode, calibration)
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.uint8, (None, None, None, 3), PIXELS)
        boxes, scores = tf.graph_util.import_graph_def(
            frozen.graph.as_graph_def(),
            {frozen.inputs[0].name: pixels},
            [output.name for output in frozen.outputs],
            name="detector",
        )
        batch = tf.shape(scores)[0]
        # Not -1: of no pictures, TensorFlow could not tell how many cells each has.
        cells = tf.reduce_prod(tf.shape(scores)[1:])
        tf.reshape(boxes, (batch, cells, 4), name=BOXES)
        tf.reshape(scores, (batch, cells), name=SCORES)
    return graph.as_graph_def()


def run_graph(graph: Any, pixels: Any) -> tuple[Any, Any]:
    """Boxes and scores of a `detector_graph`, as a part of the graph that is being made."""
    outputs = tf.graph_util.import_graph_def(graph, {PIXELS: pixels}, [f"{BOXES}:0", f"{SCORES}:0"], name="")
    return outputs[0], outputs[1]
