"""BigQuery on this machine: the emulator `bqemulator`, which loads files from an emulated bucket."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google.auth
import pytest
from apache_beam.internal.gcp import auth
from apache_beam.io.gcp.internal.clients.bigquery.bigquery_v2_client import BigqueryV2
from gcp_storage_emulator.settings import STORAGE_DIR
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client

PROJECT = "demo"
# DuckDB would download its spatial extension; a Python package has it.
_PROGRAM = """
import bqemulator.cli
import duckdb_extensions

duckdb_extensions.import_extension("spatial")
bqemulator.cli.main()
"""
_START_S = 60


@contextlib.contextmanager
def emulated_bigquery(folder: Path, buckets: Path) -> Iterator[Client]:
    """Serve the project `demo` during the block; yields a client.

    Args:
        folder: an empty folder, the home of the server.
        buckets: `data_dir` of the emulated buckets from which it loads files.
    """
    address, rpc = (f"127.0.0.1:{_free_port()}" for _ in range(2))
    ports = ("--rest-port", address.rpartition(":")[2], "--grpc-port", rpc.rpartition(":")[2])
    environment = {**os.environ, "HOME": str(folder), "BQEMU_GCS_LOCAL_ROOT": str(buckets / STORAGE_DIR)}
    command = [sys.executable, "-c", _PROGRAM, "start", "--ephemeral", "--log-level", "error", *ports]
    with (folder / "log").open("w") as log, pytest.MonkeyPatch.context() as patch:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            patch.setenv("NO_PROXY", "*")
            _wait_until_ready(f"http://{address}/readyz", server, folder / "log")
            patch.setenv("BIGQUERY_EMULATOR_HOST", f"http://{address}")
            patch.setattr(BigqueryV2, "BASE_URL", f"http://{address}/bigquery/v2/")
            patch.setattr(google.auth, "default", lambda *_, **__: (AnonymousCredentials(), PROJECT))
            # Without credentials Beam's client would ask for some in a browser.
            patch.setattr(auth._Credentials, "_credentials_init", False)
            patch.setattr(auth._Credentials, "_credentials", None)
            with contextlib.closing(Client(PROJECT)) as client:
                yield client
        finally:
            server.terminate()
            server.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, server: "subprocess.Popen[Any]", log: Path) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url):  # noqa: S310 -- our own
            return
        time.sleep(0.05)
    raise RuntimeError(f"the emulator of BigQuery did not start: {log.read_text()}")
