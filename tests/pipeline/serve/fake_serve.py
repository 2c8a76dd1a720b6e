"""`python -m pipeline.serve` with the fake model, which can hang: `python -m tests.pipeline.serve.fake_serve`."""

import os
import sys
import threading

from geo.types import Detections, ImageArray
from model.inference.predictor import FakePredictor
from pipeline import model_loading
from pipeline.config import PipelineConfig, settings_id
from pipeline.model_loading import ModelSpec
from pipeline.resources import Gpu
from pipeline.serve import __main__ as command
from pipeline.serve import app, jobs, models
from pipeline.values import Identity

#: Environment variable: the model hangs.
HANG = "AIRPLANES_TEST_HANG"


class HangingPredictor(FakePredictor):
    """Never answers, if the environment says so."""

    def __call__(self, images: ImageArray) -> list[Detections]:
        """See `Predictor`."""
        if os.environ.get(HANG):
            threading.Event().wait()
        return super().__call__(images)


def _describe_model(
    config: PipelineConfig, trusted: bool = False, gpu: Gpu | None = None, elsewhere: bool = False
) -> ModelSpec:
    del gpu, elsewhere
    return ModelSpec(config, Identity(FakePredictor.name, settings_id(config)), trusted)


def main() -> int:
    """Run the command."""
    models.describe_model = _describe_model  # type: ignore[attr-defined]
    setattr(model_loading, "load_predictor", lambda *_, **__: HangingPredictor())  # noqa: B010 - imported there
    app.GRACE_S = 0.1
    jobs.STOP_S = 0.1
    command.REQUEST_GRACE_S = 1
    return command.main()


if __name__ == "__main__":
    sys.exit(main())
