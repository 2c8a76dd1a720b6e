"""What a job on Google Cloud Dataflow needs: its options, inputs that workers can reach, and GPUs for the detector."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import google.auth
from apache_beam import Pipeline
from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner, DataflowRuntimeException
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from geo.errors import CommandError, InputError, OutputError, WorkerError, one_line
from geo.raster.uri import is_remote
from model.common.logs import hold_stderr
from model.datagen import beam_options
from pipeline.job import Job, build_graph, finishing, read_result
from pipeline.ledger import Ledger
from pipeline.model_loading import stage_model
from pipeline.resources import THREADS, Gpu, resource_hints
from pipeline.values import SceneSource

_SETUP_FILE = Path(__file__).resolve().parents[1] / "setup.py"
#: Label of a job: the run id of the ledger.
RUN_LABEL = "airplane-finder-run"
# By default Beam starts a process for each processor of a worker, each with its own model, which would use all of them.
# With this it is one process, whose threads share a model.
_ONE_PROCESS = "no_use_multiple_sdk_containers"
_SEVERAL_PROCESSES = "use_multiple_sdk_containers"
# Beam would stage a list of what is installed here, with the paths of this machine.
_NO_PACKAGE_LIST = "disable_logging_submission_environment"


def check_options(options: PipelineOptions, gpu: Gpu | None, has_tables: bool) -> None:
    """Check the options of a job without asking the service.

    Raises:
        CommandError: one is missing, or does not go with another.
    """
    cloud, workers = options.view_as(GoogleCloudOptions), options.view_as(WorkerOptions)
    required = {"--project": cloud.project, "--region": cloud.region, "--temp_location": cloud.temp_location}
    if missing := [name for name, value in required.items() if not value]:
        raise CommandError(
            f"--runner DataflowRunner: expected --project, --region and --temp_location, got no {missing[0]}: add it"
        )
    if not cloud.temp_location.startswith("gs://"):
        raise CommandError(
            f"--temp_location {cloud.temp_location}: expected a folder gs://bucket/name, got another: name a bucket"
        )
    if workers.sdk_container_image is None:
        if gpu is not None:
            raise CommandError(
                f"--gpu {gpu.type}: expected --sdk_container_image with CUDA, which Beam's own image lacks, got none: "
                "build one, and name it"
            )
        if options.view_as(SetupOptions).setup_file is None and not _SETUP_FILE.is_file():
            raise CommandError(
                "--runner DataflowRunner: expected the project's setup.py, or an image that has the project, got "
                "neither: name one with --setup_file or --sdk_container_image"
            )
    waits = not (options.view_as(StandardOptions).no_wait_until_finish or cloud.template_location)
    if has_tables and not waits:
        raise CommandError(
            "--output bq://: expected a command that waits for its job, got --no_wait_until_finish or "
            "--template_location: leave it out, since its end removes the staging table"
        )
    if gpu is not None and cloud.flexrs_goal:
        raise CommandError("--flexrs_goal: expected a job without --gpu, got both: remove one of them")


def check_reachable(sources: Iterable[SceneSource], outputs: Iterable[str]) -> None:
    """Check that workers can reach what they read and write: they do not see the disk of this machine.

    Raises:
        InputError: a scene is local.
        OutputError: an output is local.
    """
    for source in sources:
        if not is_remote(source.uri):
            raise InputError(
                f"--input {source.uri}: expected gs:// or https:// with DataflowRunner, whose workers cannot read this "
                f"machine, got a local file: copy it with gcloud storage cp {source.uri} gs://BUCKET/"
            )
    for uri in outputs:
        if not uri.startswith(("gs://", "bq://")):
            raise OutputError(
                f"{uri}: expected an output at gs:// with DataflowRunner, whose workers cannot write to this machine, "
                "got a local path: name gs://BUCKET/NAME, and copy it from there"
            )


def check_credentials() -> None:
    """Check that there are Google credentials; Beam would look for them several times, and go on without.

    Raises:
        CommandError: there are none.
    """
    try:
        google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    except (GoogleAuthError, OSError) as error:
        reason = one_line(error)
        raise CommandError(
            f"--runner DataflowRunner: expected Google Cloud credentials, got none ({reason}): "
            "run gcloud auth application-default login"
        ) from error


def complete_options(options: PipelineOptions, run_id: str) -> None:
    """Add what the user has not named: the project as a package, job name, label of the run, threads of a worker."""
    cloud, setup, debug = (options.view_as(kind) for kind in (GoogleCloudOptions, SetupOptions, DebugOptions))
    cloud.job_name = cloud.job_name or f"airplane-finder-{run_id}"
    cloud.labels = [*(cloud.labels or []), f"{RUN_LABEL}={run_id}"]
    debug.add_experiment(_NO_PACKAGE_LIST)
    if setup.setup_file is None and options.view_as(WorkerOptions).sdk_container_image is None:
        setup.setup_file = str(_SETUP_FILE)
    if setup.setup_file is not None:
        # Relative, since the options become part of the job. The dot is for Beam, which changes to the file's folder.
        setup.setup_file = f"{os.curdir}{os.sep}{os.path.relpath(setup.setup_file)}"
    if not debug.lookup_experiment(_SEVERAL_PROCESSES):
        debug.add_experiment(_ONE_PROCESS)
        debug.number_of_worker_harness_threads = debug.number_of_worker_harness_threads or THREADS


def run_job(job: Job, words: Sequence[str], gpu: Gpu | None) -> Ledger | None:
    """Submit the job, wait for its end, and return the ledger that it wrote.

    Args:
        job: the job, for a CPU.
        words: Beam's options; with `--template_location` the job is written there and not started.
        gpu: the GPU for the steps that read and detect, or None.

    Returns:
        None if there was nothing to wait for: a template, or with `--no_wait_until_finish`.

    Raises:
        CommandError: there are no credentials.
        WorkerError: the service does not take the job, or the job failed.
    """
    check_credentials()
    options = beam_options.parse(words)
    complete_options(options, job.info.run_id)
    cloud = options.view_as(GoogleCloudOptions)
    # Google's cheap, delayed workers are of one kind: the service refuses hints with them.
    hints = {} if cloud.flexrs_goal else resource_hints(job.model.config, gpu)
    model = stage_model(job.model, cloud.temp_location)
    info = dataclasses.replace(
        job.info, settings=dataclasses.asdict(model.config), command=_without_folders(job.info.command)
    )
    job = dataclasses.replace(job, model=model, info=info, hints=hints)
    pipeline = build_graph(job, DataflowRunner(), options)
    # Submission writes other folders into the options: what the job leaves is in those of the user.
    with finishing(job, beam_options.parse(words)):
        return _submit(job, pipeline, options)


def _without_folders(command: str) -> str:
    """Return a command line with absolute paths cut down to their names: the job holds nothing of this machine."""
    words = []
    for word in shlex.split(command):
        option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
        words.append(f"{option}{equals}{Path(value).name if Path(value).is_absolute() else value}")
    return shlex.join(words)


def _submit(job: Job, pipeline: Pipeline, options: PipelineOptions) -> Ledger | None:
    """See `run_job`."""
    cloud = options.view_as(GoogleCloudOptions)
    # Held: Beam lets programs that build the package write there.
    with _refusals_as_errors(cloud.project), hold_stderr():
        result = pipeline.run()
    if not result.has_job:
        sys.stderr.write(f"template: {cloud.template_location}\n")
        return None
    name = f"{cloud.region}/{result.job_id()}"
    sys.stderr.write(f"Dataflow job: https://console.cloud.google.com/dataflow/jobs/{name}?project={cloud.project}\n")
    if options.view_as(StandardOptions).no_wait_until_finish:
        return None
    try:
        with _refusals_as_errors(cloud.project):
            result.wait_until_finish()
    except DataflowRuntimeException as error:
        reason = one_line(error)
        raise WorkerError(f"{name}: expected a job that ends in DONE, got '{reason}': see its logs") from error
    except KeyboardInterrupt:
        stop = f"gcloud dataflow jobs cancel {result.job_id()} --region {cloud.region} --project {cloud.project}"
        sys.stderr.write(f"the job goes on; to end it: {stop}\n")
        raise
    return read_result(job)


@contextlib.contextmanager
def _refusals_as_errors(project: str) -> Iterator[None]:
    """Turn what the service, or the bucket, refuses into an error of one line."""
    try:
        yield
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        reason = one_line(error)
        raise WorkerError(
            f"project {project}: expected a job that Dataflow accepts, got '{reason}': check the options, that the "
            "Dataflow API is enabled, and your roles in the project"
        ) from error
