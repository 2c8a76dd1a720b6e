"""Scenes at addresses (https://, http://, gs://): what GDAL is told of them, and what is asked of their servers."""

import base64
import itertools
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from geo.errors import RasterError

_SCHEMES = ("https://", "http://", "gs://")
_CREDENTIALS = re.compile(r"(?<=://)[^/?#]*@")
# Names in buckets may hold any sign; elsewhere only ASCII without spaces reaches a server.
_SOUND = re.compile(r"gs://[^/]+/.+|https?://[^/?#\s]+/[!-~]+")

# How GDAL reads over the network, unless the user's environment says otherwise. Environment variables, because they
# must hold whenever pixels are read, in every thread.
_NETWORK = {
    "GDAL_HTTP_CONNECTTIMEOUT": "10",  # seconds; without it a host that does not answer is waited for by minutes
    # A transfer that stands still is given up; a slow one is not, as it would be by a limit for the whole request.
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",  # bytes a second
    "GDAL_HTTP_LOW_SPEED_TIME": "30",  # seconds
    "GDAL_HTTP_MAX_RETRY": "4",  # servers say 429 and 503 in passing, to many workers above all
    "GDAL_HTTP_RETRY_DELAY": "1",  # seconds, about twice as many each time
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",  # holds the header of most COGs: one request instead of two or three
    # What was fetched is forgotten when a scene is closed, lest the next look at it be one at two versions of it mixed.
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/http:/vsigs/",
}
for _name, _value in _NETWORK.items():
    os.environ.setdefault(_name, _value)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What a server says of a file.

    Args:
        size: Bytes.
        version: ETag, date or generation: another one where the content is another; None where it says none.
    """

    size: int
    version: str | None


def is_address(uri: str) -> bool:
    """Says whether a scene is somewhere else than in a file of this machine."""
    return uri.startswith(_SCHEMES)


def shown(uri: str) -> str:
    """Returns an address as it may be shown: without user and password."""
    return _CREDENTIALS.sub("***@", uri) if is_address(uri) else uri


def gdal_name(uri: str) -> str:
    """Returns what GDAL calls a file or an address.

    Raises:
        RasterError: The address is not complete, or holds a password: it would end up in every output.
    """
    if not is_address(uri):
        return uri
    if shown(uri) != uri:
        raise RasterError(
            f"{shown(uri)}: expected an address without user and password, got one with them: "
            "take them out, and set GDAL_HTTP_USERPWD=user:password in the environment"
        )
    if not _SOUND.fullmatch(uri):
        raise RasterError(
            f"{uri}: expected an address such as https://host/scene.tif or gs://bucket/scene.tif, got another: "
            "complete it, and write signs other than ASCII as %20 and the like"
        )
    return f"/vsigs/{uri[5:]}" if _in_bucket(uri) else f"/vsicurl/{uri}"


def gdal_options(uri: str) -> dict[str, str]:
    """Returns what GDAL must be told while it opens a file or an address."""
    if not is_address(uri):
        return {}
    # GDAL would look for a dozen files beside it, or list the folder.
    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if _in_bucket(uri) and emulator:
        host = emulator if "://" in emulator else f"http://{emulator}"
        options |= {"CPL_GS_ENDPOINT": f"{host.rstrip('/')}/", "GS_NO_SIGN_REQUEST": "YES"}
    return options


def look_up(uri: str) -> RemoteFile:
    """Asks the server for the size and the version of a file; transfers next to nothing of it.

    Raises:
        RasterError: There is no such file, it may not be read, the server does not answer, or it sends whole files
            only; or the address is not one that `gdal_name` takes.
    """
    gdal_name(uri)
    return _in_a_bucket(uri) if _in_bucket(uri) else _on_the_web(uri)


def pauses_s(uri: str) -> Iterator[float]:
    """Yields how long to wait before each further try of a read that failed, seconds.

    At an address a second, then two, as GDAL_HTTP_RETRY_DELAY says, and then no more: what does not pass by then is
    not worth a pause at each tile.
    """
    if is_address(uri):
        delay = float(os.environ["GDAL_HTTP_RETRY_DELAY"])
        yield from (delay, 2 * delay)
    yield from itertools.repeat(0.0)


def _in_bucket(uri: str) -> bool:
    return uri.startswith("gs://")


def _on_the_web(uri: str) -> RemoteFile:
    # One byte, and not HEAD: a signed address is often signed for GET alone, and this also tells of ranges.
    request = Request(uri, headers={"Range": "bytes=0-0", **_authorization()})  # noqa: S310 - http(s) alone, see above
    with _answered(uri), _patiently_opened(request) as answer:
        size = re.fullmatch(r"bytes 0-0/(\d+)", answer.headers.get("Content-Range", ""))
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    if size is None:
        raise _unusable(uri, "a server that sends whole files only", "copy the file to this machine first")
    return RemoteFile(int(size[1]), version)


def _authorization() -> dict[str, str]:
    """Returns the header for what GDAL is told by GDAL_HTTP_USERPWD."""
    known = os.environ.get("GDAL_HTTP_USERPWD")
    return {"Authorization": f"Basic {base64.b64encode(known.encode()).decode()}"} if known else {}


def _patiently_opened(request: Request) -> Any:
    """Opens an address as patiently as GDAL does."""
    timeout = float(os.environ["GDAL_HTTP_CONNECTTIMEOUT"])
    delay = float(os.environ["GDAL_HTTP_RETRY_DELAY"])
    for tried in range(int(os.environ["GDAL_HTTP_MAX_RETRY"])):
        try:
            return urlopen(request, timeout=timeout)  # noqa: S310
        except HTTPError as error:
            if error.code not in (429, 500, 502, 503, 504):
                raise
        except (ConnectionError, TimeoutError):
            pass
        time.sleep(delay * 2**tried)
    return urlopen(request, timeout=timeout)  # noqa: S310


@contextmanager
def _answered(uri: str) -> Iterator[None]:
    """Makes what a web server may answer, or not answer, a RasterError."""
    try:
        yield
    except HTTPError as error:
        raise _unusable(uri, *_meaning(error.code)) from error
    except (OSError, HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, URLError) else error
        raise _unusable(uri, f"no answer ({cause})", "check the address and the network, or try again") from error


def _meaning(status: int) -> tuple[str, str]:
    """Returns what came and the remedy, of a status of HTTP."""
    if status in (404, 410):
        return f"no such file ({status})", "check the address"
    if status in (401, 403):
        return (
            f"no right to read it ({status})",
            "use an address that is signed and has not run out, or set GDAL_HTTP_USERPWD=user:password in the "
            "environment",
        )
    if status == 416:
        return "an empty file", "write it again"
    return f"the status {status}", "try again later, or copy the file to this machine first"


def _in_a_bucket(uri: str) -> RemoteFile:
    # Half a second to import, and only for buckets.
    from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, Unauthorized
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage
    from google.cloud.storage.retry import DEFAULT_RETRY

    bucket, _, name = uri[5:].partition("/")
    try:
        client = storage.Client.create_anonymous_client() if _unsigned() else storage.Client(project=None)
        blob = client.bucket(bucket).blob(name)
        blob.reload(retry=DEFAULT_RETRY.with_timeout(30))
    except NotFound as error:
        raise _unusable(uri, *_meaning(404)) from error
    except (Forbidden, Unauthorized, GoogleAuthError) as error:
        remedy = (
            "set GOOGLE_APPLICATION_CREDENTIALS to a key that may read the bucket, "
            "or GS_NO_SIGN_REQUEST=YES where everyone may"
        )
        raise _unusable(uri, "no right to read it", remedy) from error
    except (GoogleAPIError, OSError, ValueError) as error:
        cause = str(error).partition("\n")[0]
        raise _unusable(uri, f"no answer ({cause})", "check the address and the network, or try again") from error
    return RemoteFile(int(blob.size), str(blob.generation))


def _unsigned() -> bool:
    """Says whether GDAL reads buckets without credentials."""
    return os.environ.get("GS_NO_SIGN_REQUEST", "NO").upper() in ("YES", "TRUE", "ON", "1")


def _unusable(uri: str, came: str, remedy: str) -> RasterError:
    return RasterError(f"{shown(uri)}: expected a raster at this address, got {came}: {remedy}")
