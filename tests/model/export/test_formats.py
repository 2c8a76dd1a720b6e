"""Every format, read with its own library, by the names in the docs."""

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from PIL import Image

from geo.types import ImageArray
from model.export.formats import Outputs
from model.inference import model_folder
from tests.model.export.conftest import CALIBRATION, CARD, assert_close, expected_outputs, random_images

SHAPES = pytest.mark.parametrize(("count", "shape"), [(2, (64, 96)), (1, (32, 160)), (3, (96, 32))])


@pytest.fixture(scope="module")
def signatures(exported: Path) -> Any:
    return tf.saved_model.load(str(exported / "saved_model")).signatures


def from_saved_model(signatures: Any, name: str, **inputs: Any) -> Outputs:
    outputs = signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
    return outputs["boxes"].numpy(), outputs["scores"].numpy()


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90, subsampling=0)
    return file.getvalue()


@SHAPES
@pytest.mark.parametrize("name", ["detect", "serving_default"])
def test_the_saved_model_agrees_with_the_network(
    signatures: Any, network: Any, name: str, count: int, shape: tuple[int, int]
) -> None:
    images = random_images(count, shape=shape)
    assert_close(from_saved_model(signatures, name, pixels=images), expected_outputs(network, images))


@SHAPES
def test_the_frozen_graph_agrees_with_the_network(
    exported: Path, network: Any, count: int, shape: tuple[int, int]
) -> None:
    images = random_images(count, shape=shape)
    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString((exported / "frozen_graph.pb").read_bytes())
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(definition, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            boxes, scores = session.run(["boxes:0", "scores:0"], {"pixels:0": images})
    assert_close((boxes, scores), expected_outputs(network, images))


@SHAPES
def test_onnx_agrees_with_the_network(exported: Path, network: Any, count: int, shape: tuple[int, int]) -> None:
    images = random_images(count, shape=shape)
    session = onnxruntime.InferenceSession(str(exported / "model.onnx"), providers=["CPUExecutionProvider"])
    boxes, scores = session.run(["boxes", "scores"], {"pixels": images})
    assert_close((boxes, scores), expected_outputs(network, images))


def padded(images: ImageArray, height: int, width: int) -> ImageArray:
    return np.pad(images, ((0, 0), (0, height - images.shape[1]), (0, width - images.shape[2]), (0, 0)))


@pytest.mark.parametrize("size", [(96, 64), (70, 50)])
def test_jpeg_files_give_the_outputs_of_their_pixels(signatures: Any, network: Any, size: tuple[int, int]) -> None:
    files = [jpeg(Image.fromarray(image).resize(size)) for image in random_images(3, shape=(8, 8))]
    decoded = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])
    images = padded(decoded, 64, 96)
    outputs = from_saved_model(signatures, "detect_jpeg", jpeg=files)
    assert_close(outputs, expected_outputs(network, images))
    assert_close(outputs, from_saved_model(signatures, "detect", pixels=images))


def test_grey_jpeg_files_are_converted_to_rgb(signatures: Any) -> None:
    file = jpeg(Image.fromarray(random_images(1, shape=(8, 8))[0]).resize((96, 64)).convert("L"))
    images = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))[None]
    outputs = from_saved_model(signatures, "detect_jpeg", jpeg=[file])
    assert_close(outputs, from_saved_model(signatures, "detect", pixels=images))


def test_the_saved_model_has_the_signatures_of_the_docs(signatures: Any) -> None:
    assert set(signatures) == {"serving_default", "detect", "detect_jpeg"}
    for name, function in signatures.items():
        (key,) = function.structured_input_signature[1]
        spec = function.structured_input_signature[1][key]
        is_jpeg = name == "detect_jpeg"
        assert key == ("jpeg" if is_jpeg else "pixels")
        assert spec.dtype == (tf.string if is_jpeg else tf.uint8)
        assert spec.shape.as_list() == ([None] if is_jpeg else [None, None, None, 3])
        assert set(function.structured_outputs) == {"boxes", "scores"}
        assert all(output.dtype == tf.float32 for output in function.structured_outputs.values())


def test_no_format_holds_the_weights_twice(exported: Path, calibrated_folder: Path) -> None:
    size = 2 * (calibrated_folder / model_folder.WEIGHTS_FILE).stat().st_size  # half precision there, single here
    for name in ("saved_model/saved_model.pb", "frozen_graph.pb", "model.onnx"):
        assert (exported / name).stat().st_size < 1.5 * size


def test_the_card_and_the_config_are_copied(exported: Path, calibrated_folder: Path) -> None:
    for folder in (exported, exported / "saved_model" / "assets.extra"):
        for name in ("README.md", "config.yaml"):
            assert (folder / name).read_bytes() == (calibrated_folder / name).read_bytes()


def test_the_onnx_file_holds_the_card_and_the_config(exported: Path, calibrated_folder: Path) -> None:
    proto = onnx.load(exported / "model.onnx")
    config = model_folder.read_config(calibrated_folder)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert proto.doc_string == CARD
    assert (metadata["name"], metadata["version"]) == ("tiny", config.version)
    assert json.loads(metadata["min_score"]) == config.min_score
    assert json.loads(metadata["calibration"]) == asdict(CALIBRATION)


def test_the_axes_of_the_onnx_file_have_names(exported: Path) -> None:
    graph = onnx.load(exported / "model.onnx").graph
    axes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert axes == {
        "pixels": ["batch", "height", "width", 3],
        "boxes": ["batch", "cells", 4],
        "scores": ["batch", "cells"],
    }
