"""URIs of files, local and remote: how they are told apart, passed to GDAL, resolved, read as text, and versioned.

A URI is a local path or an address such as https://host/scene.tif. GDAL reads https://, http:// and gs://.
"""

import base64
import codecs
import hashlib
import itertools
import netrc
import os
import re
import string
import time
import urllib.parse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from http.cookiejar import LoadError, MozillaCookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, Request, build_opener, url2pathname

from geo.errors import InputError, RasterError, one_line

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CREDENTIALS = re.compile(r"(?<=://)[^/?#]*@")
# Object names in buckets may hold any character; an https:// URL holds ASCII without spaces.
_READABLE = re.compile(r"gs://[^/]+/.+|https?://[^/?#\s]+/[!-~]+")

# Seconds after which a server that sends nothing is taken to be down.
_TIMEOUT_S = 60
# Seconds for which a request to a bucket is repeated.
_RETRY_S = 30

# Buckets without a connection for so long: the next request is not repeated, or a list of scenes would take days.
_disconnected: set[str] = set()

# GDAL's network settings, unless the user's environment has others. Environment variables, because they must hold
# whenever pixels are read, in every thread.
_NETWORK = {
    "GDAL_HTTP_CONNECTTIMEOUT": "10",  # seconds; by default GDAL waits minutes for a host that does not answer
    # Abort stalled transfers, but not slow ones, as a limit for the whole request would.
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",  # bytes per second
    "GDAL_HTTP_LOW_SPEED_TIME": "30",  # seconds
    "GDAL_HTTP_MAX_RETRY": "4",  # 429 and 503 are transient, above all with many workers
    "GDAL_HTTP_RETRY_DELAY": "1",  # seconds, about doubled each time
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",  # holds the header of most COGs: one request instead of two or three
    # Drop what was fetched when a scene is closed, so that a later read cannot mix two versions of a file.
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/http:/vsigs/",
}
if "GDAL_HTTP_BEARER" in os.environ:
    _NETWORK["GDAL_HTTP_AUTH"] = "BEARER"  # without it GDAL does not send the token
for _name, _value in _NETWORK.items():
    os.environ.setdefault(_name, _value)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """Size and version of a file as its server reports them.

    Args:
        size: bytes.
        version: ETag, modification date or generation, which changes with the content; None if the server sends none.
    """

    size: int
    version: str | None


def is_remote(uri: str) -> bool:
    """Return whether a URI is an address, with a scheme such as https://, and not a local path."""
    return _REMOTE.match(uri) is not None


def suffix(uri: str) -> str:
    """Return the lower-case file suffix with its dot, of an address without its query, which may carry a key."""
    path = re.split("[?#]", uri, maxsplit=1)[0] if is_remote(uri) else uri
    return os.path.splitext(path)[1].lower()  # noqa: PTH122


def canonical_uri(uri: str) -> str:
    """Return a form of the URI that is equal for two spellings of the same file."""
    return urllib.parse.urldefrag(uri).url if is_remote(uri) else os.path.realpath(uri)


def resolve_href(href: str, base: str) -> str:
    """Return the URI of a link in the file at `base`: absolute hrefs unchanged, relative ones joined to its folder."""
    if href.startswith("file://"):
        return url2pathname(urllib.parse.urlsplit(href).path)
    if is_remote(href):
        return href
    if not is_remote(base):
        plain = Path(base).parent / href
        # An href is a URI, yet many catalogs hold plain paths: the file that exists decides.
        decoded = Path(base).parent / urllib.parse.unquote(href)
        # `os.path` answers no for a name that is too long, too.
        return str(decoded if not os.path.exists(plain) and os.path.exists(decoded) else plain)  # noqa: PTH110
    # urljoin would not join addresses of schemes that it does not know, such as s3:// and gs://.
    here, link = urllib.parse.urlsplit(base), urllib.parse.urlsplit(href.replace("\\", "/"))
    path = urllib.parse.urljoin(here.path, link.path)
    return urllib.parse.urlunsplit((here.scheme, here.netloc, path, link.query, link.fragment))


