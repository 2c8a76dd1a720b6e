"""An emulator of Google Cloud Storage on this machine."""

import contextlib
import gc
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from gcp_storage_emulator.server import RequestHandler, create_server
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client


@contextlib.contextmanager
def emulated_bucket(name: str, data_dir: str | None = None) -> Iterator[Any]:
    """Yield an empty bucket; clients in this process and in those it starts reach it by `gs://`.

    Args:
        name: the bucket's name.
        data_dir: folder for the objects; by default they are in memory.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = create_server("127.0.0.1", port, in_memory=data_dir is None, default_bucket=name, data_dir=data_dir)
    server.start()
    address = f"http://127.0.0.1:{port}"
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("STORAGE_EMULATOR_HOST", address)
            patch.setenv("NO_PROXY", "*")
            yield Client(name, AnonymousCredentials(), client_options={"api_endpoint": address}).bucket(name)
    finally:
        gc.collect()  # a writer that failed is closed again when it is freed; without a server it retries for minutes
        server.stop()


@contextlib.contextmanager
def failing_requests(**faults: str) -> Iterator[list[str]]:
    """Let the first request that matches each pattern fail during the block; yields those that have failed.

    Args:
        faults: patterns of requests, such as "GET .*a.tif", by "status_503" and the like, or by "dropped": the
            connection is closed without an answer.
    """
    waiting, failed = dict(faults), []
    parse_request = RequestHandler.parse_request

    def parse_or_fail(handler: Any) -> bool:
        if not parse_request(handler):
            return False
        request = f"{handler.command} {handler.path}"
        fault = next((fault for fault, pattern in waiting.items() if re.search(pattern, request)), None)
        if fault is None:
            return True
        failed.append(f"{fault} {request}")
        del waiting[fault]
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        if fault == "dropped":
            handler.connection.shutdown(socket.SHUT_RDWR)
        else:
            handler.send_error(int(fault.rpartition("_")[2]))
        handler.close_connection = True
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RequestHandler, "parse_request", parse_or_fail)
        yield failed
