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
def failing_requests(status: int | None, *patterns: str) -> Iterator[list[str]]:
    """Let the first request that matches each pattern fail during the block; yields those that have failed.

    Args:
        status: the status of the answer; None: the connection is closed without one.
        patterns: patterns of method and path, such as "GET .*a.tif".
    """
    waiting, failed = list(patterns), []
    parse_request = RequestHandler.parse_request

    def parse_or_fail(handler: Any) -> bool:
        if not parse_request(handler):
            return False
        request = f"{handler.command} {handler.path}"
        pattern = next((pattern for pattern in waiting if re.search(pattern, request)), None)
        if pattern is None:
            return True
        waiting.remove(pattern)
        failed.append(request)
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        if status is None:
            handler.connection.shutdown(socket.SHUT_RDWR)
        else:
            handler.send_error(status)
        handler.close_connection = True
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RequestHandler, "parse_request", parse_or_fail)
        yield failed
