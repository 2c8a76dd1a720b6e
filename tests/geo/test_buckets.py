"""gs:// against an emulator of the real storage, as a run uses it: the header, tiles, and what is not there."""

import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from gcp_storage_emulator.server import create_server
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from geo.errors import RasterError
from geo.grid import Level, Tiling, plan_tiles
from geo.raster.header import read_header
from geo.raster.reader import RasterReader
from tests.geo.scenes import coordinates, write_tiff

PLACE = "deliveries/2026/scene 1.tif"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A bucket named `maps`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket="maps")
    server.start()
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    try:
        yield Client("maps", AnonymousCredentials(), client_options={"api_endpoint": address}).bucket("maps")
    finally:
        server.stop()


def test_a_scene_in_a_bucket_is_the_scene_that_was_put_there(tmp_path: Path, bucket: Client) -> None:
    local = write_tiff(
        tmp_path / "scene.tif", coordinates(701, 499), affine=Affine(1, 0, 5e5, 0, -1, 5e6), overviews=(2,)
    )
    bucket.blob(PLACE).upload_from_filename(local)
    here, there = read_header(local), read_header(f"gs://maps/{PLACE}")
    assert (there.width, there.height, there.georef) == (here.width, here.height, here.georef)
    for level in (Level(1.0, 701, 499, 1.0, 1.0), Level(2.0, 351, 250, 701 / 351, 499 / 250)):
        with RasterReader(here.uri, here.radiometry) as of_file, RasterReader(there.uri, there.radiometry) as of_bucket:
            for tile in plan_tiles(level, Tiling((1.0,), tile_px=256, halo_px=24, align_px=32)):
                np.testing.assert_array_equal(of_bucket.read_tile(tile), of_file.read_tile(tile))


def test_a_scene_of_which_one_pixel_is_replaced_is_another_scene(tmp_path: Path, bucket: Client) -> None:
    ids, pixels = [], coordinates(701, 499)
    for value in (0, 1):
        pixels[200, 300] = value  # far from what the fingerprint looks at: the storage says that it is another version
        local = write_tiff(tmp_path / "scene.tif", pixels, affine=Affine(1, 0, 5e5, 0, -1, 5e6))
        bucket.blob(PLACE).upload_from_filename(local)
        ids.append(read_header(f"gs://maps/{PLACE}").scene_id)
    assert ids[0] != ids[1]


def test_what_is_not_there_is_said(bucket: Client) -> None:
    with pytest.raises(RasterError, match=r"gs://maps/none.tif: .*got no such file \(404\): check the address"):
        read_header("gs://maps/none.tif")
