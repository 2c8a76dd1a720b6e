"""The model of a run: described before any work starts, loaded once in each process that needs it, and kept."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

from model.common.logs import hold_stderr
from model.inference import model_folder
from model.inference.engine import resolve_engine, resolve_precision
from model.inference.predictor import Predictor, check_trusted, is_saved_model, load_predictor
from pipeline.config import PipelineConfig, settings_id
from pipeline.values import Identity

#: Models that a process keeps for the next run, the last used ones. A LiteRT model takes 0.3 GB, TensorFlow's more.
KEPT_MODELS = 3

_lock = threading.Lock()
_models: OrderedDict[tuple[object, ...], Future[Predictor]] = OrderedDict()


@dataclasses.dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model whose files were checked, and the settings with the model's defaults filled in.

    Attributes:
        config: the settings.
        identity: model and settings, as every airplane carries them.
        trusted: the model may be a SavedModel, which can run code.
    """

    config: PipelineConfig
    identity: Identity
    trusted: bool = False


def describe_model(config: PipelineConfig, trusted: bool = False) -> ModelSpec:
    """Check the model's files, without loading them.

    Args:
        config: the settings.
        trusted: a SavedModel may be loaded later, although it can run code.

    Raises:
        WeightsError: no such model, or a damaged one.
        ConfigError: its description is damaged, or it is a SavedModel and not trusted.
    """
    version, default_min_score = _version_and_min_score(config.model, trusted)
    min_score = default_min_score if config.min_score is None else config.min_score
    # `auto` is resolved once, where the run starts, so that all workers compute alike.
    precision = resolve_precision(config.precision)
    engine = resolve_engine(config.engine, precision, is_saved_model(config.model))
    config = dataclasses.replace(config, min_score=min_score, precision=precision, engine=engine)
    return ModelSpec(config, Identity(version, settings_id(config)), trusted)


def _version_and_min_score(model: str, trusted: bool) -> tuple[str, float]:
    """Return the model's name with its digest, and its default threshold."""
    if is_saved_model(model):
        check_trusted(model, trusted)
        with hold_stderr():  # of TensorFlow
            from model.inference import saved_model

        return saved_model.describe(Path(model))
    config = model_folder.read_config(model_folder.resolve(model))
    return config.version, config.min_score


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
            config.model,
            config.batch_size,
            min_score,
            precision=config.precision,
            engine=config.engine,
            trusted=spec.trusted,
        )
    except BaseException as error:
        with _lock:
            _models.pop(key, None)  # the next call tries again
        future.set_exception(error)
        raise
    future.set_result(predictor)
    return predictor


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