def redacted(uri: str) -> str:
    """Return the URI for display, with user and password masked."""
    return _CREDENTIALS.sub("***@", uri) if is_remote(uri) else uri


def check_no_credentials(uri: str, error: type[InputError | RasterError] = InputError) -> None:
    """Reject an address with user and password, which would end up in every output.

    Raises:
        InputError: it has them; or the `error` that was asked for.
    """
    if redacted(uri) != uri:
        raise error(
            f"{redacted(uri)}: expected an address without user and password, got one with them: "
            "take them out, and set GDAL_HTTP_USERPWD=user:password in the environment"
        )


def read_text(uri: str) -> tuple[str, str]:
    """Read a small UTF-8 text file.

    Args:
        uri: a local path, or an address of https://, http:// or gs://.

    Returns:
        The text, and its URI after redirects.

    Raises:
        InputError: it cannot be read, is not such text, or its address holds a password.
    """
    check_no_credentials(uri)
    try:
        if _in_bucket(uri):
            with _object_errors(uri):
                content: bytes = _blob(uri).download_as_bytes(**_object_options(uri))
            return content.decode("utf-8-sig"), uri
        return _fetch_text(uri) if is_remote(uri) else (Path(uri).read_text(encoding="utf-8-sig"), uri)
    except (OSError, ValueError, HTTPException) as error:
        reason = one_line(error)
        raise InputError(
            f"{uri}: expected text in UTF-8 that can be read, got '{reason}': check that it exists and is complete"
        ) from error


def serves_json(uri: str) -> bool:
    """Return whether there is JSON at an address of https:// or http://, by what its server says or how it begins."""
    if not uri.startswith(("https://", "http://")):
        return False
    try:
        with _urlopen(_request(_ascii_url(uri), Range="bytes=0-63"), _TIMEOUT_S) as response:
            start = response.read(64).removeprefix(codecs.BOM_UTF8).lstrip()
            return "json" in response.headers.get_content_type() or start.startswith(b"{")
    except (OSError, ValueError, HTTPException):
        return False  # reported when it is opened as a raster


def _ascii_url(url: str) -> str:
    """Return a URL with all characters other than ASCII percent-encoded; what is encoded stays."""
    return urllib.parse.quote(url, safe=string.punctuation)


def _fetch_text(url: str) -> tuple[str, str]:
    if not url.startswith(("https://", "http://")):
        raise ValueError("an address that is neither https://, http:// nor gs://")
    with _urlopen(_request(_ascii_url(url)), _TIMEOUT_S) as response:
        return response.read().decode("utf-8-sig"), response.url


def list_objects(pattern: str) -> list[str]:
    """List the objects at gs:// that match a pattern, by name.

    Args:
        pattern: gs://bucket/name, where `*` and `?` stand for characters other than a slash, and `**` for any.

    Raises:
        InputError: they cannot be listed.
    """
    bucket, _, name = pattern[5:].partition("/")
    try:
        with _object_errors(pattern):
            blobs = _bucket_client().list_blobs(bucket, match_glob=name, **_object_options(pattern))
            return sorted(f"gs://{bucket}/{blob.name}" for blob in blobs)
    except RasterError as error:
        raise InputError(str(error)) from error


def gdal_name(uri: str) -> str:
    """Return the name under which GDAL opens a file.

    Raises:
        RasterError: the address is incomplete, of another scheme than https://, http:// and gs://, or holds a password.
    """
    if not is_remote(uri):
        return os.path.abspath(uri) if ":" in uri else uri  # noqa: PTH100 -- rasterio takes "zip:a.tif" for an archive
    check_no_credentials(uri, RasterError)
    if not _READABLE.fullmatch(uri):
        raise RasterError(
            f"{uri}: expected an address such as https://host/scene.tif or gs://bucket/scene.tif, got another: "
            "complete it, and write characters other than ASCII as %20 and the like"
        )
    return f"/vsigs/{uri[5:]}" if _in_bucket(uri) else f"/vsicurl/{uri}"


