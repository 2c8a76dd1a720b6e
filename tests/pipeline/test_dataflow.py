"""A job on Dataflow: the real runner submits it to a server on 127.0.0.1; bare workers run what it has staged."""

import base64
import bz2
import contextlib
import dataclasses
import io
import json
import logging
import re
import sys
import tarfile
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2

from geo.errors import CommandError, ConfigError
from geo.types import Detections, ImageArray
from model.inference import model_folder
from model.inference.cells import CellPredictor
from model.inference.predictor import FakePredictor
from pipeline import dataflow, model_loading, run
from pipeline.config import load_config
from pipeline.ledger import Ledger, read_ledger
from pipeline.model_loading import describe_model, load_model, stage_model
from pipeline.resources import find_gpu, gpu_batch_size, resource_hints
from pipeline.sinks import storage
from tests.geo.gcs_emulator import emulated_bucket
from tests.pipeline import dataflow_service
from tests.pipeline.command_runner import CommandRunner
from tests.pipeline.dataflow_service import PROJECT, REGION, DataflowService
from tests.pipeline.scenes import write_scene

ROOT = Path(__file__).parents[2]
IMAGE = "europe-docker.pkg.dev/some-project/airplanes/gpu:1"
JOB = ("--runner", "DataflowRunner", "--project", PROJECT, "--region", REGION, "--temp_location", "gs://maps/temp")
WORKERS = (
    *("--machine_type", "n2-standard-4", "--num_workers", "2", "--max_num_workers", "7", "--disk_size_gb", "60"),
    *("--autoscaling_algorithm", "THROUGHPUT_BASED", "--sdk_container_image", IMAGE, "--labels", "team=maps"),
    *("--network", "inner", "--subnetwork", "regions/europe-west4/subnetworks/airplanes", "--no_use_public_ips"),
    *("--service_account_email", f"worker@{PROJECT}.iam.gserviceaccount.com", "--setup_file", "./setup.py"),
)
READ_AND_DETECT = "DetectAirplanes/DetectTiles/DetectBlocks/ReadAndDetect/"


@dataclasses.dataclass
class Submission:
    """A job that was submitted and ran.

    Attributes:
        job: as the service received it.
        pipeline: as it was staged.
        ledger: that the job wrote.
        bucket: with all objects.
        stderr: what the command wrote.
        logs: what workers logged.
    """

    job: dict[str, Any]
    pipeline: beam_runner_api_pb2.Pipeline
    ledger: Ledger
    bucket: Any
    stderr: str
    logs: str

    @property
    def pool(self) -> dict[str, Any]:
        (pool,) = self.job["environment"]["workerPools"]
        return dict(pool)

    def names(self) -> list[str]:
        """Return the names of all objects."""
        return [blob.name for blob in self.bucket.list_blobs()]

    def content(self, name: str) -> bytes:
        """Return the content of an object."""
        return bytes(self.bucket.blob(name).download_as_bytes())

    def environments(self) -> dict[str, str]:
        """Return the environment of each step that runs on workers, by its name."""
        steps = self.pipeline.components.transforms.values()
        return {step.unique_name: step.environment_id for step in steps if step.environment_id and _is_pardo(step)}


def _is_pardo(step: beam_runner_api_pb2.PTransform) -> bool:
    return bool(step.spec.urn == "beam:transform:pardo:v1")


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    with emulated_bucket("maps") as bucket:
        yield bucket


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataflowService]:
    with dataflow_service.dataflow_service(tmp_path_factory.mktemp("key")) as service:
        yield service


@pytest.fixture(scope="module")
def submission(bucket: Any, service: DataflowService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Submission]:
    folder = tmp_path_factory.mktemp("worker")
    bucket.blob("in/a.tif").upload_from_filename(write_scene(folder / "a.tif"))
    service.run = lambda job: dataflow_service.run_staged(job, bucket, folder)
    words = ["--input", "gs://maps/in/a.tif", "--output", "gs://maps/out/x.geojson", "--gpu", "nvidia-l4"]
    words += [f"--config={ROOT}/configs/pipeline/default.yaml", "--model", f"{ROOT}/model/weights/airplanes-lite0"]
    written, logged = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(logged)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", written)
        patch.chdir(ROOT)
        patch.setattr(logging.getLogger(), "handlers", [handler])
        status = run.main([*words, *JOB, *WORKERS, "--dataflow_endpoint", service.address])
    assert status == 0, written.getvalue()
    bucket.blob("out/x.geojson.ledger.json").download_to_filename(folder / "ledger.json")
    (job,) = service.jobs
    ledger = read_ledger(folder / "ledger.json")
    pipeline = dataflow_service.staged_pipeline(job, bucket)
    yield Submission(job, pipeline, ledger, bucket, written.getvalue(), logged.getvalue())
    service.jobs.clear()


