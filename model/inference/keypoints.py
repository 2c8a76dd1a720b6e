"""The keypoint model of a folder, run in LiteRT: nose, tail and wingtips of airplanes in crops around their boxes.

It reads each airplane once, scaled to one size, after suppression: so the detector stays as it is, whatever the model,
and an airplane of 80 m costs as much as one of 10 m. Its weights are a LiteRT file: nothing is converted, and no
TensorFlow is imported.
"""

import dataclasses
import functools
import hashlib
import os
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geo.types import FloatArray, ImageArray
from model.common.config import load_yaml
from model.common.logs import hold_stderr
from model.detectors.keypoints.heat_maps import CELLS, Keypoints, decode
from model.inference.model_folder import CONFIG_FILE, PACKAGED, WeightsError

MODEL_FILE = "keypoints.tflite"


@dataclasses.dataclass(frozen=True, slots=True)
class KeypointModelConfig:
    """The config of a keypoint model.

    Attributes:
        name: its name.
        sha256: digest of its file.
        sd_offset_px: expected error of a point, along x and along y, where its heat map has no spread; pixels of the
            crop, fitted on val.
        sd_slope: how much of the heat map's spread is added to it, fitted on val.
    """

    name: str
    sha256: str
    sd_offset_px: float
    sd_slope: float

    @property
    def version(self) -> str:
        """The name with the first 12 characters of the digest."""
        return f"{self.name}@{self.sha256[:12]}"


class KeypointPredictor:
    """A keypoint model. Thread-safe.

    Args:
        name_or_folder: name of a packaged model, or a folder.

    Raises:
        WeightsError: there is no such model, or its file is damaged.
        ConfigError: its config is damaged.
    """

    def __init__(self, name_or_folder: str) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.config = read_config(name_or_folder)
        content = (_resolve(name_or_folder) / MODEL_FILE).read_bytes()
        with hold_stderr():  # it announces its delegate
            self._interpreter = Interpreter(model_content=content, num_threads=len(os.sched_getaffinity(0)))
            self._interpreter.allocate_tensors()
        self._lock = threading.Lock()

    def __call__(self, crops: ImageArray) -> Keypoints:
        """Return the keypoints of airplanes.

        Args:
            crops: uint8 (N, CROP_PX, CROP_PX, 3), centred on the boxes, CONTEXT times as wide as their longer sides.
        """
        maps = np.zeros((len(crops), CELLS * CELLS, 4), np.float32)
        with self._lock:
            for number, crop in enumerate(crops):
                maps[number] = self._run(crop)
        return decode(maps)

    def sd_px(self, keypoints: Keypoints) -> FloatArray:
        """Return the expected error of each point, along x and along y, pixels of the crop (N, 4)."""
        return self.config.sd_offset_px + self.config.sd_slope * keypoints.spread_px

    def _run(self, crop: ImageArray) -> NDArray[np.float32]:
        self._interpreter.set_tensor(self._interpreter.get_input_details()[0]["index"], crop[None])
        self._interpreter.invoke()
        maps: NDArray[np.float32] = self._interpreter.get_tensor(self._interpreter.get_output_details()[0]["index"])[0]
        return maps


def read_config(name_or_folder: str) -> KeypointModelConfig:
    """Read the config of a keypoint model and check its file against the digest, without loading it.

    Raises:
        WeightsError: there is no such model, or its file is damaged.
        ConfigError: its config is damaged.
    """
    folder = _resolve(name_or_folder)
    config = load_yaml(KeypointModelConfig, folder / CONFIG_FILE)
    digest = hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest()
    if digest != config.sha256:
        raise WeightsError(
            f"{folder / MODEL_FILE}: expected the file with sha256 {config.sha256[:12]}, got {digest[:12]}: "
            "it is damaged or of another model, restore it or train anew"
        )
    return config


@functools.cache
def load_keypoints(name_or_folder: str) -> KeypointPredictor:
    """Return a keypoint model, loaded once in a process; see `KeypointPredictor`."""
    return KeypointPredictor(name_or_folder)


def _resolve(name_or_folder: str) -> Path:
    for folder in (PACKAGED / name_or_folder, Path(name_or_folder)):
        if (folder / CONFIG_FILE).is_file() and (folder / MODEL_FILE).is_file():
            return folder
    raise WeightsError(
        f"keypoint model {name_or_folder}: expected a packaged model, or a folder with {CONFIG_FILE} and {MODEL_FILE}, "
        "found neither: name another under keypoints in the config, or null to measure nothing"
    )
