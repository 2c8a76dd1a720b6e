"""The model of a run: described before any work starts, loaded once in each process that needs it, and kept."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from geo.errors import ConfigError
from geo.raster.uri import is_remote
from model.common.logs import hold_stderr
from model.inference import keypoints, model_folder
from model.inference.engine import resolve_engine, resolve_precision
from model.inference.engine_cache import graph_file, read_cache
from model.inference.predictor import Predictor, check_trusted, is_saved_model, load_predictor
from pipeline.config import PipelineConfig, settings_id
from pipeline.resources import Gpu, gpu_batch_size
from pipeline.sinks import storage
from pipeline.values import Identity

#: Models that a process keeps for the next run, the last used ones. A LiteRT model takes 0.3 GB, TensorFlow's more.
KEPT_MODELS = 3

_log = logging.getLogger(__name__)
_lock = threading.Lock()
_models: OrderedDict[tuple[object, ...], Future[Predictor]] = OrderedDict()


@dataclasses.dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model whose files were checked, and the settings with the model's defaults filled in.

    Attributes:
        config: the settings.
        identity: model and settings, as every airplane carries them.
        trusted: the model may be a SavedModel, which can run code.
        gpu: the GPU that was asked for, or None.
    """

    config: PipelineConfig
    identity: Identity
    trusted: bool = False
    gpu: Gpu | None = None


def describe_model(
    config: PipelineConfig, trusted: bool = False, gpu: Gpu | None = None, elsewhere: bool = False
) -> ModelSpec:
    """Check the model's files, without loading them.

    Args:
        config: the settings.
        trusted: a SavedModel may be loaded later, although it can run code.
        gpu: the GPU that was asked for; it sets engine, precision and batch size.
        elsewhere: the model will run on machines of another kind, such as those of Dataflow.

    Raises:
        WeightsError: no such model, or a damaged one.
        ConfigError: its description is damaged, it is a SavedModel and not trusted, or the engine knows no GPU.
    """
    version, default_min_score = _version_and_min_score(config.model, trusted)
    if config.keypoints is not None:
        keypoints.read_config(model_folder_of(config.keypoints))
    min_score = default_min_score if config.min_score is None else config.min_score
    if gpu is not None or elsewhere:
        config = _for_workers(config, gpu)
    # `auto` is resolved once, where the run starts, so that all workers compute alike.
    precision = resolve_precision(config.precision)
    engine = resolve_engine(config.engine, precision, is_saved_model(model_folder_of(config.model)))
    config = dataclasses.replace(config, min_score=min_score, precision=precision, engine=engine)
    return ModelSpec(config, Identity(version, settings_id(config)), trusted, gpu)


def _for_workers(config: PipelineConfig, gpu: Gpu | None) -> PipelineConfig:
    """Return the settings with what `auto` means on other machines than this one, and the batch size of their GPU."""
    precision = "float32" if config.precision == "auto" else config.precision
    if gpu is None:
        is_plain = precision == "float32" and not is_saved_model(model_folder_of(config.model))
        engine = ("litert" if is_plain else "tensorflow") if config.engine == "auto" else config.engine
        return dataclasses.replace(config, precision=precision, engine=engine)
    if config.engine == "litert":
        raise ConfigError("engine: expected tensorflow or auto with --gpu, got litert: change it in the config")
    batch_size = max(config.batch_size, gpu_batch_size(gpu, config.tiling.tile_px))
    return dataclasses.replace(config, precision=precision, engine="tensorflow", batch_size=batch_size)


def _version_and_min_score(model: str, trusted: bool) -> tuple[str, float]:
    """Return the model's name with its digest, and its default threshold."""
    folder = model_folder_of(model)
    with storage.naming(model, Path(folder)):
        if is_saved_model(folder):
            check_trusted(folder, trusted)
            with hold_stderr():  # of TensorFlow
                from model.inference import saved_model

            return saved_model.describe(Path(folder))
        config = model_folder.read_config(model_folder.resolve(folder))
        return config.version, config.min_score


def model_folder_of(model: str) -> str:
    """Return a model's name or folder on this machine: as given, or a copy of one at `gs://`.

    A copy is made once in a process, and removed at its end.

    Raises:
        WeightsError: there is no such folder.
    """
    return _copy(model).name if is_remote(model) else model


@functools.cache
def _copy(uri: str) -> tempfile.TemporaryDirectory[str]:
    from model.datagen import files  # imports Beam, which takes seconds

    copy = tempfile.TemporaryDirectory(prefix="airplanes-model-")
    try:
        files.copy_folder(uri, Path(copy.name))
    except ConfigError as error:
        raise model_folder.WeightsError(f"model {error}") from error
    return copy


