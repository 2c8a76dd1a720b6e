"""The number format that a detector computes in: float32 or bfloat16."""

from pathlib import Path
from typing import Literal

Precision = Literal["auto", "float32", "bfloat16"]

_CPU_INFO = Path("/proc/cpuinfo")
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
