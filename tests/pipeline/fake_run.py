"""`python -m pipeline.run` with a fake model that can hang or kill its process: for tests with processes.

`python -m tests.pipeline.fake_run`, with the options of `python -m pipeline.run`. Does not load TensorFlow.
"""

import functools
import itertools
import os
import signal
import sys
import threading
import types
from collections import Counter
from pathlib import Path
from typing import Any

from apache_beam.runners.portability.fn_api_runner import FnApiRunner, fn_runner

from geo.types import Detections, ImageArray
from model.common import logs
from model.inference.predictor import FakePredictor
from pipeline import job, model_loading, progress, run
from pipeline.config import PipelineConfig, settings_id
from pipeline.model_loading import ModelSpec
from pipeline.resources import Gpu
from pipeline.values import Identity

#: Environment variables: the number of batches after which the model hangs, or its process is killed.
STOP, DIE = "AIRPLANES_TEST_STOP", "AIRPLANES_TEST_DIE"
#: A folder in which each process that runs the model leaves a file. With it, Beam's local job service has two workers.
PIDS = "AIRPLANES_TEST_PIDS"

_batches: Counter[str] = Counter()


class TwoWorkers(FnApiRunner):  # type: ignore[misc]
    """Beam's local job service always has one worker, unless its runner is this one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._num_workers = 2


class FailingPredictor(FakePredictor):
    """Hangs, or kills its process, after the number of batches in the environment."""

    def __call__(self, images: ImageArray) -> list[Detections]:
        """See `Predictor`."""
        if _batches["done"] == int(os.environ.get(STOP, "-1")):
            threading.Event().wait()
        if _batches["done"] == int(os.environ.get(DIE, "-1")):
            os.kill(os.getpid(), signal.SIGKILL)
        _batches["done"] += 1
        if PIDS in os.environ:
            (Path(os.environ[PIDS]) / str(os.getpid())).touch()
        return super().__call__(images)


def _describe_model(
    config: PipelineConfig, trusted: bool = False, gpu: Gpu | None = None, elsewhere: bool = False
) -> ModelSpec:
    del gpu, elsewhere
    return ModelSpec(config, Identity(FailingPredictor.name, settings_id(config)), trusted)


def main() -> int:
    """Run the command."""
    logs.import_quietly = lambda module: types.ModuleType(module)
    model_loading.describe_model = _describe_model
    # Imported by name, since worker processes cannot unpickle a class of __main__.
    from tests.pipeline.fake_run import FailingPredictor as Importable

    # The command loads the model beside Beam; workers of other processes load it by the job's own function.
    setattr(model_loading, "load_predictor", lambda *_, **__: Importable())  # noqa: B010 - imported there
    if PIDS in os.environ:
        setattr(fn_runner, "FnApiRunner", TwoWorkers)  # noqa: B010 - the job service takes it from there
    job.run_job = functools.partial(job.run_job, load=Importable)
    return run.main()


def run_until(words: list[str], moment: int) -> None:
    """Run the command in this process, which is killed when it reports its progress for the `moment`-th time."""
    reports = itertools.count(1)
    report = progress.add

    def report_or_die(**amounts: int) -> None:
        if next(reports) == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        report(**amounts)

    setattr(progress, "add", report_or_die)  # noqa: B010 - the steps call it there
    sys.argv[1:] = words
    with Path(os.devnull).open("w") as sys.stderr:
        sys.exit(main())


if __name__ == "__main__":
    sys.exit(main())
