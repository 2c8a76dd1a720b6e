"""URIs, and remote scenes: range requests, versions, credentials, errors."""

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from rasterio.shutil import copy

from geo.errors import RasterError
from geo.grid import Level, Tiling, plan_tiles
from geo.raster.header import read_header
from geo.raster.reader import RasterReader
from geo.raster.uri import (
    RemoteFile,
    authorization_headers,
    canonical_uri,
    gdal_name,
    is_remote,
    redacted,
    resolve_href,
    retry_delays_s,
    serves_json,
    stat_remote,
    suffix,
)
from geo.types import ImageArray, Window
from tests.geo.gcs_emulator import emulated_bucket
from tests.geo.range_server import RangeServer, serving
from tests.geo.scenes import coordinates, noise, write_tiff

SIDE = 3072
FULL = Level(0.5, SIDE, SIDE, 1.0, 1.0)
MIDDLE = Window(1000, 1100, 256, 256)


@pytest.fixture(scope="module")
def pixels() -> ImageArray:
    return noise(SIDE, SIDE)


@pytest.fixture(scope="module")
def cog(tmp_path_factory: pytest.TempPathFactory, pixels: ImageArray) -> Path:
    """A COG of 38 MB, uncompressed."""
    folder = tmp_path_factory.mktemp("cog")
    source = write_tiff(folder / "source.tif", pixels)
    copy(source, folder / "scene.tif", driver="COG", COMPRESS="NONE", BLOCKSIZE=256)
    assert (folder / "scene.tif").stat().st_size > 35e6
    return folder / "scene.tif"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    for name in ("STORAGE_EMULATOR_HOST", "GDAL_HTTP_USERPWD", "GDAL_HTTP_BEARER", "GS_NO_SIGN_REQUEST"):
        monkeypatch.delenv(name, raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "*")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "1")
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0")
    with serving() as server:
        yield server


@pytest.mark.parametrize("bucket", [False, True], ids=["http", "gs"])
def test_only_a_small_part_of_a_remote_scene_is_read(
    server: RangeServer, cog: Path, pixels: ImageArray, bucket: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/maps/a/scene 1.tif"] = cog
    if bucket:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.address)
    uri = "gs://maps/a/scene 1.tif" if bucket else f"{server.address}/maps/a/scene%201.tif"
    server.etags["/maps/a/scene 1.tif"] = '"one"'
    header = read_header(uri)
    with RasterReader(uri, header.radiometry) as reader:
        np.testing.assert_array_equal(
            reader.read_window(MIDDLE, FULL), pixels[MIDDLE.row : MIDDLE.bottom, MIDDLE.col : MIDDLE.right]
        )
    assert server.sent < 0.1 * cog.stat().st_size
    # No requests for sidecar files.
    assert {path for _, path, _ in server.requests if "/storage/" not in path} == {"/maps/a/scene%201.tif"}
    local = read_header(str(cog))
    assert (header.georef, header.radiometry, header.dtype) == (local.georef, local.radiometry, local.dtype)


def test_only_the_overview_is_read_at_a_coarse_level(server: RangeServer, cog: Path, pixels: ImageArray) -> None:
    server.files["/scene.tif"] = cog
    uri = f"{server.address}/scene.tif"
    level = Level(4.0, SIDE // 4, SIDE // 4, 4.0, 4.0)
    with RasterReader(uri, read_header(str(cog)).radiometry) as reader:
        reader.read_window(Window(0, 0, level.width, level.height), level)
    assert server.sent < 0.06 * cog.stat().st_size


def test_the_version_is_part_of_the_scene_id(server: RangeServer, tmp_path: Path) -> None:
    write_tiff(tmp_path / "scene.tif", noise(300, 200))
    for path in ("/a/scene.tif", "/b/scene.tif", "/c/scene.tif", "/d/scene.tif"):
        server.files[path] = tmp_path / "scene.tif"
    server.etags = {"/a/scene.tif": '"1"', "/b/scene.tif": '"1"', "/c/scene.tif": '"2"'}
    first, same, other, without = (read_header(f"{server.address}/{name}/scene.tif").scene_id for name in "abcd")
    assert first == same
    # Without a version from the server, the sample of pixels is the larger one of local files.
    assert len({first, other, without}) == 3
    assert without == read_header(str(tmp_path / "scene.tif")).scene_id


def test_a_rewritten_file_is_read_anew(server: RangeServer, tmp_path: Path) -> None:
    server.files["/scene.tif"] = tmp_path / "scene.tif"
    for version, width in enumerate((300, 310)):
        write_tiff(tmp_path / "scene.tif", noise(width, 200, seed=version))
        server.etags["/scene.tif"] = f'"{version}"'
        header = read_header(f"{server.address}/scene.tif")
        assert header.width == width
        with RasterReader(header.uri, header.radiometry, header.version) as reader:
            image = reader.read_window(Window(0, 0, width, 200), Level(0.5, width, 200, 1.0, 1.0))
        np.testing.assert_array_equal(image, noise(width, 200, seed=version))


def test_stat_remote_transfers_one_byte(server: RangeServer, cog: Path) -> None:
    server.files["/scene.tif"] = cog
    server.etags["/scene.tif"] = '"one"'
    assert stat_remote(f"{server.address}/scene.tif?signature=of&GET=alone") == RemoteFile(cog.stat().st_size, '"one"')
    assert server.sent <= 1
    assert server.requests == [("GET", "/scene.tif?signature=of&GET=alone", None)]


def test_credentials_come_from_the_environment(
    server: RangeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiff(tmp_path / "scene.tif", noise(300, 200))
    server.files["/secret.tif"] = tmp_path / "scene.tif"
    monkeypatch.setenv("GDAL_HTTP_USERPWD", "me:word")
    assert read_header(f"{server.address}/secret.tif").width == 300
    assert {authorization for _, _, authorization in server.requests} == {"Basic bWU6d29yZA=="}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/none.tif", r"expected a raster at this address, got no such file \(404\): check the address"),
        ("/forbidden.tif", r"got access denied \(403\): use a signed URL .*GDAL_HTTP_USERPWD"),
        ("/unknown.tif", r"got access denied \(401\): use a signed URL"),
        ("/broken.tif", r"got HTTP status 503: try again later"),
        ("/empty.tif", r"got an empty file: write it again"),
        ("/text.tif", r"expected a raster such as GeoTIFF, got a file that GDAL cannot open .*: it is not a raster"),
        ("/closed.tif", r"expected pixels in columns 0 to .* got a read error .*: the connection failed.*; try again"),
        ("/no space.tif", r"expected an address such as https://host/scene.tif .*complete it, and write"),
        ("/", r"expected an address such as"),
    ],
)
def test_http_errors_name_the_cause_and_the_remedy(
    server: RangeServer, tmp_path: Path, path: str, message: str
) -> None:
    write_tiff(tmp_path / "closed.tif", noise(300, 200), tiled=False, blockxsize=None, blockysize=200)
    (tmp_path / "empty.tif").write_bytes(b"")
    (tmp_path / "text.tif").write_text("no raster" * 9000)
    server.files = {f"/{file.name}": file for file in tmp_path.iterdir()}
    server.closing = {"/closed.tif"}
    server.refusals = {"/forbidden.tif": 403, "/unknown.tif": 401, "/broken.tif": 503}
    uri = server.address + path
    with pytest.raises(RasterError, match="^" + re.escape(uri) + ": .*" + message) as caught:
        read_header(uri)
    assert "\n" not in str(caught.value)


def test_a_transient_failure_is_retried(server: RangeServer, cog: Path) -> None:
    server.files["/scene.tif"] = cog
    server.failing_once = {"/scene.tif"}
    assert stat_remote(f"{server.address}/scene.tif").size == cog.stat().st_size
    assert len(server.requests) == 2


def test_a_server_without_range_requests_is_rejected_without_a_download(server: RangeServer, cog: Path) -> None:
    server.files["/whole.tif"] = cog
    server.ranges = False
    with pytest.raises(RasterError, match=r"whole\.tif: .* got a server without range requests: copy the file"):
        read_header(f"{server.address}/whole.tif")