def gdal_options(uri: str) -> dict[str, str]:
    """Return the GDAL options to set while a file is opened."""
    if not is_remote(uri):
        return {}
    # By default GDAL looks for a dozen sidecar files, or lists the folder.
    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if _in_bucket(uri) and emulator:
        host = emulator if "://" in emulator else f"http://{emulator}"
        options |= {"CPL_GS_ENDPOINT": f"{host.rstrip('/')}/", "GS_NO_SIGN_REQUEST": "YES"}
    return options


def retry_delays_s(uri: str) -> Iterator[float]:
    """Yield the delay before each retry of a failed read, seconds; endless.

    For an address GDAL_HTTP_RETRY_DELAY, then twice that, then 0: an outage that lasts longer is not worth a wait at
    every tile.
    """
    if is_remote(uri):
        delay = float(os.environ["GDAL_HTTP_RETRY_DELAY"])
        yield from (delay, 2 * delay)
    yield from itertools.repeat(0.0)


def file_version(source: RemoteFile | Iterable[str]) -> str:
    """Return 16 hexadecimal digits that change if a file, or one of several, is moved, truncated or rewritten.

    Args:
        source: what a server reports of a file; or local files, which are told by size and modification time. Parts of
            a VRT that are not local do not count.
    """
    known = (source.size, source.version) if isinstance(source, RemoteFile) else [_local_stat(file) for file in source]
    return hashlib.sha256(repr(known).encode()).hexdigest()[:16]


def _local_stat(file: str) -> tuple[int, int] | None:
    try:
        status = os.stat(file)  # noqa: PTH116 -- four times as fast as Path.stat, and a VRT may have thousands of parts
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def stat_remote(uri: str) -> RemoteFile:
    """Ask the server for the size and version of a file; transfers one byte of it at most.

    Raises:
        RasterError: there is no such file, access is denied, the server does not answer or does not support range
            requests; or the address is not one that `gdal_name` accepts.
    """
    gdal_name(uri)
    return _stat_object(uri) if _in_bucket(uri) else _stat_url(uri)


def _in_bucket(uri: str) -> bool:
    return uri.startswith("gs://")


def _stat_url(uri: str) -> RemoteFile:
    # One byte instead of HEAD: signed URLs are often signed for GET only, and the answer shows whether ranges work.
    request = _request(uri, Range="bytes=0-0")
    with _http_errors(uri), _urlopen_with_retries(request) as answer:
        size = re.fullmatch(r"bytes 0-0/(\d+)", answer.headers.get("Content-Range", ""))
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    if size is None:
        raise _unreadable(uri, "a server without range requests", "copy the file to this machine first")
    return RemoteFile(int(size[1]), version)


def _request(url: str, **headers: str) -> Request:
    """Return a request with the user's tokens, which are not sent on to where the server redirects it."""
    request = Request(url, headers=headers)  # noqa: S310 -- callers check the scheme
    for name, value in (_netrc_header(url) | authorization_headers()).items():
        request.add_unredirected_header(name, value)
    return request


def _netrc_header(url: str) -> dict[str, str]:
    """Return the header with the password that ~/.netrc has for the host, as GDAL_HTTP_NETRC says."""
    if os.environ.get("GDAL_HTTP_NETRC", "YES").upper() in ("NO", "FALSE", "OFF", "0"):
        return {}
    try:
        login = netrc.netrc(Path.home() / ".netrc").authenticators(urllib.parse.urlsplit(url).hostname or "")
    except (OSError, ValueError, RuntimeError, netrc.NetrcParseError):  # GDAL reads on without it, too
        return {}
    return {"Authorization": _basic(f"{login[0]}:{login[2]}")} if login and login[2] else {}