def test_a_model_folder_of_this_machine_is_staged_and_a_packaged_one_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextlib.contextmanager
    def staged(uri: str) -> Iterator[Path]:
        written.append(uri)
        yield tmp_path / "file"

    written: list[str] = []
    monkeypatch.setattr(storage, "staged", staged)
    packaged = describe_model(load_config(), elsewhere=True)
    assert stage_model(packaged, "gs://maps/temp") is packaged
    # An absolute path, joined to the folder of the packaged models, stays what it is.
    folder = str(model_folder.PACKAGED / packaged.config.model)
    own = describe_model(load_config(overrides={"model": folder}), elsewhere=True)
    uri = f"gs://maps/temp/models/{own.identity.model}"
    assert stage_model(own, "gs://maps/temp/").config.model == uri
    assert written == [f"{uri}/{name}" for name in (model_folder.CONFIG_FILE, model_folder.WEIGHTS_FILE)]


def test_bare_workers_run_the_staged_package(submission: Submission) -> None:
    totals = submission.ledger.totals
    assert (totals.scenes, totals.complete, totals.parts_failed) == (1, 1, 0)
    assert totals.parts_done == totals.parts_planned > 0
    assert json.loads(submission.content("out/x.geojson"))["type"] == "FeatureCollection"


def test_a_worker_without_the_gpu_that_was_asked_for_says_so(submission: Submission) -> None:
    assert submission.ledger.run.settings["engine"] == "tensorflow"
    assert "expected a GPU (nvidia-l4), got none on this worker: the model runs on the CPU" in submission.logs


def test_the_service_gets_the_options(submission: Submission) -> None:
    assert submission.job["path"] == f"/v1b3/projects/{PROJECT}/locations/{REGION}/jobs"
    assert submission.job["type"] == "JOB_TYPE_BATCH"
    pool = submission.pool
    assert pool["machineType"] == "n2-standard-4"
    assert (pool["numWorkers"], pool["diskSizeGb"]) == (2, 60)
    assert pool["autoscalingSettings"] == {"algorithm": "AUTOSCALING_ALGORITHM_BASIC", "maxNumWorkers": 7}
    assert {image["containerImage"] for image in pool["sdkHarnessContainerImages"]} == {IMAGE}
    assert pool["network"] == "inner"
    assert pool["subnetwork"] == "regions/europe-west4/subnetworks/airplanes"
    assert pool["ipConfiguration"] == "WORKER_IP_PRIVATE"
    assert submission.job["environment"]["serviceAccountEmail"] == f"worker@{PROJECT}.iam.gserviceaccount.com"


def test_the_run_id_is_in_ledger_label_and_job_name(submission: Submission) -> None:
    run_id = submission.ledger.run.run_id
    assert submission.job["labels"] == {"team": "maps", "airplane-finder-run": run_id}
    assert submission.job["name"] == f"airplane-finder-{run_id}"
    assert f"/dataflow/jobs/{REGION}/job-0?project={PROJECT}" in submission.stderr


def test_the_gpu_is_for_reading_and_detecting_alone(submission: Submission) -> None:
    hints = {
        name: {hint.split(":")[2]: value.decode() for hint, value in environment.resource_hints.items()}
        for name, environment in submission.pipeline.components.environments.items()
    }
    with_gpu = {step for step, name in submission.environments().items() if "accelerator" in hints[name]}
    assert with_gpu == {step for step in submission.environments() if step.startswith(READ_AND_DETECT)}
    (environment,) = {submission.environments()[step] for step in with_gpu}
    assert hints[environment] == {
        "accelerator": "type:nvidia-l4;count:1;machine_type:g2-standard-8;install-nvidia-driver",
        "min_ram_bytes": "9000000000",
    }
    others = set(submission.environments().values()) - {environment}
    assert [hints[other] for other in others] == [{}]


def test_no_pixel_is_shuffled(submission: Submission) -> None:
    """Everything between the shuffle of blocks and the outcomes is in one environment, and none of it is a shuffle."""
    steps = submission.pipeline.components.transforms.values()
    inner = [step for step in steps if step.unique_name.startswith(READ_AND_DETECT) and not step.subtransforms]
    assert {step.unique_name.removeprefix(READ_AND_DETECT).split("/")[0] for step in inner} == {
        "ReadTiles",
        "Infer",
        "CountTiles",
        "Outcomes",
    }
    assert {step.spec.urn for step in inner} == {"beam:transform:pardo:v1", "beam:transform:flatten:v1"}
    assert len({step.environment_id for step in inner}) == 1


