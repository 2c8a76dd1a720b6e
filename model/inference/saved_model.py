"""A SavedModel as a predictor: one that `model.export` wrote, or a model of the user.

It has a signature `detect`: `pixels` uint8 (B, H, W, 3), H and W multiples of 32, to `boxes` float32 (B, N, 4), xmin,
ymin, xmax, ymax in pixels of the picture, and `scores` float32 (B, N), 0..1, the probability that each is an airplane.
Rows of padding have the score 0. It may have a signature `detect_jpeg`, too: `jpeg` string (B,), JPEG or PNG files of
images of one size, to the same outputs. A `config.yaml` in `assets.extra` may give its `name` and `min_score`.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from geo.errors import ConfigError, RasterError, one_line
from geo.types import Detections, ImageArray
from model.common.config import read_yaml
from model.inference.cells import CellPredictor
from model.inference.frozen_graph import allow_memory_growth
from model.inference.model_folder import CONFIG_FILE, WeightsError

SIGNATURE = "detect"
FILES_SIGNATURE = "detect_jpeg"
EXTRA = "assets.extra"
# The default threshold of a SavedModel without a config.
_MIN_SCORE = 0.5
# Above the score of padding.
_SMALLEST_SCORE = float(np.finfo(np.float32).tiny)


class SavedModelPredictor(CellPredictor):
    """A SavedModel; see `model.inference.predictor.load_predictor`. Loading it can run code of its author."""

    def __init__(self, folder: Path, batch_size: int, min_score: float) -> None:
        allow_memory_growth()
        version, default_min_score = describe(folder)
        # Kept, because its signatures hold no reference to its variables.
        self.loaded = _load(folder)
        detect = self.loaded.signatures[SIGNATURE]

        def run(images: ImageArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            outputs = detect(pixels=tf.constant(images))
            return outputs["boxes"].numpy(), outputs["scores"].numpy()

        super().__init__(version, default_min_score, run, batch_size, max(min_score, _SMALLEST_SCORE))

    @property
    def decodes_files(self) -> bool:
        """Whether the model has the signature that `detect_in_files` needs."""
        signature = self.loaded.signatures.get(FILES_SIGNATURE)
        return signature is not None and set(signature.structured_input_signature[1]) == {"jpeg"}

    def detect_in_files(self, files: Sequence[bytes]) -> list[Detections]:
        """Detect airplanes in image files, which the model itself decodes, one after the other.

        Args:
            files: JPEG or PNG files, of any sizes.

        Returns:
            For each image its detections, in its pixels (not clipped to it), resolution NaN.

        Raises:
            RasterError: the model cannot decode a file.
        """
        return [self._detect_in_file(file) for file in files]

    def _detect_in_file(self, file: bytes) -> Detections:
        try:
            with self._lock:
                outputs = self.loaded.signatures[FILES_SIGNATURE](jpeg=tf.constant([file]))
        except tf.errors.InvalidArgumentError as error:
            raise RasterError("expected a JPEG or PNG, got one that the model cannot decode: send another") from error
        return self._reduce(outputs["boxes"].numpy()[0], outputs["scores"].numpy()[0])


def _load(folder: Path) -> Any:
    try:
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError, tf.errors.OpError) as error:
        reason = one_line(error)
        raise WeightsError(f"{folder}: expected a SavedModel, got one that does not load: {reason}") from error
    detect = loaded.signatures.get(SIGNATURE) if hasattr(loaded, "signatures") else None
    inputs = set(detect.structured_input_signature[1]) if detect else set()
    outputs = set(detect.structured_outputs) if detect else set()
    if inputs != {"pixels"} or not {"boxes", "scores"} <= outputs:
        raise WeightsError(
            f"{folder}: expected a SavedModel with a signature {SIGNATURE} from pixels to boxes and scores, got "
            f"{', '.join(sorted(inputs)) or 'nothing'} to {', '.join(sorted(outputs)) or 'nothing'}: "
            "export it with such a signature"
        )
    return loaded


def describe(folder: Path) -> tuple[str, float]:
    """Return the name with its digest and the default threshold of a SavedModel, without loading it.

    They come from its config, else they are the folder's name and 0.5.

    Raises:
        ConfigError: its config is damaged.
    """
    file = folder / EXTRA / CONFIG_FILE
    content = read_yaml(file) if file.is_file() else {}
    name, min_score = content.get("name", folder.resolve().name), content.get("min_score", _MIN_SCORE)
    if not (isinstance(name, str) and isinstance(min_score, int | float) and 0 <= min_score <= 1):
        raise ConfigError(f"{file}: expected a name and a min_score from 0 to 1, got {name!r} and {min_score!r}")
    return f"{name}@{_digest(folder)[:12]}", float(min_score)


def _digest(folder: Path) -> str:
    """Return the sha256 of the graph and the variables."""
    digest = hashlib.sha256()
    for file in [folder / "saved_model.pb", *sorted((folder / "variables").glob("*"))]:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
