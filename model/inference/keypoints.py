"""Keypoints: nose, tail and wingtips of airplanes, in crops around their boxes.

A network of its own reads each airplane once, scaled to one size, after suppression: so the detector stays as it is,
whatever the model, and an airplane of 80 m costs as much as one of 10 m. It runs in LiteRT, whose file it is shipped
as: nothing is converted, and no TensorFlow is imported.
"""

import dataclasses
import hashlib
import os
import threading
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from geo.types import FloatArray, ImageArray
from model.common.config import from_mapping, read_yaml
from model.common.logs import hold_stderr
from model.inference.model_folder import CONFIG_FILE, PACKAGED, WeightsError

MODEL_FILE = "keypoints.tflite"
#: Side of a crop, pixels.
CROP_PX = 64
#: Side of a crop, in longer sides of the airplane's box.
CONTEXT = 1.5
#: Side of a cell of the heat maps, pixels of the crop.
CELL_PX = 4
_CELLS = CROP_PX // CELL_PX
# Around its highest cell, cells from which a point's position is the mean.
_NEAR_CELLS = 1


@dataclasses.dataclass(frozen=True, slots=True)
class KeypointConfig:
    """The config of a keypoint model.

    Attributes:
        name: its name.
        sha256: digest of its file.
        sd_offset_px: a point's expected error where its heat map is a single cell, crop pixels; fitted on val.
        sd_slope: how much of the heat map's own standard deviation is added to it.
    """

    name: str
    sha256: str
    sd_offset_px: float
    sd_slope: float


@dataclasses.dataclass(frozen=True, slots=True)
class Keypoints:
    """The keypoints of N airplanes, in the pixels of their crops; in the order of `geo.outline`.

    Attributes:
        points: (N, 4, 2) x and y.
        sd_px: (N, 4) expected error of each point along x and along y.
        reversed_probability: (N,) how likely nose and tail are the other way round, 0..0.5.
    """

    points: FloatArray
    sd_px: FloatArray
    reversed_probability: FloatArray


class KeypointPredictor:
    """A keypoint model. Thread-safe.

    Args:
        name_or_folder: name of a packaged model, or a folder.

    Raises:
        WeightsError: there is no such model, or its file is damaged.
        ConfigError: its config is damaged.
    """

    def __init__(self, name_or_folder: str) -> None:
        folder = _resolve(name_or_folder)
        self.config = from_mapping(KeypointConfig, read_yaml(folder / CONFIG_FILE), str(folder / CONFIG_FILE))
        content = (folder / MODEL_FILE).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest != self.config.sha256:
            raise WeightsError(
                f"{folder / MODEL_FILE}: expected the file with sha256 {self.config.sha256[:12]}, got {digest[:12]}: "
                "it is damaged or of another model, restore it or train anew"
            )
        with hold_stderr():  # it announces its delegate
            self._interpreter = Interpreter(model_content=content, num_threads=len(os.sched_getaffinity(0)))
            self._interpreter.allocate_tensors()
        self._lock = threading.Lock()

    def __call__(self, crops: ImageArray) -> Keypoints:
        """Return the keypoints of airplanes.

        Args:
            crops: uint8 (N, CROP_PX, CROP_PX, 3), centred on the boxes, `CONTEXT` times as wide as their longer sides.
        """
        with self._lock:
            maps = np.stack([self._heat_maps(crop) for crop in crops]) if len(crops) else np.zeros((0, *_SHAPE))
        return decode(maps, self.config.sd_offset_px, self.config.sd_slope)

    def _heat_maps(self, crop: ImageArray) -> NDArray[np.float32]:
        self._interpreter.set_tensor(self._interpreter.get_input_details()[0]["index"], crop[None])
        self._interpreter.invoke()
        maps: NDArray[np.float32] = self._interpreter.get_tensor(self._interpreter.get_output_details()[0]["index"])[0]
        return maps


_SHAPE = (_CELLS, _CELLS, 4)


def decode(maps: NDArray[np.floating], sd_offset_px: float, sd_slope: float) -> Keypoints:
    """Return the keypoints that heat maps show.

    Args:
        maps: (N, cells, cells, 4) probability that a point lies in a cell; those of one point sum to 1.
        sd_offset_px: see `KeypointConfig`.
        sd_slope: see `KeypointConfig`.
    """
    flat = np.asarray(maps, np.float64).reshape(len(maps), -1, 4)
    best = flat.argmax(axis=1)
    near = (np.abs(_CENTRES[best][:, None] - _CENTRES[None, :, None]) <= (_NEAR_CELLS + 0.5) * CELL_PX).all(axis=-1)
    weights = flat * near
    mass = weights.sum(axis=1)
    points = np.einsum("ncp,cd->npd", weights, _CENTRES) / mass[..., None]
    # Of the whole heat map: it is wide where the network wavers between two positions.
    squares = ((_CENTRES[None, :, None] - points[:, None]) ** 2).sum(axis=-1) / 2
    spread = np.sqrt((flat * squares).sum(axis=1))
    return Keypoints(points, sd_offset_px + sd_slope * spread, _reversed_probability(flat, near, mass))


def _reversed_probability(
    flat: NDArray[np.float64], near: NDArray[np.bool_], mass: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how likely nose and tail are the other way round, from what each map holds at the other's position."""
    nose_at_tail = (flat[..., 0] * near[..., 1]).sum(axis=1)
    tail_at_nose = (flat[..., 1] * near[..., 0]).sum(axis=1)
    as_is, other_way = mass[:, 0] * mass[:, 1], nose_at_tail * tail_at_nose
    return np.asarray(other_way / (as_is + other_way))


_COLUMNS = (np.arange(_CELLS) + 0.5) * CELL_PX
# (cells * cells, 2) x and y of the cells' centres, row by row.
_CENTRES = np.stack(np.meshgrid(_COLUMNS, _COLUMNS), axis=-1).reshape(-1, 2)


def _resolve(name_or_folder: str) -> Path:
    for folder in (PACKAGED / name_or_folder, Path(name_or_folder)):
        if (folder / CONFIG_FILE).is_file() and (folder / MODEL_FILE).is_file():
            return folder
    raise WeightsError(
        f"keypoint model {name_or_folder}: expected a packaged model, or a folder with {CONFIG_FILE} and {MODEL_FILE}, "
        "found neither"
    )
