"""The settings of a scan, in a module that imports little: a wrong config is reported before anything heavy loads."""

from dataclasses import dataclass
from pathlib import Path

from geo.errors import ConfigError
from geo.grid import Tiling
from geo.nms import Suppression
from model.common.config import from_mapping, read_yaml
from model.detectors import INPUT_MULTIPLE

#: The other keys of the pipeline's settings file, which do not concern the scan of a scene.
PIPELINE_KEYS = frozenset(
    {
        "model",
        "min_score",
        "precision",
        "engine",
        "batch_size",
        "block_tiles",
        "bands",
        "asset",
        "force",
        "rpc_height_m",
        "acquired_in_name",
        "screen",
        "keypoints",
    }
)


@dataclass(frozen=True, slots=True)
class ScanConfig:
    """Settings of the scan of a scene, shared by the pipeline and the evaluation.

    Attributes:
        tiling: levels, tiles and their overlap.
        suppression: thresholds at which two boxes are one airplane.

    Raises:
        ConfigError: the tiles do not start at multiples of the detector's stride.
    """

    tiling: Tiling
    suppression: Suppression

    def __post_init__(self) -> None:
        if self.tiling.align_px % INPUT_MULTIPLE:
            raise ConfigError(
                f"tiling.align_px: expected a multiple of {INPUT_MULTIPLE}, got {self.tiling.align_px}: "
                "change it in the config"
            )


def read_scan_config(path: Path) -> ScanConfig:
    """Read the scan settings from a settings file of the pipeline, or from a file that holds nothing else.

    Raises:
        ConfigError: no such file, a missing or unknown key, or a value of the wrong type or out of range.
    """
    content = read_yaml(path)
    shared = {name: value for name, value in content.items() if name not in PIPELINE_KEYS}
    return from_mapping(ScanConfig, shared, str(path))