@pytest.mark.parametrize("uri", ["http://host.invalid/a.tif", "http://127.0.0.1:1/a.tif", "http://127.0.0.1:x/a.tif"])
def test_an_unreachable_host_is_named(server: RangeServer, uri: str) -> None:
    with pytest.raises(RasterError, match=re.escape(uri) + r": .* got no answer \(.*\): check the address and the net"):
        read_header(uri)


def test_bucket_errors_name_the_cause_and_the_remedy(server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.address)
    server.refusals = {"/storage/v1/b/mine/o/a.tif": 403, "/mine/a.tif": 403}
    for uri, message in {
        "gs://mine/none.tif": r"got no such file \(404\): check the address",
        "gs://mine/a.tif": "got access denied: set GOOGLE_APPLICATION_CREDENTIALS .* or GS_NO_SIGN_REQUEST=YES",
        "gs://mine": "expected an address such as",
    }.items():
        with pytest.raises(RasterError, match=f"^{uri}: .*{message}"):
            read_header(uri)


def test_addresses_with_passwords_are_rejected_and_redacted() -> None:
    for uri in ("https://me:word@host/a.tif", "https://word@host/a@b.tif?c=d@e"):
        with pytest.raises(RasterError, match="expected an address without user and password") as caught:
            read_header(uri)
        assert "word@" not in str(caught.value)
    assert redacted("https://me:word@host/a@b.tif") == "https://***@host/a@b.tif"
    assert redacted("https://host/a@b.tif?c=d@e") == "https://host/a@b.tif?c=d@e"
    assert redacted("folder@2/a.tif") == "folder@2/a.tif"


def test_local_paths_are_not_remote(tmp_path: Path) -> None:
    for name in ("scene.tif", "https.tif", "gs:scene.tif", "folder/http:/a.tif"):
        assert not is_remote(name)
        assert gdal_name(name) == (str(Path.cwd() / name) if ":" in name else name)


