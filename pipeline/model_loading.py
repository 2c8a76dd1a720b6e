"""Which model a run uses: described before any work starts, loaded once in each process that needs it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from model.inference.precision import resolve_precision
from model.inference.predictor import Predictor, check_trusted, is_saved_model, load_predictor
from pipeline.config import PipelineConfig, settings_id
from pipeline.values import Identity


@dataclasses.dataclass(frozen=True, slots=True)
class Engine:
    """A model that is there and whole, and the settings with what they left open filled in.

    Attributes:
        config: the settings.
        identity: what every airplane says of model and settings.
        trusted: the model may be a SavedModel, which can run code.
    """

    config: PipelineConfig
    identity: Identity
    trusted: bool = False


def describe_model(config: PipelineConfig, trusted: bool = False) -> Engine:
    """Checks the model's files, without loading them.

    Args:
        config: the settings.
        trusted: a SavedModel may be loaded later on, although it can run code.

    Raises:
        WeightsError: no such model, or a damaged one.
        ConfigError: its description is damaged, or it is a SavedModel and not trusted.
    """
    version, default_min_score = _described(config.model, trusted)
    min_score = default_min_score if config.min_score is None else config.min_score
    # What `auto` means is said once, where the run starts: its workers all compute alike.
    filled = dataclasses.replace(config, min_score=min_score, precision=resolve_precision(config.precision))
    return Engine(filled, Identity(version, settings_id(filled)), trusted)


def _described(model: str, trusted: bool) -> tuple[str, float]:
    """The model's name with its digest, and its default threshold."""
    # These bring Keras and TensorFlow: only where they are used.
    if is_saved_model(model):
        check_trusted(model, trusted)
        from model.inference import saved_model

        return saved_model.describe(Path(model))
    from model.inference import weights_io

    config = weights_io.read_config(weights_io.resolve(model))
    return config.version, config.min_score


def load_model(engine: Engine) -> Predictor:
    """Loads the model.

    Raises:
        WeightsError: no such model, a damaged one, or a SavedModel without the signature that is needed.
    """
    config = engine.config
    if config.min_score is None:
        raise ValueError("expected settings with min_score filled in, got None: use describe_model")
    min_score = min(config.min_score, config.screen.min_score) if config.screen else config.min_score
    return load_predictor(
        config.model, config.batch_size, min_score, precision=config.precision, trusted=engine.trusted
    )
