"""Fetch a stranger's URL: the whole file, of bounded size, and never from a host that only this machine can reach.

GDAL would follow redirects and resolve names by itself, out of our sight. So the file is fetched here: each host is
resolved once, and the connection goes to the address that was checked.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import time
import urllib.parse
from pathlib import Path

from pipeline.serve.requests import RequestError

_MAX_REDIRECTS = 5
_TIMEOUT_S = 20.0
#: Seconds for the whole file.
_MAX_SECONDS = 600.0
_CHUNK_BYTES = 1 << 16
# Prefixes of IPv6 whose last bits are an address of IPv4: it counts.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_REDIRECTS = (301, 302, 303, 307, 308)


def fetch(url: str, path: Path, max_bytes: int) -> None:
    """Write the file at a URL to `path`.

    Args:
        url: of https:// or http://.
        path: the file to write.
        max_bytes: its size, at most.

    Raises:
        RequestError: the URL, or one that it redirects to, is of another scheme, holds a password, or is of a
            private host (403); or there is no such file, or one that is too large (4xx).
    """
    deadline = time.monotonic() + _MAX_SECONDS
    for _ in range(_MAX_REDIRECTS + 1):
        target = _fetch_once(url, path, max_bytes, deadline)
        if target is None:
            return
        url = target
    raise RequestError(400, f"expected a file, got more than {_MAX_REDIRECTS} redirects: name the final URL")


def check(url: str) -> None:
    """Refuse a URL that `fetch` would refuse before it connects.

    Raises:
        RequestError: as for `fetch`.
    """
    parts = _split(url)
    host = str(parts.hostname)
    try:
        _public_address(host, parts.port or 443)
    except RequestError:
        raise
    except (OSError, ValueError) as error:
        raise RequestError(400, f"expected a host name that resolves, got {host} ({error}): check the URL") from error


def _fetch_once(url: str, path: Path, max_bytes: int, deadline: float) -> str | None:
    """Write the file at a URL and return None, or return the URL that it redirects to."""
    parts = _split(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    # Without a port, http.client would take the end of an IPv6 address for one.
    connection = kind(str(parts.hostname), parts.port or kind.default_port, timeout=_TIMEOUT_S)
    # The only place where http.client lets one choose the address; TLS still checks the name.
    connection._create_connection = _connect  # type: ignore[attr-defined]
    try:
        query = f"?{parts.query}" if parts.query else ""
        connection.request("GET", f"{parts.path or '/'}{query}", headers={"User-Agent": "airplane-finder"})
        answer = connection.getresponse()
        if answer.status in _REDIRECTS and answer.headers.get("Location"):
            return urllib.parse.urljoin(url, str(answer.headers["Location"]))
        if answer.status != 200:
            raise RequestError(400, f"expected a file at this URL, got HTTP status {answer.status}: check it")
        _save(answer, path, max_bytes, deadline)
    except RequestError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RequestError(400, f"expected a file at this URL, got no answer ({error}): check it") from error
    finally:
        connection.close()
    return None


def _split(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise RequestError(400, f"expected a URL, got a malformed one ({error}): correct it") from error
    if parts.scheme not in ("https", "http") or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise RequestError(400, "expected a URL of https:// or http://, got something else: send the file itself")
    if "@" in parts.netloc:
        raise RequestError(400, "expected a URL without user and password, got one with them: remove them")
    return parts


def _save(answer: http.client.HTTPResponse, path: Path, max_bytes: int, deadline: float) -> None:
    size = 0
    with path.open("wb") as file:
        while chunk := answer.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > max_bytes:
                raise RequestError(413, f"expected at most {max_bytes / 2**20:g} MiB at this URL, got more")
            if time.monotonic() > deadline:
                raise RequestError(408, f"expected the file within {_MAX_SECONDS:g} s, got a part of it: try again")
            file.write(chunk)


def _connect(address: tuple[str, int], timeout: float, source_address: None = None) -> socket.socket:
    """Connect to a host after every one of its addresses has been checked."""
    del source_address
    return socket.create_connection((_public_address(*address), address[1]), timeout)


def _public_address(host: str, port: int) -> str:
    """Return an IP address of a host, all of whose addresses belong to the internet.

    Connections go to it, not to the name: a second look-up could give another one.
    """
    known = [str(where[0]) for *_, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not all(map(is_public, known)):
        raise RequestError(403, f"{host}: expected a host on the internet, got a private one: send the file itself")
    return known[0]


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the internet: not to this machine, a local network or a cloud's own."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast
