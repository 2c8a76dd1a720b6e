"""Dataflow on 127.0.0.1: it takes jobs and hands out tokens, and runs what was staged, on bare workers."""

import json
import logging
import re
import subprocess
import sys
import sysconfig
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from apache_beam.internal.gcp import auth
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow import dataflow_runner
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.worker import sdk_worker_main
from apache_beam.utils import retry
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth._regional_access_boundary_utils import _RegionalAccessBoundaryManager
from google.cloud import dataflow
from google.protobuf import json_format

PROJECT = "some-project"
REGION = "europe-west4"
TOKEN = "token-that-nobody-may-see"  # noqa: S105 -- of the server below


@dataclass
class DataflowService:
    """The service: it keeps what it is sent, and calls `run` before it reports the end of a job.

    Attributes:
        address: of its server; "localhost" makes Beam speak HTTP.
        jobs: the submitted jobs, as JSON.
        refusal: the status with which submissions are refused, or None.
        state: of a job that is asked for.
        run: called with each job once, when its state is asked for.
    """

    address: str = ""
    jobs: list[dict[str, Any]] = field(default_factory=list)
    refusal: int | None = None
    state: str = "JOB_STATE_DONE"
    run: Callable[[dict[str, Any]], None] = lambda job: None


@contextmanager
def dataflow_service(folder: Path) -> Iterator[DataflowService]:
    """Serve jobs and tokens during the block, with credentials of a key that is made for it in a folder."""
    state = DataflowService()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"service": state}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.address = f"http://localhost:{server.server_port}"
    try:
        with pytest.MonkeyPatch.context() as patch:
            key = write_key(folder / "key.json", f"{state.address}/token")
            patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
            patch.setattr(auth._Credentials, "_credentials_init", False)
            # It would ask the internet where the key may be used.
            patch.setattr(_RegionalAccessBoundaryManager, "maybe_start_refresh", lambda *_: None)
            # Beam looks after a job every five seconds.
            clock = types.SimpleNamespace(time=time.time, sleep=lambda _: time.sleep(0.02))
            patch.setattr(dataflow_runner, "time", clock)
            patch.setattr(retry.Clock, "sleep", lambda *_: None)
            yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_key(path: Path, token_uri: str) -> Path:
    """Write the key of a service account that does not exist."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "key-that-nobody-may-see",
        "private_key": text,
        "client_email": f"tester@{PROJECT}.iam.gserviceaccount.com",
        "token_uri": token_uri,
    }
    path.write_text(json.dumps(account), encoding="utf-8")
    return path


class _Handler(BaseHTTPRequestHandler):
    service: DataflowService

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/token":
            self._answer({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
        elif self.service.refusal:
            self._answer({"error": {"code": self.service.refusal, "message": "no quota"}}, self.service.refusal)
        else:
            # Through the service's own message: an unknown field is an error, and enums get their names.
            job = json_format.MessageToDict(dataflow.Job.pb(dataflow.Job.from_json(body, ignore_unknown_fields=False)))
            job |= {"id": f"job-{len(self.service.jobs)}", "path": self.path.partition("?")[0]}
            self.service.jobs.append(job)
            self._answer(_described(job, "JOB_STATE_PENDING"))

    def do_GET(self) -> None:
        found = re.search(r"/jobs/job-(\d+)(/messages)?", self.path)
        assert found is not None, self.path
        job = self.service.jobs[int(found[1])]
        if found[2]:
            self._answer({})
            return
        if not job.get("done"):
            job["done"] = True
            self.service.run(job)
        self._answer(_described(job, self.service.state))

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _described(job: dict[str, Any], state: str) -> dict[str, Any]:
    return {"id": job["id"], "name": job["name"], "projectId": PROJECT, "location": REGION, "currentState": state}


def run_staged(job: dict[str, Any], bucket: Any, folder: Path) -> None:
    """Run a submitted job as Dataflow would, on bare workers: with the staged package, and without this checkout."""
    pipeline = staged_pipeline(job, bucket)
    archive, site = folder / "workflow.tar.gz", folder / "site"
    archive.write_bytes(bucket.blob(f"{_staging_folder(job)}/workflow.tar.gz").download_as_bytes())
    install = ["--offline", "--no-deps", "--no-build-isolation", "--python", sys.executable, "--target", str(site)]
    subprocess.run([sys.executable, "-m", "uv", "pip", "install", "--quiet", *install, str(archive)], check=True)
    # -S leaves out site-packages, with the link to this checkout in it, and -P the working folder; the packages that
    # the project needs are named again.
    packages = sysconfig.get_paths()["purelib"]
    command = f"cd {folder} && PYTHONPATH={site}:{packages} exec {sys.executable} -S -P -m {sdk_worker_main.__name__}"
    for environment in pipeline.components.environments.values():
        environment.urn, environment.payload = python_urns.SUBPROCESS_SDK, command.encode()
        del environment.dependencies[:]
    # The command has silenced what passes on the warnings of workers; on Dataflow these go to the log of the job.
    passing_on = logging.getLogger("apache_beam.runners.portability.local_job_service")
    passing_on.setLevel(logging.WARNING)
    FnApiRunner().run_via_runner_api(pipeline, PipelineOptions([]))


def staged_pipeline(job: dict[str, Any], bucket: Any) -> beam_runner_api_pb2.Pipeline:
    """Return the staged pipeline of a submitted job."""
    return beam_runner_api_pb2.Pipeline.FromString(
        bucket.blob(f"{_staging_folder(job)}/pipeline.pb").download_as_bytes()
    )


def _staging_folder(job: dict[str, Any]) -> str:
    url = str(job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"])
    return url.removeprefix("gs://").partition("/")[2].rpartition("/")[0]