def _basic(credentials: str) -> str:
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


def authorization_headers() -> dict[str, str]:
    """Return the headers that GDAL sends for its variables.

    These are GDAL_HTTP_HEADERS, GDAL_HTTP_HEADER_FILE, GDAL_HTTP_BEARER, GDAL_HTTP_USERPWD and GDAL_HTTP_COOKIE.
    """
    headers = {}
    if credentials := os.environ.get("GDAL_HTTP_USERPWD"):
        headers["Authorization"] = _basic(credentials)
    if token := os.environ.get("GDAL_HTTP_BEARER"):
        headers["Authorization"] = f"Bearer {token}"
    if cookie := os.environ.get("GDAL_HTTP_COOKIE"):
        headers["Cookie"] = cookie
    file = os.environ.get("GDAL_HTTP_HEADER_FILE")
    lines = Path(file).read_text(encoding="utf-8").splitlines() if file and Path(file).is_file() else []
    # A comma within a value is quoted in GDAL's list; one that no name follows belongs to the value.
    lines += re.split(r",(?=[A-Za-z-]+:)", os.environ.get("GDAL_HTTP_HEADERS", ""))
    pairs = (line.partition(":") for line in lines if ":" in line)
    return headers | {name.strip().strip('"'): value.strip().strip('"') for name, _, value in pairs}


def _urlopen_with_retries(request: Request) -> Any:
    """Open a URL with the timeouts and retries that GDAL uses."""
    timeout = float(os.environ["GDAL_HTTP_CONNECTTIMEOUT"])
    delay = float(os.environ["GDAL_HTTP_RETRY_DELAY"])
    for attempt in range(int(os.environ["GDAL_HTTP_MAX_RETRY"])):
        try:
            return _urlopen(request, timeout)
        except HTTPError as error:
            if error.code not in (429, 500, 502, 503, 504):
                raise
        except (ConnectionError, TimeoutError):
            pass
        time.sleep(delay * 2**attempt)
    return _urlopen(request, timeout)


def _urlopen(request: Request, timeout_s: float) -> Any:
    """Open a URL of http(s), with the cookies of GDAL_HTTP_COOKIEFILE and those that redirects set on the way."""
    cookies = MozillaCookieJar(os.environ.get("GDAL_HTTP_COOKIEFILE"))
    if cookies.filename:
        with suppress(OSError, LoadError):  # GDAL may be about to make it
            cookies.load(ignore_discard=True, ignore_expires=True)
    for cookie in cookies:
        cookie.expires = cookie.expires or None  # 0 stands for the end of a session, not for 1970
    return build_opener(_Redirects, HTTPCookieProcessor(cookies)).open(request, timeout=timeout_s)


class _Redirects(HTTPRedirectHandler):
    """Redirects with the password that ~/.netrc has for the new host: portals send to another one to log in."""

    def redirect_request(self, req: Request, *args: Any) -> Request | None:
        """See `HTTPRedirectHandler`."""
        request = super().redirect_request(req, *args)
        if request is not None:
            for name, value in _netrc_header(request.full_url).items():
                request.add_unredirected_header(name, value)
        return request


@contextmanager
def _http_errors(uri: str) -> Iterator[None]:
    """Turn failed requests into RasterErrors with a remedy."""
    try:
        yield
    except HTTPError as error:
        raise _unreadable(uri, *_describe_status(error.code)) from error
    except (OSError, HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, URLError) else error
        raise _unreadable(uri, f"no answer ({cause})", "check the address and the network, or try again") from error


def _describe_status(status: int) -> tuple[str, str]:
    """Return what came and the remedy, for an HTTP status."""
    if status in (404, 410):
        return f"no such file ({status})", "check the address"
    if status in (401, 403):
        return (
            f"access denied ({status})",
            "use a signed URL that has not expired, or set GDAL_HTTP_USERPWD=user:password, GDAL_HTTP_BEARER or "
            "GDAL_HTTP_HEADERS in the environment to what the server asks for",
        )
    if status == 416:
        return "an empty file", "write it again"
    return f"HTTP status {status}", "try again later, or copy the file to this machine first"


