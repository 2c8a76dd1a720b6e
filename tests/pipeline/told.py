"""The command with a fake in place of the model, which stops or dies where it is told to: for tests with processes.

`python -m tests.pipeline.told`, with the options of `python -m pipeline.run`. It loads no TensorFlow.
"""

import functools
import os
import signal
import sys
import threading
from collections import Counter

from geo.types import Detections, ImageArray
from model.inference.predictor import FakePredictor
from pipeline import job, model_loading, quiet, run
from pipeline.config import PipelineConfig, settings_id
from pipeline.model_loading import ModelSpec
from pipeline.values import Identity

#: Environment variables: after so many batches the model stops for good, or its process dies.
STOP, DIE = "AIRPLANES_TEST_STOP", "AIRPLANES_TEST_DIE"

_batches: Counter[str] = Counter()


class Told(FakePredictor):
    """Does what the environment tells."""

    def __call__(self, images: ImageArray) -> list[Detections]:
        """See `Predictor`."""
        if _batches["done"] == int(os.environ.get(STOP, "-1")):
            threading.Event().wait()
        if _batches["done"] == int(os.environ.get(DIE, "-1")):
            os.kill(os.getpid(), signal.SIGKILL)
        _batches["done"] += 1
        return super().__call__(images)


def _describe(config: PipelineConfig, trusted: bool = False) -> ModelSpec:
    return ModelSpec(config, Identity(Told.name, settings_id(config)), trusted)


def main() -> int:
    """Runs the command."""
    quiet.import_tensorflow = lambda: None
    model_loading.describe_model = _describe
    # By its module's name: a worker process must find it, and this one is called __main__.
    from tests.pipeline.told import Told as Found

    job.run_job = functools.partial(job.run_job, load=Found)
    return run.main()


if __name__ == "__main__":
    sys.exit(main())
