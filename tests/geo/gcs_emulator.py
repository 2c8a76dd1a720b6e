"""An emulator of Google Cloud Storage on this machine."""

import contextlib
import gc
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from gcp_storage_emulator.server import create_server
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