def stage_model(spec: ModelSpec, folder: str) -> ModelSpec:
    """Copy the models of this machine to a folder at `gs://`, where workers can read them, and return them as there.

    A packaged model is part of the project, and a model at `gs://` is there already: these are left as they are.

    Raises:
        OutputError: one cannot be written.
    """
    config = spec.config
    if _is_here_only(config.model):
        source = Path(config.model)
        files = [path for path in source.rglob("*") if path.is_file()] if is_saved_model(config.model) else None
        names = files or [source / model_folder.CONFIG_FILE, source / model_folder.WEIGHTS_FILE]
        uri = _stage(source, names, f"{folder.rstrip('/')}/models/{spec.identity.model}")
        config = dataclasses.replace(config, model=uri)
    if config.keypoints is not None and _is_here_only(config.keypoints):
        source = Path(config.keypoints)
        version = keypoints.read_config(config.keypoints).version
        names = [source / model_folder.CONFIG_FILE, source / keypoints.MODEL_FILE]
        uri = _stage(source, names, f"{folder.rstrip('/')}/models/{version}")
        config = dataclasses.replace(config, keypoints=uri)
    return spec if config is spec.config else dataclasses.replace(spec, config=config)


def _is_here_only(model: str) -> bool:
    """Return whether a model is a folder of this machine, neither packaged nor at `gs://`."""
    is_packaged = Path(model).name == model and (model_folder.PACKAGED / model / model_folder.CONFIG_FILE).is_file()
    return not (is_remote(model) or is_packaged)


def _stage(source: Path, files: Iterable[Path], uri: str) -> str:
    """Copy files of a folder to another at `gs://`, and return that."""
    for path in files:
        with storage.staged(f"{uri}/{path.relative_to(source).as_posix()}") as staged:
            shutil.copyfile(path, staged)
    return uri


def load_model(spec: ModelSpec) -> Predictor:
    """Return the model: loaded, or kept from an earlier call in this process. Thread-safe.

    Raises:
        WeightsError: no such model, a damaged one, or a SavedModel without the signature that is needed.
    """
    config = spec.config
    if config.min_score is None:
        raise ValueError("expected settings with min_score filled in, got None: use describe_model")
    min_score = min(config.min_score, config.screen.min_score) if config.screen else config.min_score
    # The name has a digest of the weights: a model that is trained again is loaded again.
    key = (spec.identity.model, config.model, config.batch_size, min_score, config.precision, config.engine)
    with _lock:
        is_known = key in _models
        future = _models.setdefault(key, Future())
        _models.move_to_end(key)
        while len(_models) > KEPT_MODELS:
            _models.popitem(last=False)
    if is_known:
        return future.result()
    try:
        predictor = load_predictor(
            model_folder_of(config.model),
            config.batch_size,
            min_score,
            precision=config.precision,
            engine=config.engine,
            trusted=spec.trusted,
            cached=True,
        )
        if spec.gpu is not None:
            _prepare_gpu(predictor, spec.gpu, config)
    except BaseException as error:
        with _lock:
            _models.pop(key, None)  # the next call tries again
        future.set_exception(error)
        raise
    future.set_result(predictor)
    return predictor


def needs_keras(spec: ModelSpec) -> bool:
    """Return whether loading the model imports Keras: not where the engine has it in its form, in the cache."""
    config, folder = spec.config, model_folder_of(spec.config.model)
    if config.engine != "tensorflow":
        return False
    if is_saved_model(folder):
        return True
    path = model_folder.resolve(folder)
    described = model_folder.read_config(path)
    return read_cache(graph_file(path, described, described.calibration is not None, config.precision)) is None


def _prepare_gpu(predictor: Predictor, gpu: Gpu, config: PipelineConfig) -> None:
    """Run the model once on the largest tiles, so that the first ones do not wait for CUDA; warn if there is no GPU."""
    import tensorflow as tf  # loaded with the model

    if not tf.config.list_physical_devices("GPU"):
        _log.warning(
            "expected a GPU (%s), got none on this worker: the model runs on the CPU, which is far slower: check the "
            "driver, and that the image has CUDA and a TensorFlow that knows it",
            gpu.type,
        )
        return
    side = config.tiling.tile_px
    predictor(np.zeros((config.batch_size, side, side, 3), np.uint8))


@contextlib.contextmanager
def loading(spec: ModelSpec) -> Iterator[None]:
    """Load the model in a thread while the block runs: `load_model` in the block waits for that thread.

    The end of the block waits, too: while TensorFlow loads, it is kept from writing to stderr, and with it all others.
    """

    def load() -> None:
        with contextlib.suppress(Exception):  # raised again where the model is used
            load_model(spec)

    thread = threading.Thread(target=load, name="load the model")
    thread.start()
    try:
        yield
    finally:
        thread.join()
