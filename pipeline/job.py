"""The main job as one Beam graph, from scenes to files."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineRunner

from geo.aoi import AreaOfInterest
from geo.errors import WorkerError
from model.inference.predictor import Predictor
from pipeline.ledger import Ledger, RunInfo, read_ledger
from pipeline.model_loading import ModelSpec, load_model
from pipeline.sinks import bigquery, is_table, storage
from pipeline.sinks.transforms import WriteAirplanes, WriteLedger, prepare_tables, remove_leftovers
from pipeline.tile_cache import TileCache
from pipeline.transforms import DetectAirplanes
from pipeline.values import SceneSource

# Part of Beam's message when the connection to a worker process breaks off.
_CONNECTION_LOST = "Channel closed prematurely"


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """What to process, with which model, and where to write.

    Attributes:
        sources: the scenes.
        model: the model and the settings.
        outputs: the files for the airplanes, local or `gs://`, and tables (`bq://`).
        ledger: the file for the ledger, local or `gs://`.
        info: description of the run for the ledger.
        area: the area of interest; None: everything.
        cache: the tile cache; None: nothing is cached.
        hints: Beam's resource hints for the steps that read and detect; see `resources.resource_hints`.
    """

    sources: tuple[SceneSource, ...]
    model: ModelSpec
    outputs: tuple[str, ...]
    ledger: str
    info: RunInfo
    area: AreaOfInterest | None = None
    cache: TileCache | None = None
    hints: Mapping[str, str] = dataclasses.field(default_factory=dict)


def run_job(
    job: Job, runner: PipelineRunner, options: PipelineOptions, load: Callable[[], Predictor] | None = None
) -> Ledger:
    """Run the job to its end and return the ledger that it wrote.

    Args:
        job: the job.
        runner: Beam's runner.
        options: Beam's options.
        load: loads the model in each process that runs it; None: the job's own model.

    Raises:
        OutputError: an output, or the tile cache, cannot be written.
        WorkerError: a worker process was lost; nothing is written then.
    """
    with finishing(job, options), _lost_worker_as_error():
        build_graph(job, runner, options, load).run().wait_until_finish()
    return read_result(job)


def build_graph(
    job: Job, runner: PipelineRunner, options: PipelineOptions, load: Callable[[], Predictor] | None = None
) -> beam.Pipeline:
    """Return the job as a Beam pipeline; see `run_job`."""
    load = load or functools.partial(load_model, job.model)
    pipeline = beam.Pipeline(runner=runner, options=options)
    detect = DetectAirplanes(job.model.config, load, job.model.identity, job.area, job.cache, job.hints)
    results = pipeline | "Scenes" >> beam.Create(job.sources) | "DetectAirplanes" >> detect
    written = results | "WriteAirplanes" >> WriteAirplanes(job.outputs, job.info.run_id, job.model.identity, job.area)
    has_tables = any(is_table(output) for output in job.outputs)
    _ = (results, written) | "WriteLedger" >> WriteLedger(job.ledger, job.info, has_tables)
    return pipeline


@contextlib.contextmanager
def finishing(job: Job, options: PipelineOptions) -> Iterator[None]:
    """Prepare the outputs that need it, and remove what the job leaves beside them, however the block ends.

    Raises:
        OutputError: a table cannot be prepared or loaded.
    """
    try:
        prepare_tables(job.outputs, job.info.run_id, options)
        with bigquery.load_errors():
            yield
    finally:
        remove_leftovers(job.outputs, job.info.run_id, options)


def read_result(job: Job) -> Ledger:
    """Return the ledger that a finished job wrote.

    Raises:
        InputError: it cannot be read.
    """
    with storage.readable(job.ledger, "ledger") as path:
        return read_ledger(path)


@contextlib.contextmanager
def _lost_worker_as_error() -> Iterator[None]:
    """Turn Beam's error about a killed worker process into a `WorkerError` of one line."""
    try:
        yield
    except RuntimeError as error:
        if _CONNECTION_LOST not in str(error):
            raise
        raise WorkerError(
            "expected every worker process to live until the end, got one that was killed or ran out of memory: "
            "run the command again (with --work-dir it resumes), with fewer workers if memory is short"
        ) from error
