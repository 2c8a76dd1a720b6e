"""Which model a run uses: described before any work starts, loaded once in each process that needs it."""

from __future__ import annotations

import dataclasses

from model.precision import resolved
from model.predictor import Predictor, load_predictor
from pipeline.config import PipelineConfig, settings_id
from pipeline.values import Identity


@dataclasses.dataclass(frozen=True, slots=True)
class Engine:
    """A model that is there and whole, and the settings with what they left open filled in."""

    config: PipelineConfig
    identity: Identity


def describe_model(config: PipelineConfig) -> Engine:
    """Checks the model's files against their digest, without loading them.

    Raises:
        WeightsError: no such model, or a damaged one.
        ConfigError: its description is damaged.
    """
    from model import weights_io  # brings Keras: only where it is used

    described = weights_io.read_config(weights_io.resolve(config.model))
    min_score = described.min_score if config.min_score is None else config.min_score
    # What `auto` means is said once, where the run starts: its workers all compute alike.
    filled = dataclasses.replace(config, min_score=min_score, precision=resolved(config.precision))
    return Engine(filled, Identity(described.version, settings_id(filled)))


def load_model(engine: Engine) -> Predictor:
    """Loads the model.

    Raises:
        WeightsError: no such model, or a damaged one.
    """
    config = engine.config
    if config.min_score is None:
        raise ValueError("expected settings with min_score filled in, got None: use describe_model")
    return load_predictor(config.model, config.batch_size, config.min_score, precision=config.precision)
