"""The models of the service: loaded in the background, and shared by all requests, whose images form batches."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np

from geo.errors import FinderError, one_line
from geo.types import Detections, ImageArray
from model.inference.predictor import Predictor
from pipeline.config import PipelineConfig, settings_id
from pipeline.model_loading import ModelSpec, describe_model, load_model
from pipeline.serve.requests import FLOOR_SCORE, MAX_INSTANCES, MAX_SIDE_PX, RequestError
from pipeline.values import Identity

#: Sides to which images are padded. The engine keeps memory for every shape, so a stranger must not choose shapes.
_SIDES_PX = (256, 384, 512, 768, 1024, 1536, MAX_SIDE_PX)
#: Pixels of a batch: larger batches are no faster per image, and delay those that wait.
_MAX_BATCH_PX = 64 * 256 * 256
#: Images that wait for the model, beside the batch it runs on.
_MAX_WAITING = 64


@dataclasses.dataclass(frozen=True, slots=True)
class _Waiting:
    """An image that waits for the model: its padded pixels, or its file for a model that decodes files."""

    content: ImageArray | bytes
    size: tuple[int, int]
    result: Future[Detections]


class Batcher:
    """Runs a model on images of many requests at once; a thread of its own.

    Args:
        predictor: the model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._batch_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    def submit(self, images: Sequence[ImageArray]) -> list[Future[Detections]]:
        """Queue images, uint8 (height, width, 3) of any sizes up to `MAX_SIDE_PX`.

        Returns:
            For each its detections, in its pixels and clipped to it, by falling score.

        Raises:
            RequestError: too many images wait already (429), or the service stops (503).
        """
        return self._queue([_Waiting(_padded(image), (image.shape[1], image.shape[0]), Future()) for image in images])

    @property
    def decodes_files(self) -> bool:
        """Whether the model decodes image files itself."""
        return bool(getattr(self._predictor, "decodes_files", False))

    def submit_files(self, files: Sequence[bytes], sizes: Sequence[tuple[int, int]]) -> list[Future[Detections]]:
        """Queue JPEG or PNG files of these widths and heights for a model that decodes them; one makes a batch.

        Returns:
            As for `submit`.

        Raises:
            RequestError: as for `submit`.
        """
        return self._queue([_Waiting(file, size, Future()) for file, size in zip(files, sizes, strict=True)])

    def _queue(self, waiting: list[_Waiting]) -> list[Future[Detections]]:
        with self._changed:
            if self._stopped:
                raise RequestError(503, "the service is stopping: try again later", 5)
            if self._waiting and len(self._waiting) + len(waiting) > _MAX_WAITING:
                seconds = max(1, math.ceil(self._batch_seconds))
                raise RequestError(429, f"too many images are waiting for the model: try again in {seconds} s", seconds)
            self._waiting.extend(waiting)
            self._changed.notify()
        return [item.result for item in waiting]

    def stop(self) -> None:
        """Process the images that wait, and end the thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            started = time.perf_counter()
            try:
                results = self._detect([item.content for item in batch])
            # Whatever the engine raises belongs to these requests; the next batch may be fine.
            except Exception as error:  # noqa: BLE001
                for item in batch:
                    item.result.set_exception(error)
            else:
                for item, detections in zip(batch, results, strict=True):
                    item.result.set_result(_inside(detections, item.size))
            self._batch_seconds = time.perf_counter() - started

    def _detect(self, contents: list[ImageArray | bytes]) -> list[Detections]:
        if isinstance(contents[0], bytes):
            detected: list[Detections] = self._predictor.detect_in_files(contents)  # type: ignore[attr-defined]
            return detected
        return self._predictor(np.stack(contents))

    def _next_batch(self) -> list[_Waiting]:
        """Return images of one shape, the oldest and those that can go with it, or one file; empty: stop."""
        with self._changed:
            while not self._waiting and not self._stopped:
                self._changed.wait()
            if not self._waiting:
                return []
            batch = [self._waiting[0]]
            if not isinstance(batch[0].content, bytes):
                shape = batch[0].content.shape
                limit = max(1, min(MAX_INSTANCES, _MAX_BATCH_PX // (shape[0] * shape[1])))
                batch = [item for item in self._waiting if getattr(item.content, "shape", None) == shape][:limit]
            taken = {id(item) for item in batch}
            self._waiting = deque(item for item in self._waiting if id(item) not in taken)
            return [item for item in batch if item.result.set_running_or_notify_cancel()] or self._next_batch()


def _padded(image: ImageArray) -> ImageArray:
    """Return an image with black on the right and below, as at the edge of a scene."""
    height, width = (next(side for side in _SIDES_PX if side >= length) for length in image.shape[:2])
    padded = np.zeros((height, width, 3), np.uint8)
    padded[: image.shape[0], : image.shape[1]] = image
    return padded


def _inside(detections: Detections, size: tuple[int, int]) -> Detections:
    """Return the detections centred in an image of this width and height, clipped to it, by falling score."""
    centres = (detections.boxes[:, :2] + detections.boxes[:, 2:]) / 2
    kept = detections.take(np.flatnonzero(((centres >= 0) & (centres <= size)).all(axis=1)))
    order = np.argsort(-kept.scores, kind="stable")
    return Detections(np.clip(kept.boxes, 0, [*size, *size])[order], kept.scores[order], kept.resolution_m[order])


class ServedModel:
    """A model under its name in the service; `load` makes it available.

    Args:
        name: in addresses.
        spec: the model and the settings, with the model's own threshold.
    """

    def __init__(self, name: str, spec: ModelSpec) -> None:
        self.name = name
        self.spec = spec
        self._predictor: Future[Predictor] = Future()
        self._batcher: Batcher | None = None

    @property
    def min_score(self) -> float:
        """The threshold where a request names none."""
        return self.spec.config.min_score or 0.0

    @property
    def state(self) -> str:
        """`LOADING`, `AVAILABLE` or `END` (it could not be loaded), as TensorFlow Serving calls them."""
        if not self._predictor.done():
            return "LOADING"
        return "AVAILABLE" if self.error is None else "END"

    @property
    def error(self) -> str | None:
        """Why it could not be loaded, one line."""
        error = self._predictor.exception() if self._predictor.done() else None
        return None if error is None else one_line(error)

    def load(self) -> None:
        """Load the model; an error is kept for those who ask for it."""
        try:
            # With the lowest threshold of all requests; each then leaves out what is below its own.
            predictor = load_model(dataclasses.replace(self.spec, config=self._config(FLOOR_SCORE)))
            self._batcher = Batcher(predictor)
        except Exception as error:  # noqa: BLE001 -- reported by `state` and by each request
            self._predictor.set_exception(error)
        else:
            self._predictor.set_result(predictor)

    def batcher(self) -> Batcher:
        """Return what runs `:predict`.

        Raises:
            RequestError: the model is loading (503), or could not be loaded (500).
        """
        if self.state == "LOADING":
            raise RequestError(503, f"model {self.name} is loading: try again", 1)
        if self._batcher is None:
            raise RequestError(503, f"model {self.name} could not be loaded: {self.error}")
        return self._batcher

    def detector(self, min_score: float | None) -> tuple[Predictor, PipelineConfig, Identity]:
        """Return the loaded model with a threshold, its settings, and what goes into the ids of its detections.

        Waits until the model is loaded.

        Raises:
            FinderError: it could not be loaded.
        """
        config = self._config(self.min_score if min_score is None else min_score)
        predictor = _WithThreshold(self._predictor.result(), config.min_score or 0.0)
        return predictor, config, Identity(self.spec.identity.model, settings_id(config))

    def stop(self) -> None:
        """Process the images that wait for the model."""
        if self._batcher is not None:
            self._batcher.stop()

    def _config(self, min_score: float) -> PipelineConfig:
        config = dataclasses.replace(self.spec.config, min_score=min_score)
        # LiteRT runs tiles one by one in any case, and with batches of one each is reported when it is done.
        return dataclasses.replace(config, batch_size=1) if config.engine == "litert" else config


class _WithThreshold:
    """A predictor without the detections below a score.

    Filtered before the tiles are merged: there a weak box of a coarse level could drop a strong one of a finer level.
    """

    def __init__(self, predictor: Predictor, min_score: float) -> None:
        self.name = predictor.name
        self.default_min_score = predictor.default_min_score
        self._predictor = predictor
        self._min_score = min_score

    def __call__(self, images: ImageArray) -> list[Detections]:
        """See `Predictor`."""
        return [each.take(np.flatnonzero(each.scores >= self._min_score)) for each in self._predictor(images)]


class Models:
    """All models of a service, by name; the first is the default.

    Args:
        served: one or more.
    """

    def __init__(self, served: Sequence[ServedModel]) -> None:
        self._by_name = {model.name: model for model in served}
        self._loader = threading.Thread(target=self._load, name="load the models", daemon=True)

    def start(self) -> None:
        """Begin to load them, one after the other."""
        self._loader.start()

    def all(self) -> list[ServedModel]:
        """Return all of them."""
        return list(self._by_name.values())

    def get(self, name: str | None) -> ServedModel:
        """Return a model by its name; None: the default.

        Raises:
            RequestError: there is none (404).
        """
        if name is None:
            return next(iter(self._by_name.values()))
        if name not in self._by_name:
            raise RequestError(404, f"model {name[:60]}: expected {', '.join(self._by_name)}, got another")
        return self._by_name[name]

    def stop(self) -> None:
        """Process the images that wait for the models. A model that is still loading is not waited for."""
        for model in self.all():
            model.stop()

    def _load(self) -> None:
        for model in self.all():
            model.load()


def describe_models(names: Sequence[str], config: PipelineConfig, trusted: bool) -> Models:
    """Return the models of a service, described but not loaded.

    Args:
        names: packaged models, model folders or SavedModels; empty: the model of the settings.
        config: the settings.
        trusted: SavedModels may be loaded.

    Raises:
        FinderError: there is no such model, a damaged one, or two of one name.
    """
    served: dict[str, ServedModel] = {}
    for name in names or [config.model]:
        spec = describe_model(dataclasses.replace(config, model=name), trusted)
        short = spec.identity.model.partition("@")[0]
        # Two versions of one model are told apart by their digests.
        key = spec.identity.model if short in served else short
        if key in served:
            raise FinderError(f"--model {name}: expected different models, got {key} twice: name it once")
        served[key] = ServedModel(key, spec)
    return Models(list(served.values()))