def test_the_steps_read_well_on_the_page_of_the_job(submission: Submission) -> None:
    steps = submission.pipeline.components.transforms
    names = {step.unique_name for key, step in steps.items() if key not in submission.pipeline.root_transform_ids}
    assert {name.split("/")[0] for name in names} == {"Scenes", "DetectAirplanes", "WriteAirplanes", "WriteLedger"}
    assert not [name for name in names if "gs:" in name or name.endswith("/Map(_write)")]
    assert "WriteAirplanes/Write1:x.geojson" in names


def test_a_worker_has_one_process_whose_threads_share_the_model(submission: Submission) -> None:
    assert "no_use_multiple_sdk_containers" in submission.job["environment"]["experiments"]
    assert submission.pool["numThreadsPerWorker"] == 4


def test_the_package_has_the_weights_and_templates(submission: Submission) -> None:
    (name,) = [name for name in submission.names() if name.endswith("/workflow.tar.gz")]
    with tarfile.open(fileobj=io.BytesIO(submission.content(name))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "model/weights/airplanes-lite0/weights.safetensors", "pipeline/sinks/airplanes.qml"} <= names
    assert not [name for name in names if name.startswith("tests/pipeline")]


def test_no_path_of_this_machine_is_left(submission: Submission) -> None:
    # Beam pickles functions of its own with the file that they come from.
    own = re.compile(re.escape(str(ROOT)) + r"(?!/\.venv/)|" + re.escape(str(Path.home())) + "|/pytest-of-")
    for name, content in _contents(submission).items():
        assert own.findall(content) == [], name


def test_the_ledger_names_local_files_of_the_command_without_their_folders(submission: Submission) -> None:
    command = submission.ledger.run.command
    assert "--input gs://maps/in/a.tif " in command
    assert " --config=default.yaml --model airplanes-lite0 " in command


def test_no_credential_is_left(submission: Submission) -> None:
    secrets = re.compile(f"{dataflow_service.TOKEN}|key-that-nobody-may-see|PRIVATE KEY")
    for name, content in _contents(submission).items():
        assert secrets.findall(content) == [], name
    assert secrets.findall(submission.stderr + submission.logs) == []


def _contents(submission: Submission) -> dict[str, str]:
    """Return as text all that left this machine: the job, the staged objects, what functions hold, the outputs."""
    parts = {"job": json.dumps(submission.job).encode()}
    parts |= {name: submission.content(name) for name in submission.names() if not name.endswith(".tar.gz")}
    for step in filter(_is_pardo, submission.pipeline.components.transforms.values()):
        pickled = beam_runner_api_pb2.ParDoPayload.FromString(step.spec.payload).do_fn.payload
        # Beam compresses some of them.
        is_compressed = pickled.startswith(base64.b64encode(b"BZh"))
        parts[step.unique_name] = bz2.decompress(base64.b64decode(pickled)) if is_compressed else pickled
    return {name: content.decode("latin-1") for name, content in parts.items()}


def test_a_refused_job_is_one_line(service: DataflowService, bucket: Any, capsys: Any) -> None:
    service.refusal = 403
    words = ["--input", "gs://maps/in/refused.tif", "--output", "gs://maps/out/refused.geojson"]
    try:
        status = run.main([*words, *JOB, "--sdk_container_image", IMAGE, "--dataflow_endpoint", service.address])
    finally:
        service.refusal = None
    assert status == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: project {PROJECT}: expected a job that Dataflow accepts, got '403")


