"""The graph of a detector, from pixels to boxes and scores, and the formats it is written in.

The graph and the names of its inputs and outputs are the same in all formats. Each format is read back as `Signature`s,
so that it can be checked.
"""

import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from PIL import Image

from geo.types import ImageArray
from model.common.logs import hold_stderr
from model.detectors import INPUT_MULTIPLE
from model.detectors.registry import Decode
from model.inference.calibration import Calibration
from model.inference.frozen_graph import freeze
from model.inference.model_folder import ModelConfig

# Boxes (B, N, 4) and scores (B, N).
Outputs = tuple[NDArray[np.float32], NDArray[np.float32]]

# Names of the input and the outputs.
PIXELS = "pixels"
BOXES = "boxes"
SCORES = "scores"

# Where TensorFlow Serving looks for files beside the graph of a SavedModel.
EXTRA_FOLDER = "assets.extra"
# The newest ONNX operators that tf2onnx writes.
_OPSET = 18


def _identity(images: ImageArray) -> ImageArray:
    return images


@dataclass(frozen=True, slots=True)
class Signature:
    """One way to call an export.

    Attributes:
        name: name of the format, and of the signature where it has several.
        detect: from images (B, H, W, 3) to boxes and scores.
        transmitted: the images (B, H, W, 3) as they reach the detector: JPEG files change them.
    """

    name: str
    detect: Callable[[ImageArray], Outputs]
    transmitted: Callable[[ImageArray], ImageArray] = _identity


def detector_graph(model: keras.Model, decode: Decode, calibration: Calibration | None) -> Any:
    """Build the graph of a detector, with its weights as constants.

    Args:
        model: the detector.
        decode: see `model.inference.frozen_graph.freeze`.
        calibration: see `model.inference.frozen_graph.freeze`.

    Returns:
        A TensorFlow GraphDef from `pixels` uint8 (B, H, W, 3), H and W multiples of 32, to `boxes` float32 (B, N, 4):
        xmin, ymin, xmax, ymax in pixels of the image, corner origin, not clipped to it; and `scores` float32 (B, N),
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
        # Not -1: TensorFlow cannot infer it for an empty batch.
        cells = tf.reduce_prod(tf.shape(scores)[1:])
        tf.reshape(boxes, (batch, cells, 4), name=BOXES)
        tf.reshape(scores, (batch, cells), name=SCORES)
    return graph.as_graph_def()


def write_frozen_graph(graph: Any, file: Path) -> None:
    """Write a graph of `detector_graph` to one file."""
    file.write_bytes(graph.SerializeToString())


def read_frozen_graph(file: Path) -> Signature:
    """Read a file of `write_frozen_graph`."""
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(tf.compat.v1.GraphDef.FromString(file.read_bytes()), name="")
    # Not a `tf.function`: the functions in the graph would be registered in the whole process, under the names of those
    # of the exported model, and removed together with that.
    session = tf.compat.v1.Session(graph=graph)

    def detect(images: ImageArray) -> Outputs:
        boxes, scores = session.run([f"{BOXES}:0", f"{SCORES}:0"], {f"{PIXELS}:0": images})
        return boxes, scores

    return Signature("frozen_graph", detect)


def _module(graph: Any) -> tf.Module:
    """Return a module whose function `detect` runs a graph of `detector_graph`."""

    def detect(pixels: Any) -> dict[str, Any]:
        outputs = tf.graph_util.import_graph_def(graph, {PIXELS: pixels}, [f"{BOXES}:0", f"{SCORES}:0"], name="")
        return {BOXES: outputs[0], SCORES: outputs[1]}

    module = tf.Module()
    module.detect = tf.function(detect, [tf.TensorSpec((None, None, None, 3), tf.uint8, PIXELS)])
    return module


def write_saved_model(graph: Any, folder: Path) -> None:
    """Write a graph of `detector_graph` as a SavedModel with a signature for pixels and one for JPEG files.

    Args:
        graph: the graph.
        folder: folder of the SavedModel, to be made.
    """
    module = _module(graph)
    module.detect_jpeg = tf.function(
        lambda jpeg: module.detect(_pad(_decode_jpeg(jpeg))), [tf.TensorSpec((None,), tf.string, "jpeg")]
    )
    signatures = {"serving_default": module.detect, "detect": module.detect, "detect_jpeg": module.detect_jpeg}
    tf.saved_model.save(module, str(folder), signatures)


def write_litert(graph: Any, file: Path) -> None:
    """Write a graph of `detector_graph` as a LiteRT flatbuffer of any batch, height and width."""
    module = _module(graph)
    function = module.detect.get_concrete_function()
    file.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([function], module).convert())


def read_litert(file: Path) -> Signature:
    """Read a file of `write_litert`."""
    with hold_stderr():  # it announces its delegate
        run = Interpreter(str(file)).get_signature_runner()

    def detect(images: ImageArray) -> Outputs:
        outputs = run(pixels=images)
        return outputs[BOXES], outputs[SCORES]

    return Signature("litert", detect)


def read_saved_model(folder: Path) -> list[Signature]:
    """Read the signatures of a SavedModel of `write_saved_model`."""
    signatures = tf.saved_model.load(str(folder)).signatures

    def detect(images: ImageArray) -> Outputs:
        return _to_numpy(signatures["detect"](pixels=tf.constant(images)))

    def detect_jpeg(images: ImageArray) -> Outputs:
        return _to_numpy(signatures["detect_jpeg"](jpeg=tf.constant([_encode_jpeg(image) for image in images])))

    return [
        Signature("saved_model detect", detect),
        Signature("saved_model detect_jpeg", detect_jpeg, _through_jpeg),
    ]


def _encode_jpeg(image: ImageArray) -> bytes:
    file = io.BytesIO()
    # Without chroma subsampling, which decoders invert in different ways.
    Image.fromarray(image).save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


def _through_jpeg(images: ImageArray) -> ImageArray:
    """Encode images, and decode them with another decoder than TensorFlow's."""
    return np.stack([np.asarray(Image.open(io.BytesIO(_encode_jpeg(image)))) for image in images])


