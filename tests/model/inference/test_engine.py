from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pytest

from geo.errors import ConfigError
from model.detectors import backbones
from model.inference import weights_io
from model.inference.engine import Engine, Precision, resolve_engine, resolve_precision
from model.inference.predictor import load_predictor
from tests.precisions import needs_bfloat16


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 clzero", "bfloat16"),
        ("flags\t\t: fpu amx_bf16", "bfloat16"),
        ("Features\t: fp asimd bf16", "bfloat16"),
        ("flags\t\t: fpu avx512f avx512_vnni", "float32"),
    ],
)
def test_auto_depends_on_the_cpu(tmp_path: Path, flags: str, expected: str) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nvendor_id\t: Somebody\n{flags}\n")
    assert resolve_precision("auto", file) == expected


def test_auto_is_float32_without_cpu_info(tmp_path: Path) -> None:
    assert resolve_precision("auto", tmp_path / "none") == "float32"


def test_a_named_precision_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("flags: avx512_bf16")
    chosen: tuple[Precision, ...] = ("float32", "bfloat16")
    assert [resolve_precision(precision, file) for precision in chosen] == list(chosen)


def test_bfloat16_keeps_the_weights_and_the_last_layer_in_32_bits(network: Any, model_folder: Path) -> None:
    model, _ = weights_io.load(model_folder, "bfloat16")
    folded = backbones.fold({variable.path: variable.value.numpy() for variable in network.variables})
    for folded_variable in model.variables:
        np.testing.assert_array_equal(folded_variable, folded[folded_variable.path])
    assert {layer.compute_dtype for layer in model.layers if layer.name != "cells"} == {"bfloat16"}
    assert model.get_layer("cells").compute_dtype == "float32"
    assert model.output.dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


@needs_bfloat16
def test_bfloat16_gives_nearly_the_same(model_folder: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3)).astype(np.uint8)
    scores = {
        name: np.sort(load_predictor(str(model_folder), 1, 0.0, precision=name)(pixels)[0].scores)
        for name in ("float32", "bfloat16")
    }
    assert not np.array_equal(scores["bfloat16"], scores["float32"])
    np.testing.assert_allclose(scores["bfloat16"][-5:], scores["float32"][-5:], atol=0.05)


@pytest.mark.parametrize(
    ("engine", "precision", "saved_model", "gpu", "expected"),
    [
        ("auto", "float32", False, False, "litert"),
        ("auto", "float32", False, True, "tensorflow"),
        ("auto", "float32", True, False, "tensorflow"),
        ("auto", "bfloat16", False, False, "tensorflow"),
        ("tensorflow", "float32", False, False, "tensorflow"),
        ("litert", "float32", False, True, "litert"),
    ],
)
def test_the_engine_depends_on_the_machine(
    tmp_path: Path,
    engine: Engine,
    precision: Literal["float32", "bfloat16"],
    saved_model: bool,
    gpu: bool,
    expected: str,
) -> None:
    (tmp_path / ("nvidia0" if gpu else "sda0")).touch()
    assert resolve_engine(engine, precision, saved_model, tmp_path) == expected


@pytest.mark.parametrize(
    ("precision", "saved_model", "key"), [("bfloat16", False, "precision"), ("float32", True, "engine")]
)
def test_litert_rejects_unsupported_settings(
    precision: Literal["float32", "bfloat16"], saved_model: bool, key: str
) -> None:
    with pytest.raises(ConfigError, match=rf"{key}: expected .* litert"):
        resolve_engine("litert", precision, saved_model)
