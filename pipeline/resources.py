"""Resources of the workers that run the detector: their GPU, their memory, and the batch size that fits.

Beam passes them to the runner as resource hints on the steps that read and detect, and on no others.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from geo.errors import CommandError

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig

# Of a GPU's memory, the part for a batch; the rest is left to CUDA, the weights and fragmentation.
_BATCH_SHARE = 0.5
# Memory of the network's activations, an upper bound from its layers: the widest has 96 channels at half resolution.
_ACTIVATION_BYTES_PER_PIXEL = 500
#: Threads of a worker's process, each with tiles of its own. They share the model, which runs one batch at a time.
THREADS = 4
# Host memory: of the process with its model and GDAL's cache (docs/results.md measures 1.7 GB), and of CUDA.
_PROCESS_GB, _CUDA_GB = 2.5, 4.0
# Tiles that a thread holds, in calls of the model: read ahead, waiting in the bundle, and stacked for the call.
_CALLS_HELD = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Gpu:
    """A type of GPU that Dataflow offers.

    Attributes:
        type: its name in Google Cloud.
        memory_gb: its memory.
        machine_type: the machine that it belongs to; None: it is attached to machines of other series.
    """

    type: str
    memory_gb: int
    machine_type: str | None = None


#: https://cloud.google.com/compute/docs/gpus
GPUS = (
    Gpu("nvidia-tesla-t4", 16),
    Gpu("nvidia-tesla-v100", 16),
    Gpu("nvidia-l4", 24, "g2-standard-8"),
    Gpu("nvidia-tesla-a100", 40, "a2-highgpu-1g"),
    Gpu("nvidia-a100-80gb", 80, "a2-ultragpu-1g"),
    Gpu("nvidia-h100-80gb", 80, "a3-highgpu-1g"),
)


def find_gpu(name: str) -> Gpu:
    """Return the GPU of that type.

    Raises:
        CommandError: the type is not known.
    """
    by_type = {gpu.type: gpu for gpu in GPUS}
    if name not in by_type:
        raise CommandError(f"--gpu {name}: expected one of {', '.join(by_type)}, got another: choose one of them")
    return by_type[name]


def gpu_batch_size(gpu: Gpu, tile_px: int) -> int:
    """Return how many tiles of `tile_px` squared fit into a call of the model: a power of two, at least 1."""
    tiles = _BATCH_SHARE * gpu.memory_gb * 1e9 / (_ACTIVATION_BYTES_PER_PIXEL * tile_px**2)
    return int(2 ** max(0, math.floor(math.log2(tiles))))


def resource_hints(config: PipelineConfig, gpu: Gpu | None) -> dict[str, str]:
    """Return Beam's resource hints for the steps that read and detect.

    Args:
        config: the settings, with the batch size that will be used.
        gpu: the GPU that was asked for; None: a CPU.
    """
    from model.inference import scan  # loads rasterio, which a mistyped --gpu need not wait for

    tile_bytes = config.tiling.tile_px**2 * 3
    tiles_gb = THREADS * _CALLS_HELD * config.batch_size * scan.BATCHES_PER_CALL * tile_bytes / 1e9
    hints = {"min_ram": f"{math.ceil(_PROCESS_GB + tiles_gb + (_CUDA_GB if gpu else 0.0))}GB"}
    if gpu is not None:
        machine = f"machine_type:{gpu.machine_type};" if gpu.machine_type else ""
        hints["accelerator"] = f"type:{gpu.type};count:1;{machine}install-nvidia-driver"
    return hints