def _stat_object(uri: str) -> RemoteFile:
    with _object_errors(uri):
        blob = _blob(uri)
        blob.reload(**_object_options(uri))
    return RemoteFile(int(blob.size), str(blob.generation))


def _blob(uri: str) -> Any:
    """Return the object at a gs:// address, of which nothing has been transferred yet."""
    bucket, _, name = uri[5:].partition("/")
    return _bucket_client().bucket(bucket).blob(name)


def _bucket_client() -> Any:
    # Takes half a second to import, and is only needed for buckets.
    from google.cloud import storage

    return storage.Client.create_anonymous_client() if _is_anonymous() else storage.Client(project=None)


def _object_options(uri: str) -> dict[str, Any]:
    """Return the retries and the timeouts (to connect, and for an answer) of a request to a bucket."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    retry = DEFAULT_RETRY.with_timeout(0 if _bucket(uri) in _disconnected else _RETRY_S)
    return {"retry": retry, "timeout": (float(os.environ["GDAL_HTTP_CONNECTTIMEOUT"]), _TIMEOUT_S)}


def _bucket(uri: str) -> str:
    return uri[5:].partition("/")[0]


def check_bucket_answers(uri: str) -> None:
    """Ask for the bucket of a gs:// address: without a network, Beam and its search for credentials try for minutes.

    Raises:
        ConnectionError: nothing answers. An answer of any kind is fine: whoever uses the bucket has better words for
            a refusal.
    """
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.cloud.storage import Client

    try:
        Client.create_anonymous_client().lookup_bucket(_bucket(uri), **_object_options(uri))
    except RetryError as error:
        _note_disconnected(uri, error)
        raise ConnectionError(f"no answer ({_network_cause(error)})") from error
    except (GoogleAPICallError, ValueError):
        pass


def _note_disconnected(uri: str, error: Any) -> None:
    """Remember a bucket for which a RetryError of Google's client says that there was no connection."""
    if isinstance(error.cause, OSError):
        _disconnected.add(_bucket(uri))


def _network_cause(error: BaseException) -> str:
    """Return what failed in the words of the system, which HTTP libraries bury in the names of their classes."""
    words = re.search(r"\[Errno -?\d+\] ([^'\")]+)|, '([^']+)'\)+$", str(error))
    return words[1] or words[2] if words else one_line(error)


@contextmanager
def _object_errors(uri: str) -> Iterator[None]:
    """Turn the errors of a bucket's client into RasterErrors with a remedy."""
    from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, RetryError, Unauthorized
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
        _disconnected.discard(_bucket(uri))
    except NotFound as error:
        raise _unreadable(uri, *_describe_status(404)) from error
    except (Forbidden, Unauthorized, GoogleAuthError) as error:
        remedy = (
            "set GOOGLE_APPLICATION_CREDENTIALS to a key with read access to the bucket, "
            "or GS_NO_SIGN_REQUEST=YES if it is public"
        )
        raise _unreadable(uri, "access denied", remedy) from error
    except (GoogleAPIError, OSError, ValueError) as error:
        if isinstance(error, RetryError):
            _note_disconnected(uri, error)
        got = f"no answer ({_network_cause(error)})"
        raise _unreadable(uri, got, "check the address and the network, or try again") from error


def _is_anonymous() -> bool:
    """Return whether GDAL is set to read buckets without credentials."""
    return os.environ.get("GS_NO_SIGN_REQUEST", "NO").upper() in ("YES", "TRUE", "ON", "1")


def _unreadable(uri: str, got: str, remedy: str) -> RasterError:
    return RasterError(f"{redacted(uri)}: expected a raster at this address, got {got}: {remedy}")
