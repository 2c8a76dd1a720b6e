"""The numbers that a detector computes in: 32 bits, or the upper 16 of them."""

from pathlib import Path
from typing import Literal

Precision = Literal["auto", "float32", "bfloat16"]

_PROCESSOR = Path("/proc/cpuinfo")
# What Linux calls the instructions that multiply bfloat16, of x86-64 and of 64-bit Arm.
_INSTRUCTIONS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def resolved(precision: Precision, processor: Path = _PROCESSOR) -> Literal["float32", "bfloat16"]:
    """What `auto` means on this machine: bfloat16 where its processor has instructions for it, else float32.

    bfloat16 has 8 significant bits. With such instructions it takes half the time; without, more than float32.
    """
    if precision != "auto":
        return precision
    try:
        words = set(processor.read_text().split())
    except OSError:
        return "float32"
    return "bfloat16" if words & _INSTRUCTIONS else "float32"
