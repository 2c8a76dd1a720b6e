"""A service on a free port of this machine, in a thread: for browsers."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn

from pipeline.serve.app import Service, create_app


@contextlib.contextmanager
def running(service: Service) -> Iterator[str]:
    """Run the service and yield its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # from now on connections wait for the server, which may start later than the browser asks
    server = uvicorn.Server(
        uvicorn.Config(create_app(service), log_level="critical", log_config=None, timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()