@pytest.mark.parametrize("name", ["zip:a.tif", "file:b.tif", "gs:c.tif"])
def test_names_like_schemes_are_files(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiff(tmp_path / name, noise(64, 64))
    monkeypatch.chdir(tmp_path)
    assert read_header(name).width == 64


@pytest.mark.parametrize(
    ("variables", "headers"),
    [
        ({}, {}),
        ({"GDAL_HTTP_USERPWD": "me:word"}, {"Authorization": "Basic bWU6d29yZA=="}),
        ({"GDAL_HTTP_BEARER": "T"}, {"Authorization": "Bearer T"}),
        ({"GDAL_HTTP_HEADERS": "Authorization: Bearer T,X-Key: a"}, {"Authorization": "Bearer T", "X-Key": "a"}),
        ({"GDAL_HTTP_COOKIE": "a=b"}, {"Cookie": "a=b"}),
    ],
)
def test_the_tokens_of_gdal_are_sent(
    variables: dict[str, str], headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GDAL_HTTP_USERPWD", "GDAL_HTTP_BEARER", "GDAL_HTTP_HEADERS", "GDAL_HTTP_COOKIE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert authorization_headers() == headers


def test_geo_does_not_import_google_cloud() -> None:
    program = "import geo.raster.reader, sys; print([name for name in sys.modules if name.startswith('google.cloud.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_only_remote_reads_are_delayed_and_only_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "1.5")
    assert list(itertools.islice(retry_delays_s("https://example.com/a.tif"), 4)) == [1.5, 3.0, 0.0, 0.0]
    assert list(itertools.islice(retry_delays_s("a.tif"), 4)) == [0.0] * 4


@pytest.mark.parametrize("uri", ["s3://bucket/a.tif", "https://host", "http://host/a b.tif"])
def test_addresses_that_gdal_is_not_given_are_rejected(uri: str) -> None:
    assert is_remote(uri)
    with pytest.raises(RasterError, match=f"{uri}: expected an address such as"):
        read_header(uri)


@pytest.mark.parametrize(
    ("href", "base", "expected"),
    [
        ("https://host/a.tif", "folder/i.json", "https://host/a.tif"),
        ("../a b.tif", "folder/x/i.json", "folder/x/../a b.tif"),
        ("/data/a.tif", "folder/i.json", "/data/a.tif"),
        ("file:///data/a%20b.tif", "https://host/i.json", "/data/a b.tif"),
        ("../a.tif?key=1", "https://host/x/y/i.json?key=2", "https://host/x/a.tif?key=1"),
        ("./a.tif", "gs://bucket/x/i.json", "gs://bucket/x/a.tif"),
        ("x\\a.tif", "s3://bucket/i.json", "s3://bucket/x/a.tif"),
        ("/a.tif", "https://host/x/i.json", "https://host/a.tif"),
    ],
)
def test_links_are_resolved_against_their_file(href: str, base: str, expected: str) -> None:
    assert resolve_href(href, base) == expected


def test_suffixes_are_lower_case_and_without_the_query() -> None:
    assert suffix("https://host/A.TIF?key=x.json") == suffix("folder.x/A.Tif") == ".tif"


def test_spellings_of_one_file_have_one_canonical_uri(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert canonical_uri(f"{tmp_path}/link/../x/../a.tif") == canonical_uri(f"{tmp_path}/link/../a.tif")
    assert canonical_uri("https://host/a.json#x") == canonical_uri("https://host/a.json")


OBJECT = "deliveries/2026/scene 1.tif"


@pytest.fixture
def bucket() -> Iterator[Any]:
    with emulated_bucket("maps") as bucket:
        yield bucket


def test_a_scene_in_a_bucket_equals_the_local_file(tmp_path: Path, bucket: Any) -> None:
    plain = write_tiff(tmp_path / "plain.tif", coordinates(701, 499), affine=Affine(1, 0, 5e5, 0, -1, 5e6))
    # A COG has the list of its overviews in front. Elsewhere in the file rasterio reads it without releasing the GIL,
    # which the server of this process needs.
    local = str(tmp_path / "scene.tif")
    copy(plain, local, driver="COG", blocksize=128, overview_count=1)
    bucket.blob(OBJECT).upload_from_filename(local)
    local_header, header = read_header(local), read_header(f"gs://maps/{OBJECT}")
    assert (header.width, header.height, header.georef) == (
        local_header.width,
        local_header.height,
        local_header.georef,
    )
    for level in (Level(1.0, 701, 499, 1.0, 1.0), Level(2.0, 351, 250, 701 / 351, 499 / 250)):
        with RasterReader(local) as local_reader, RasterReader(header.uri, header.radiometry) as reader:
            for tile in plan_tiles(level, Tiling((1.0,), tile_px=256, halo_px=24, align_px=32)):
                np.testing.assert_array_equal(reader.read_tile(tile), local_reader.read_tile(tile))


def test_the_generation_is_part_of_the_scene_id(tmp_path: Path, bucket: Any) -> None:
    ids, pixels = [], coordinates(701, 499)
    for value in (0, 1):
        pixels[200, 300] = value  # outside the fingerprint's sample: only the generation differs
        local = write_tiff(tmp_path / "scene.tif", pixels, affine=Affine(1, 0, 5e5, 0, -1, 5e6))
        bucket.blob(OBJECT).upload_from_filename(local)
        ids.append(read_header(f"gs://maps/{OBJECT}").scene_id)
    assert ids[0] != ids[1]


def test_a_missing_object_is_named(bucket: Any) -> None:
    with pytest.raises(RasterError, match=r"gs://maps/none.tif: .*got no such file \(404\): check the address"):
        read_header("gs://maps/none.tif")


def test_tokens_do_not_follow_a_redirect(server: RangeServer, cog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may lead to another host."""
    monkeypatch.setenv("GDAL_HTTP_BEARER", "secret")
    server.files["/scene.tif"] = cog
    server.redirects["/here.tif"] = "/scene.tif"
    stat_remote(f"{server.address}/here.tif")
    assert server.requests == [("GET", "/here.tif", "Bearer secret"), ("GET", "/scene.tif", None)]


@pytest.fixture
def netrc(server: RangeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RangeServer:
    """A server of scene.tif, and a .netrc with a password for the host 127.0.0.1, not for localhost."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password word\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    server.files["/scene.tif"] = Path(write_tiff(tmp_path / "scene.tif", noise(300, 200)))
    return server


def test_passwords_of_netrc_are_sent_to_their_host(netrc: RangeServer) -> None:
    read_header(f"{netrc.address}/scene.tif")
    assert {authorization for _, _, authorization in netrc.requests} == {"Basic bWU6d29yZA=="}


def test_passwords_of_netrc_go_to_no_other_host(netrc: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = netrc.address.replace("127.0.0.1", "localhost")
    netrc.redirects["/away.tif"] = f"{elsewhere}/scene.tif"
    read_header(f"{elsewhere}/scene.tif")
    read_header(f"{netrc.address}/away.tif")
    sent = {
        path: {login for _, requested, login in netrc.requests if requested == path} for _, path, _ in netrc.requests
    }
    assert sent == {"/scene.tif": {None}, "/away.tif": {"Basic bWU6d29yZA=="}}
    monkeypatch.setenv("GDAL_HTTP_NETRC", "NO")
    netrc.requests.clear()
    stat_remote(f"{netrc.address}/scene.tif")
    assert netrc.requests == [("GET", "/scene.tif", None)]


def test_a_redirect_to_a_host_of_netrc_logs_in_there(netrc: RangeServer) -> None:
    netrc.redirects["/login.tif"] = f"{netrc.address}/scene.tif"
    stat_remote(f"{netrc.address.replace('127.0.0.1', 'localhost')}/login.tif")
    assert netrc.requests == [("GET", "/login.tif", None), ("GET", "/scene.tif", "Basic bWU6d29yZA==")]


@pytest.mark.parametrize("content", [None, "machine", "machine 127.0.0.1 login"])
def test_a_damaged_netrc_is_no_password(
    server: RangeServer, content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content:
        (tmp_path / ".netrc").write_text(content)
    monkeypatch.setenv("HOME", str(tmp_path))
    server.files["/scene.tif"] = Path(write_tiff(tmp_path / "scene.tif", noise(300, 200)))
    stat_remote(f"{server.address}/scene.tif")
    assert server.requests == [("GET", "/scene.tif", None)]


def test_gdal_sends_a_bearer_token(server: RangeServer, tmp_path: Path) -> None:
    """By default it sends none, for lack of GDAL_HTTP_AUTH; the variable is read when the package is imported."""
    server.files["/scene.tif"] = Path(write_tiff(tmp_path / "scene.tif", noise(300, 200)))
    program = f"from geo.raster.header import read_header; read_header('{server.address}/scene.tif')"
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "GDAL_HTTP_BEARER": "T"}, check=True)
    assert {authorization for _, _, authorization in server.requests} == {"Bearer T"}


def test_cookies_of_a_file_are_sent(server: RangeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["/scene.tif"] = Path(write_tiff(tmp_path / "scene.tif", noise(300, 200)))
    (tmp_path / "cookies").write_text("# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tkey\tvalue\n")
    for file, cookie in ((tmp_path / "cookies", "key=value"), (tmp_path / "none", None)):
        monkeypatch.setenv("GDAL_HTTP_COOKIEFILE", str(file))
        server.cookies.clear()
        stat_remote(f"{server.address}/scene.tif")
        assert server.cookies == [cookie]


@pytest.mark.parametrize(("start", "expected"), [(b'\xef\xbb\xbf \n{"type"', True), (b"II*\0{", False), (b"", False)])
def test_json_is_told_by_how_it_begins(server: RangeServer, tmp_path: Path, start: bytes, expected: bool) -> None:
    """Servers of STAC APIs need not name its type."""
    (tmp_path / "item").write_bytes(start)
    server.files["/items/1"] = tmp_path / "item"
    for server.ranges in (True, False):
        assert serves_json(f"{server.address}/items/1") == expected
