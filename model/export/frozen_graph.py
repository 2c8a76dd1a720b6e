"""The detector as one file with a frozen TensorFlow graph."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from geo.types import ImageArray
from model.export.graph import BOXES, PIXELS, SCORES
from model.export.signatures import Outputs, Way


def write(graph: Any, file: Path) -> None:
    """Writes a GraphDef, see `model.export.graph.detector_graph`."""
    file.write_bytes(graph.SerializeToString())


def read(file: Path) -> Way:
    """The detector in a file that `write` has written."""
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(tf.compat.v1.GraphDef.FromString(file.read_bytes()), name="")
    # Not a `tf.function`: the functions within the graph would be known to the whole process by their names, which
    # they share with those of the model that was exported, and gone as soon as that is.
    session = tf.compat.v1.Session(graph=graph)

    def detect(images: ImageArray) -> Outputs:
        boxes, scores = session.run([f"{BOXES}:0", f"{SCORES}:0"], {f"{PIXELS}:0": images})
        return boxes, scores

    return Way("frozen_graph", detect)
