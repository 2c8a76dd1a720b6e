"""The detector as a SavedModel, for TensorFlow Serving and the like: one signature for pixels, one for JPEG files."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from geo.types import ImageArray
from model.detectors import INPUT_MULTIPLE
from model.export.graph import BOXES, PIXELS, SCORES, run_graph
from model.export.signatures import Outputs, Way

# Where TensorFlow Serving looks for what a model brings beside its graph.
EXTRA = "assets.extra"


def write(graph: Any, folder: Path) -> None:
    """Writes a SavedModel.

    Args:
        graph: see `model.export.graph.detector_graph`.
        folder: of the SavedModel, to be made.
    """

    def detect(pixels: Any) -> dict[str, Any]:
        boxes, scores = run_graph(graph, pixels)
        return {BOXES: boxes, SCORES: scores}

    module = tf.Module()
    module.detect = tf.function(detect, [tf.TensorSpec((None, None, None, 3), tf.uint8, PIXELS)])
    module.detect_jpeg = tf.function(
        lambda jpeg: module.detect(_padded(_decoded(jpeg))), [tf.TensorSpec((None,), tf.string, "jpeg")]
    )
    signatures = {"serving_default": module.detect, "detect": module.detect, "detect_jpeg": module.detect_jpeg}
    tf.saved_model.save(module, str(folder), signatures)


def read(folder: Path) -> list[Way]:
    """The signatures of a SavedModel that `write` has written."""
    signatures = tf.saved_model.load(str(folder)).signatures

    def detect(images: ImageArray) -> Outputs:
        return _outputs(signatures["detect"](pixels=tf.constant(images)))

    def detect_jpeg(images: ImageArray) -> Outputs:
        return _outputs(signatures["detect_jpeg"](jpeg=tf.constant([_as_jpeg(image) for image in images])))

    return [Way("saved_model detect", detect), Way("saved_model detect_jpeg", detect_jpeg, _through_jpeg)]


def _as_jpeg(image: ImageArray) -> bytes:
    file = io.BytesIO()
    # Colours in full: how they are enlarged again is not the same in every decoder.
    Image.fromarray(image).save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


def _through_jpeg(images: ImageArray) -> ImageArray:
    """Pictures as another decoder than TensorFlow's gives them back."""
    return np.stack([np.asarray(Image.open(io.BytesIO(_as_jpeg(image)))) for image in images])


def _decoded(jpeg: Any) -> Any:
    """Pictures (B, H, W, 3) of JPEG files (B,) that all show pictures of one size."""
    picture = tf.TensorSpec((None, None, 3), tf.uint8)
    return tf.map_fn(
        lambda file: tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE"),
        jpeg,
        fn_output_signature=picture,
    )


def _padded(pixels: Any) -> Any:
    """Pictures with black added on the right and below, up to sides that the detector can look at."""
    rows, cols = tf.unstack(tf.shape(pixels)[1:3])
    return tf.pad(pixels, [[0, 0], [0, -rows % INPUT_MULTIPLE], [0, -cols % INPUT_MULTIPLE], [0, 0]])


def _outputs(found: dict[str, Any]) -> Outputs:
    return found[BOXES].numpy(), found[SCORES].numpy()
