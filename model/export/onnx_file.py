"""The detector as an ONNX file. Needs packages that nothing else does."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import tf2onnx

from geo.types import ImageArray
from model.export.graph import BOXES, PIXELS, SCORES
from model.export.signatures import Outputs, Way
from model.inference.weights_io import ModelConfig

# The newest operations that tf2onnx writes.
_OPSET = 18


def write(graph: Any, config: ModelConfig, card: str, file: Path) -> None:
    """Writes an ONNX model of any batch, height and width.

    Args:
        graph: see `model.export.graph.detector_graph`.
        config: of the model; goes into its `metadata_props`.
        card: of the model, in Markdown; becomes its `doc_string`.
        file: to write.
    """
    outputs = [f"{BOXES}:0", f"{SCORES}:0"]
    proto, _ = tf2onnx.convert.from_graph_def(
        graph,
        name=config.name,
        input_names=[f"{PIXELS}:0"],
        output_names=outputs,
        opset=_OPSET,
        tensors_to_rename={f"{name}:0": name for name in (PIXELS, BOXES, SCORES)},
    )
    _name_axes(proto)
    proto.doc_string = card
    onnx.helper.set_model_props(proto, _metadata(config))
    onnx.checker.check_model(proto, full_check=True)
    file.write_bytes(proto.SerializeToString())


def read(file: Path) -> Way:
    """The detector in a file that `write` has written."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def detect(images: ImageArray) -> Outputs:
        boxes, scores = session.run([BOXES, SCORES], {PIXELS: images})
        return boxes, scores

    return Way("onnx", detect)


def _metadata(config: ModelConfig) -> dict[str, str]:
    return {
        "name": config.name,
        "version": config.version,
        "min_score": json.dumps(config.min_score),
        "calibration": json.dumps(config.calibration and asdict(config.calibration)),
    }


def _name_axes(proto: onnx.ModelProto) -> None:
    """Says what the axes of any length are, in words instead of numbers."""
    names = {PIXELS: ("batch", "height", "width"), BOXES: ("batch", "cells"), SCORES: ("batch", "cells")}
    for value in (*proto.graph.input, *proto.graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim, names[value.name], strict=False):
            axis.dim_param = name
