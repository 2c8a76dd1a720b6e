"""Addresses of strangers: what is fetched, and what never is."""

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.serve import addresses
from pipeline.serve.requests import RequestError
from tests.geo.range_server import serving


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "ff02::1",
    ],
)
def test_private_addresses_are_known(address: str) -> None:
    assert not addresses.is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_public_addresses_are_known(address: str) -> None:
    assert addresses.is_public(address)


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://127.0.0.1/a.tif", 403),
        ("http://localhost:1/a.tif", 403),
        ("http://2130706433/a.tif", 403),
        ("http://[::1]/a.tif", 403),
        ("http://[::ffff:10.0.0.1]/a.tif", 403),
        ("http://169.254.169.254/latest/meta-data", 403),
        ("http://user:word@127.0.0.1/", 400),
        ("gs://bucket/a.tif", 400),
        ("ftp://host/a.tif", 400),
        ("file:///etc/passwd", 400),
        ("http:///a.tif", 400),
        ("http://[::1/a.tif", 400),
        ("http://a.example:99999/a.tif", 400),
        ("http://host/a b\r\nX: y", 400),
        (f"http://{'a' * 70}.example/", 400),
    ],
)
def test_what_is_refused_at_first_sight_is_never_fetched(tmp_path: Path, url: str, status: int) -> None:
    with pytest.raises(RequestError) as checked:
        addresses.check(url)
    with pytest.raises(RequestError) as fetched:
        addresses.fetch(url, tmp_path / "x", 10)
    assert (checked.value.status, fetched.value.status) == (status, status)


def test_a_host_with_one_private_address_among_public_ones_is_private(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("1.1.1.1", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(RequestError, match="private"):
        addresses.check("http://mixed.example/a.tif")


def test_redirects_are_followed_but_not_to_private_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first host counts as public here; the second one is the same machine by another address."""
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
    with redirecting() as (url, targets):
        targets["/first"] = "/file"
        addresses.fetch(f"{url}/first", tmp_path / "file", 100)
        assert (tmp_path / "file").read_bytes() == b"content"
        for target in ("http://127.0.0.2/file", "http://[::1]/file", "file:///etc/passwd", "//10.0.0.1/x"):
            targets["/first"] = target
            with pytest.raises(RequestError):
                addresses.fetch(f"{url}/first", tmp_path / "file", 100)
        targets["/first"] = "/first"
        with pytest.raises(RequestError, match="redirects"):
            addresses.fetch(f"{url}/first", tmp_path / "file", 100)


def test_a_file_beyond_the_limit_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "is_public", lambda address: True)
    (tmp_path / "a.tif").write_bytes(bytes(1000))
    with serving() as server:
        server.files["/a.tif"] = tmp_path / "a.tif"
        addresses.fetch(f"{server.address}/a.tif", tmp_path / "x", 1000)
        with pytest.raises(RequestError) as error:
            addresses.fetch(f"{server.address}/a.tif", tmp_path / "x", 999)
    assert error.value.status == 413


def redirecting() -> Any:
    """A server that redirects as it is told, and has one file."""
    targets: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            target = targets.get(self.path)
            self.send_response(302 if target else 200)
            if target:
                self.send_header("Location", target)
            self.end_headers()
            self.wfile.write(b"" if target else b"content")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    @contextlib.contextmanager
    def run() -> Any:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", targets
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    return run()