@pytest.mark.parametrize(
    ("words", "inputs", "message"),
    [
        ((), ("a.tif",), "--input a.tif: expected gs:// or https:// with DataflowRunner"),
        (("--report", "report"), ("gs://b/a.tif",), "report/ledger.json: expected an output at gs://"),
        (("--work-dir", "work"), ("gs://b/a.tif",), "work: expected an output at gs://"),
    ],
)
def test_local_files_are_refused(
    cli: CommandRunner, words: tuple[str, ...], inputs: tuple[str, ...], message: str
) -> None:
    line = cli.usage_error(*JOB, "--sdk_container_image", IMAGE, *words, inputs=inputs, output="gs://b/x.geojson")
    assert message in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--project", PROJECT, "--region", REGION), "got no --temp_location"),
        (("--project", PROJECT, "--temp_location", "gs://b/t"), "got no --region"),
        (("--region", REGION, "--temp_location", "gs://b/t"), "got no --project"),
        ((*JOB[2:6], "--temp_location", "tmp"), "--temp_location tmp: expected a folder gs://bucket/name"),
        ((*JOB[2:], "--gpu", "nvidia-l4"), "--gpu nvidia-l4: expected --sdk_container_image with CUDA"),
        ((*JOB[2:], "--gpu", "l4"), "--gpu l4: expected one of nvidia-tesla-t4, "),
        (
            (*JOB[2:], "--gpu", "nvidia-l4", "--sdk_container_image", IMAGE, "--flexrs_goal", "COST_OPTIMIZED"),
            "--flexrs_goal: expected a job without --gpu",
        ),
    ],
)
def test_options_are_checked_before_anything_is_sent(cli: CommandRunner, words: tuple[str, ...], message: str) -> None:
    line = cli.usage_error("--runner", "DataflowRunner", *words, inputs=("gs://b/a.tif",), output="gs://b/x.geojson")
    assert message in line


def test_missing_credentials_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(CommandError, match=r"expected Google Cloud credentials, got none .*gcloud auth"):
        dataflow.check_credentials()


@pytest.mark.parametrize("words", [(), ("--setup_file", "setup.py"), ("--setup_file", str(ROOT / "setup.py"))])
def test_the_package_is_staged_by_a_relative_path(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    options = PipelineOptions([*JOB, *words])
    dataflow.complete_options(options, "r1")
    assert options.get_all_options()["setup_file"] == "./setup.py"


def test_no_package_is_staged_if_an_image_has_it() -> None:
    options = PipelineOptions([*JOB, "--sdk_container_image", IMAGE])
    dataflow.complete_options(options, "r1")
    assert options.get_all_options()["setup_file"] is None


def test_auto_does_not_look_at_this_machine() -> None:
    config = load_config()
    on_cpu = describe_model(config, elsewhere=True).config
    assert (on_cpu.engine, on_cpu.precision, on_cpu.batch_size) == ("litert", "float32", config.batch_size)
    on_gpu = describe_model(config, gpu=find_gpu("nvidia-tesla-a100"), elsewhere=True).config
    assert (on_gpu.engine, on_gpu.precision, on_gpu.batch_size) == ("tensorflow", "float32", 8)


def test_memory_sets_batch_and_hints() -> None:
    sizes = {
        name: gpu_batch_size(find_gpu(name), 1920) for name in ("nvidia-tesla-t4", "nvidia-l4", "nvidia-h100-80gb")
    }
    assert sizes == {"nvidia-tesla-t4": 4, "nvidia-l4": 4, "nvidia-h100-80gb": 16}
    assert gpu_batch_size(find_gpu("nvidia-l4"), 20_000) == 1
    config = load_config()
    assert resource_hints(config, None) == {"min_ram": "4GB"}
    gpu = find_gpu("nvidia-h100-80gb")
    assert resource_hints(dataclasses.replace(config, batch_size=16), gpu)["min_ram"] == "15GB"


def test_the_model_runs_on_the_gpu_once_before_the_first_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    gpu = find_gpu("nvidia-tesla-t4")
    spec = describe_model(load_config(), gpu=gpu)
    shapes: list[tuple[int, ...]] = []

    class Warmed(FakePredictor):
        def __call__(self, images: ImageArray) -> list[Detections]:
            shapes.append(images.shape)
            return []

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [f"/physical_device:{kind}:0"])
    monkeypatch.setattr(model_loading, "load_predictor", lambda *_, **__: Warmed())
    monkeypatch.setattr(model_loading, "_models", OrderedDict())
    load_model(spec)
    load_model(spec)
    assert shapes == [(4, 1920, 1920, 3)]


def test_threads_share_a_model_that_runs_one_batch_at_a_time() -> None:
    running: list[int] = []
    most: list[int] = []

    def engine(images: ImageArray) -> tuple[Any, Any]:
        running.append(1)
        most.append(len(running))
        time.sleep(0.01)
        running.pop()
        return np.zeros((len(images), 1, 4), np.float32), np.zeros((len(images), 1), np.float32)

    predictor = CellPredictor("x@1", 0.5, engine, 2, 0.5)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(predictor, [np.zeros((2, 32, 32, 3), np.uint8)] * 4))
    assert most == [1, 1, 1, 1]


def test_litert_cannot_use_a_gpu() -> None:
    config = dataclasses.replace(load_config(), engine="litert")
    with pytest.raises(ConfigError, match="engine: expected tensorflow or auto with --gpu, got litert"):
        describe_model(config, gpu=find_gpu("nvidia-l4"))
