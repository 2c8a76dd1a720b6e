"""A local HTTP server that supports range requests, counts what it sends, and fails on request."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class RangeServer:
    """Settings of the server, and what it has recorded.

    Args:
        files: path on the server, such as "/scene.tif", to a file of this machine.
        refusals: path to the HTTP status that is returned instead of the file.
        ranges: whether range requests are supported.
        closing: paths for which the connection is closed in the centre of the response.
        closing_once: the same, for the first request only.
        failing_once: paths whose first request is answered with status 503.
        redirects: path to the path that the client is sent to instead.
        etags: path to its ETag.
        sent: bytes of files sent so far.
        requests: method, path with query, and the Authorization header of each request.
        cookies: the Cookie header of each request.
    """

    files: dict[str, Path] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    ranges: bool = True
    closing: set[str] = field(default_factory=set)
    closing_once: set[str] = field(default_factory=set)
    failing_once: set[str] = field(default_factory=set)
    redirects: dict[str, str] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    sent: int = 0
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    cookies: list[str | None] = field(default_factory=list)
    address: str = ""


@contextmanager
def serving() -> Iterator[RangeServer]:
    """Run a server on a free port for the duration of the block."""
    state = RangeServer()
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, without waiting for an acknowledgement in between
    state: RangeServer

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def _answer(self, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.state.requests.append((self.command, self.path, self.headers.get("Authorization")))
        self.state.cookies.append(self.headers.get("Cookie"))
        if path in self.state.redirects:
            self._send(302, b"", {"Location": self.state.redirects[path]}, with_body)
        elif path in self.state.failing_once:
            self.state.failing_once.remove(path)
            self._send(503, b"", {}, with_body)
        elif path in self.state.refusals or (path not in self.state.files and not self._is_described(path)):
            self._send(self.state.refusals.get(path, 404), b"", {}, with_body)
        elif path in self.state.files:
            self._send_file(path, with_body)

    def _send_file(self, path: str, with_body: bool) -> None:
        content = self.state.files[path].read_bytes()
        headers = {"ETag": self.state.etags[path]} if path in self.state.etags else {}
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not (part and self.state.ranges):
            self._send(200, content, headers, with_body)
            return
        first, last = int(part[1]), min(int(part[2] or len(content)), len(content) - 1)
        if first > last:
            self._send(416, b"", headers, with_body)
            return
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        closing = last > 0 and (path in self.state.closing or path in self.state.closing_once)
        if closing:
            self.state.closing_once.discard(path)
        self._send(206, content[first : last + 1], headers, with_body, closing)

    def _is_described(self, path: str) -> bool:
        """Answer a request of the Cloud Storage API for an object's metadata, size and generation."""
        asked = re.fullmatch(r"/storage/v1/b/([^/]+)/o/(.+)", path)
        file = self.state.files.get(f"/{asked[1]}/{asked[2]}") if asked else None
        if file is None:
            return False
        about = {"name": "scene", "size": str(file.stat().st_size), "generation": "1700000000000001"}
        self._send(200, json.dumps(about).encode(), {"Content-Type": "application/json"}, True)
        return True

    def _send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool, closing: bool = False) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Accept-Ranges": "bytes", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            part = body[: len(body) // 2] if closing else body
            self.state.sent += len(part)
            self.wfile.write(part)
        self.close_connection = closing