def _decode_jpeg(jpeg: Any) -> Any:
    """Decode JPEG files (B,) of images of one size to (B, H, W, 3)."""
    return tf.map_fn(
        lambda file: tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE"),
        jpeg,
        fn_output_signature=tf.TensorSpec((None, None, 3), tf.uint8),
    )


def _pad(pixels: Any) -> Any:
    """Pad images with black on the right and below to sides that the detector takes."""
    rows, cols = tf.unstack(tf.shape(pixels)[1:3])
    return tf.pad(pixels, [[0, 0], [0, -rows % INPUT_MULTIPLE], [0, -cols % INPUT_MULTIPLE], [0, 0]])


def _to_numpy(outputs: dict[str, Any]) -> Outputs:
    return outputs[BOXES].numpy(), outputs[SCORES].numpy()


def write_onnx(graph: Any, config: ModelConfig, card: str, file: Path) -> None:
    """Write an ONNX model of any batch, height and width.

    Args:
        graph: of `detector_graph`.
        config: config of the model, for the `metadata_props`.
        card: model card of the model, in Markdown, for the `doc_string`.
        file: to write.
    """
    import onnx  # with tf2onnx and onnxruntime an optional dependency
    import tf2onnx

    proto, _ = tf2onnx.convert.from_graph_def(
        graph,
        name=config.name,
        input_names=[f"{PIXELS}:0"],
        output_names=[f"{BOXES}:0", f"{SCORES}:0"],
        opset=_OPSET,
        tensors_to_rename={f"{name}:0": name for name in (PIXELS, BOXES, SCORES)},
    )
    axes = {PIXELS: ("batch", "height", "width"), BOXES: ("batch", "cells"), SCORES: ("batch", "cells")}
    for value in (*proto.graph.input, *proto.graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim, axes[value.name], strict=False):
            axis.dim_param = name
    proto.doc_string = card
    metadata = {
        "name": config.name,
        "version": config.version,
        "min_score": json.dumps(config.min_score),
        "calibration": json.dumps(config.calibration and asdict(config.calibration)),
    }
    onnx.helper.set_model_props(proto, metadata)
    onnx.checker.check_model(proto, full_check=True)
    file.write_bytes(proto.SerializeToString())


def read_onnx(file: Path) -> Signature:
    """Read a file of `write_onnx`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def detect(images: ImageArray) -> Outputs:
        boxes, scores = session.run([BOXES, SCORES], {PIXELS: images})
        return boxes, scores

    return Signature("onnx", detect)
