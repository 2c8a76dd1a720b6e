"""The detector as one file with a frozen TensorFlow graph."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from geo.types import ImageArray
from model.exporting.graph import PIXELS, run_graph
from model.exporting.ways import Outputs, Way


def write(graph: Any, file: Path) -> None:
    """Writes a GraphDef, see `model.exporting.graph.detector_graph`."""
    file.write_bytes(graph.SerializeToString())


def read(file: Path) -> Way:
    """The detector in a file that `write` has written."""
    graph = tf.compat.v1.GraphDef.FromString(file.read_bytes())
    spec = tf.TensorSpec((None, None, None, 3), tf.uint8, PIXELS)
    run = tf.function(lambda pixels: run_graph(graph, pixels), [spec])

    def detect(images: ImageArray) -> Outputs:
        boxes, scores = run(tf.constant(images))
        return boxes.numpy(), scores.numpy()

    return Way("frozen_graph", detect)
