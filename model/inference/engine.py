"""What runs a detector, and in which number format: chosen by the machine's processor, never by a stopwatch."""

from pathlib import Path
from typing import Literal

from geo.errors import ConfigError

Precision = Literal["auto", "float32", "bfloat16"]
Engine = Literal["auto", "tensorflow", "litert"]

_CPU_INFO = Path("/proc/cpuinfo")
_DEVICES = Path("/dev")
# Linux' names of the instructions that multiply bfloat16, of x86-64 and of 64-bit Arm.
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def resolve_precision(precision: Precision, cpu_info: Path = _CPU_INFO) -> Literal["float32", "bfloat16"]:
    """Return the format for this machine: `auto` is bfloat16 where the CPU has instructions for it, else float32.

    bfloat16 has 8 significant bits. With such instructions it takes half the time; without, more than float32.
    """
    if precision != "auto":
        return precision
    try:
        flags = set(cpu_info.read_text().split())
    except OSError:
        return "float32"
    return "bfloat16" if flags & _BFLOAT16_FLAGS else "float32"


def resolve_engine(
    engine: Engine, precision: Literal["float32", "bfloat16"], saved_model: bool = False, devices: Path = _DEVICES
) -> Literal["tensorflow", "litert"]:
    """Return the engine for this machine: `auto` is LiteRT on a CPU in float32, else TensorFlow.

    LiteRT starts in a tenth of TensorFlow's time and is faster in float32; it knows neither GPUs nor bfloat16, with
    which TensorFlow is the faster one. A SavedModel is TensorFlow's own form.

    Args:
        engine: as in the settings.
        precision: as `resolve_precision` returns it.
        saved_model: whether the model is a SavedModel.
        devices: the folder of the machine's devices, for tests.

    Raises:
        ConfigError: LiteRT was asked for what it cannot do.
    """
    if engine == "litert" and saved_model:
        raise ConfigError("engine: expected tensorflow or auto for a SavedModel, got litert: change it in the config")
    if engine == "litert" and precision != "float32":
        raise ConfigError(f"precision: expected float32 with engine litert, got {precision}: change one of them")
    if engine != "auto":
        return engine
    has_gpu = any(devices.glob("nvidia[0-9]*"))
    return "tensorflow" if saved_model or has_gpu or precision == "bfloat16" else "litert"
