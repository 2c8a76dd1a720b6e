"""Google Cloud on 127.0.0.1: an emulated storage that can fail, and of Dataflow and its sign-in what a job needs."""

import json
import re
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.worker import sdk_worker_main
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from gcp_storage_emulator.handlers import buckets
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage
from google.cloud import storage

BUCKET = "airplanes-test"
PROJECT = "some-project"
REGION = "europe-west4"
TOKEN = "token-that-nobody-may-see"  # noqa: S105 -- of the server below


@dataclass
class Bucket:
    """An emulated bucket.

    Attributes:
        address: of its server.
        requests: method and path of each request.
        faults: the status of the answer to the first request with a method and a path that match, or 0: the connection
            is dropped.
    """

    address: str = ""
    requests: list[str] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)

    def put(self, name: str, content: bytes) -> str:
        """Store an object and return its URI."""
        self._client.blob(name).upload_from_string(content)
        return f"gs://{BUCKET}/{name}"

    def get(self, name: str) -> bytes:
        """Return the content of an object."""
        return bytes(self._client.blob(name.removeprefix(f"gs://{BUCKET}/")).download_as_bytes())

    def names(self, prefix: str = "") -> list[str]:
        """Return the names of the objects."""
        return sorted(blob.name for blob in self._client.list_blobs(prefix=prefix))

    @property
    def _client(self) -> Any:
        return storage.Client.create_anonymous_client().bucket(BUCKET)


@contextmanager
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Emulate a bucket for the duration of the block, for Google's client, Beam and GDAL."""
    content = Storage(use_memory_fs=True)
    buckets.create_bucket(BUCKET, content)
    state = Bucket()
    with _serving(ThreadingHTTPServer, partial(_Storage, state, content)) as state.address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", state.address)
        monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.01")
        yield state


class _Storage(RequestHandler):  # type: ignore[misc]
    """The emulator's handler, which fails where it is told to."""

    def __init__(self, state: Bucket, *args: Any) -> None:
        self.state = state
        super().__init__(*args)

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        request = f"{self.command} {self.path}"
        self.state.requests.append(request)
        pattern = next((pattern for pattern in self.state.faults if re.search(pattern, request)), None)
        if pattern is None:
            return True
        status = self.state.faults.pop(pattern)
        if status:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_error(status)
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True
        return False


@dataclass
class Dataflow:
    """The service: it keeps what it is sent, and calls `run` before it reports the end of a job.

    Attributes:
        address: of its server; "localhost" makes Beam speak HTTP.
        jobs: the submitted jobs, as JSON.
        queries: the query of each submission.
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
def dataflow(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Dataflow]:
    """Serve jobs and tokens for the duration of the block, and sign in with a key that is made for it in a folder."""
    state = Dataflow()
    handler = type("Handler", (_Service,), {"service": state})
    with _serving(ThreadingHTTPServer, handler) as address:
        state.address = address.replace("127.0.0.1", "localhost")
        # It would ask the internet where the key may be used.
        monkeypatch.setattr(
            "google.auth._regional_access_boundary_utils._RegionalAccessBoundaryManager.maybe_start_refresh",
            lambda *_: None,
        )
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(write_key(folder / "key.json", f"{address}/token")))
        yield state


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


class _Service(BaseHTTPRequestHandler):
    service: Dataflow

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/token":
            self._answer({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
        elif self.service.refusal:
            self._answer({"error": {"code": self.service.refusal, "message": "no quota"}}, self.service.refusal)
        else:
            job = json.loads(body) | {"id": f"job-{len(self.service.jobs)}", "path": self.path}
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


@contextmanager
def _serving(server_class: type[HTTPServer], handler: Any) -> Iterator[str]:
    server = server_class(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run_staged(job: dict[str, Any], bucket: Bucket, folder: Path) -> None:
    """Run a submitted job as Dataflow would, on bare workers: with the staged package, and without this checkout."""
    pipeline = staged_pipeline(job, bucket)
    archive, site = folder / "workflow.tar.gz", folder / "site"
    archive.write_bytes(bucket.get(_staging_folder(job) + "workflow.tar.gz"))
    install = ["--offline", "--no-deps", "--no-build-isolation", "--python", sys.executable, "--target", str(site)]
    subprocess.run([sys.executable, "-m", "uv", "pip", "install", "--quiet", *install, str(archive)], check=True)
    # -S leaves out site-packages, with the link to this checkout in it, and -P the working folder; the packages that
    # the project needs are named again.
    packages = sysconfig.get_paths()["purelib"]
    command = f"cd {folder} && PYTHONPATH={site}:{packages} exec {sys.executable} -S -P -m {sdk_worker_main.__name__}"
    for environment in pipeline.components.environments.values():
        environment.urn, environment.payload = python_urns.SUBPROCESS_SDK, command.encode()
        del environment.dependencies[:]
    FnApiRunner().run_via_runner_api(pipeline, PipelineOptions([]))


def staged_pipeline(job: dict[str, Any], bucket: Bucket) -> beam_runner_api_pb2.Pipeline:
    """Return the staged pipeline of a submitted job."""
    return beam_runner_api_pb2.Pipeline.FromString(bucket.get(_staging_folder(job) + "pipeline.pb"))


def _staging_folder(job: dict[str, Any]) -> str:
    url = str(job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"])
    return url.removeprefix(f"gs://{BUCKET}/").removesuffix("pipeline.pb")
