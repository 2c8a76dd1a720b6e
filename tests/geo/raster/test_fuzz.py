"""Damaged files: valid pixels or a one-line error; never another exception, a crash, a hang or excessive memory."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.shutil import copy

from tests.geo.raster.fuzz_worker import FuzzWorker, run_worker
from tests.geo.scenes import coordinates, write_tiff

WIDTH, HEIGHT = 200, 150


@pytest.fixture(scope="module")
def worker() -> Iterator[FuzzWorker]:
    with run_worker() as worker:
        yield worker
        # The libraries alone take a quarter of it.
        assert worker.peak_memory() < 1.2e9


def _tiff(**layout: Any) -> Callable[[Path], Path]:
    return lambda folder: Path(write_tiff(folder / "scene.tif", coordinates(WIDTH, HEIGHT), **layout))


def _copied(name: str, driver: str, **options: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        source = write_tiff(folder / "source.tif", coordinates(WIDTH, HEIGHT))
        copy(source, folder / name, driver=driver, **options)
        return folder / name

    return write


LAYOUTS = {
    "striped": _tiff(tiled=False, blockxsize=None, blockysize=16),
    "tiled": _tiff(),
    "deflate": _tiff(compress="deflate", overviews=(2,)),
    "BigTIFF": _tiff(BIGTIFF="YES", compress="lzw"),
    "COG": _copied("scene.tif", "COG", BLOCKSIZE=128, COMPRESS="DEFLATE"),
    "JPEG 2000": _copied("scene.jp2", "JP2OpenJPEG"),
    "PNG": _copied("scene.png", "PNG"),
    "NITF": _copied("scene.ntf", "NITF"),
    "VRT": _copied("scene.vrt", "VRT"),
}


@pytest.fixture(scope="module", params=list(LAYOUTS))
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return LAYOUTS[request.param](tmp_path_factory.mktemp("scene"))


def outcome(worker: FuzzWorker, scene: Path, content: bytes) -> str:
    """The worker's answer for a scene with other content, under another name in the same folder."""
    path = scene.with_name(f"damaged{scene.suffix}")
    path.write_bytes(content)
    aux = scene.with_name(f"{scene.name}.aux.xml")
    if aux.exists():
        path.with_name(f"{path.name}.aux.xml").write_bytes(aux.read_bytes())
    answer = worker.read(path)
    assert not answer.startswith("wrong"), answer
    return answer


FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def test_undamaged_scenes_are_read(worker: FuzzWorker, scene: Path) -> None:
    assert outcome(worker, scene, scene.read_bytes()) == "read"


def test_files_truncated_anywhere(worker: FuzzWorker, scene: Path) -> None:
    content = scene.read_bytes()

    @FEW
    @given(st.integers(0, len(content) - 1))
    def cut(length: int) -> None:
        outcome(worker, scene, content[:length])

    cut()
    for length in sorted(_boundaries(content)):
        outcome(worker, scene, content[:length])


def _boundaries(content: bytes) -> set[int]:
    """Offsets at which parts of the file begin and end, and the bytes around them."""
    offsets = {0, 2, 4, 8, 16, len(content)}
    if content[:4] == b"II*\0":
        for directory, fields in directories(content):
            offsets |= {directory, directory + 2, directory + 2 + 12 * len(fields)}
            offsets |= {
                offset for tag, offset in fields.items() if tag in (256, 257, 258, 322, 323, 273, 324, 279, 325)
            }
            for tags in ((273, 279), (324, 325)):
                starts, sizes = (values(content, fields[tag]) if tag in fields else [] for tag in tags)
                offsets |= {edge for start, size in zip(starts, sizes, strict=True) for edge in (start, start + size)}
    around = {offset + step for offset in offsets for step in (-1, 0, 1)}
    return {offset for offset in around if 0 <= offset < len(content)}


def directories(content: bytes) -> list[tuple[int, dict[int, int]]]:
    """The offset of each directory of a little-endian classic TIFF, and the offsets of its fields by tag."""
    result = []
    (at,) = struct.unpack_from("<I", content, 4)
    while at:
        (count,) = struct.unpack_from("<H", content, at)
        offsets = [at + 2 + 12 * number for number in range(count)]
        result.append((at, {struct.unpack_from("<H", content, offset)[0]: offset for offset in offsets}))
        (at,) = struct.unpack_from("<I", content, at + 2 + 12 * count)
    return result


def values(content: bytes, field: int) -> list[int]:
    """The integer values of a field."""
    _, kind, count, inline = struct.unpack_from("<HHII", content, field)
    letter, size = {3: ("H", 2), 4: ("I", 4)}[kind]
    start = field + 8 if count * size <= 4 else inline
    return list(struct.unpack_from(f"<{count}{letter}", content, start))


def test_flipped_bytes(worker: FuzzWorker, scene: Path) -> None:
    content = scene.read_bytes()
    # Half of them in headers: at the start, and at the end of a TIFF to which overviews were added.
    ends = st.integers(0, min(400, len(content) - 1)) | st.integers(-min(400, len(content)), -1)
    anywhere = st.integers(0, len(content) - 1)

    @FEW
    @given(st.lists(st.tuples(ends | anywhere, st.integers(1, 255)), min_size=1, max_size=6))
    def flip(flips: list[tuple[int, int]]) -> None:
        damaged = bytearray(content)
        for offset, mask in flips:
            damaged[offset] ^= mask
        outcome(worker, scene, bytes(damaged))

    flip()


TAGS = {
    "width": 256,
    "height": 257,
    "bits per sample": 258,
    "compression": 259,
    "colours": 262,
    "strip offsets": 273,
    "samples per pixel": 277,
    "rows per strip": 278,
    "strip byte counts": 279,
    "planes": 284,
    "tile width": 322,
    "tile height": 323,
    "tile offsets": 324,
    "tile byte counts": 325,
    "sample format": 339,
}


@pytest.mark.parametrize("layout", ["striped", "tiled", "deflate"])
def test_wrong_values_in_tags(worker: FuzzWorker, tmp_path: Path, layout: str) -> None:
    scene = LAYOUTS[layout](tmp_path)
    content = scene.read_bytes()
    fields = directories(content)[0][1]
    for field in (fields[tag] for tag in TAGS.values() if tag in fields):
        for number in (0, 1, 7, 255, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1):
            outcome(worker, scene, _with_number(content, field, number))
        for count in (0, 2, 1000, 2**32 - 1):
            outcome(worker, scene, _patched(content, field + 4, "<I", count))
        for kind in (0, 2, 5, 16, 99):
            outcome(worker, scene, _patched(content, field + 2, "<H", kind))


def test_wrong_values_in_tags_of_an_overview(worker: FuzzWorker, tmp_path: Path) -> None:
    scene = LAYOUTS["deflate"](tmp_path)
    content = scene.read_bytes()
    fields = directories(content)[1][1]
    for field in (fields[tag] for tag in TAGS.values() if tag in fields):
        for number in (0, 1, 1000, 65_536, 2**32 - 1):
            outcome(worker, scene, _with_number(content, field, number))


def _with_number(content: bytes, field: int, number: int) -> bytes:
    """Set the first value of a field, as four bytes."""
    _, kind, count, start = struct.unpack_from("<HHII", content, field)
    if count * {3: 2, 4: 4}[kind] <= 4:
        return _patched(_patched(content, field + 2, "<HI", 4, 1), field + 8, "<I", number)
    letter, modulus = {3: ("<H", 2**16), 4: ("<I", 2**32)}[kind]
    return _patched(content, start, letter, number % modulus)


def _patched(content: bytes, offset: int, layout: str, *numbers: int) -> bytes:
    damaged = bytearray(content)
    struct.pack_into(layout, damaged, offset, *numbers)
    return bytes(damaged)


def test_sizes_larger_than_the_file(worker: FuzzWorker, tmp_path: Path) -> None:
    """Consistent sizes, up to the largest; a sparse file, which has no blocks, is valid."""
    for layout in ("tiled", "striped"):
        scene = LAYOUTS[layout](tmp_path)
        content = scene.read_bytes()
        fields = directories(content)[0][1]
        for side in (40_000, 10**6, 2**31 - 1):
            sized = content
            for tag in (256, 257):
                sized = _with_number(sized, fields[tag], side)
            assert outcome(worker, scene, sized).startswith("rejected")
    sparse = write_tiff(tmp_path / "sparse.tif", coordinates(64, 32), SPARSE_OK=True)
    assert worker.read(Path(sparse)) == "read"


# Bad pixel sizes, then bad origins, for which 0 and small numbers are valid.
TRANSFORMS = [
    *(
        f"565000, {number}, 0, 5930000, 0, {number}"
        for number in ("nan", "inf", "-inf", "1e300", "1e-300", "0", "text")
    ),
    *(f"{number}, 0.5, 0, {number}, 0, -0.5" for number in ("nan", "inf", "-inf", "1e300", "1e17")),
    "565000, 0.5, 0.5, 5930000, 0.5, 0.5",
    "565000, 0.5",
    "1 2 3 4 5 6",
    "",
]
CRS_TEXTS = [
    *("", "EPSG:0", "EPSG:99999999", "x" * 100_000, "(" * 50_000, 'PROJCS["', "\n\n", "EPSG:32632\n" * 3),
    *("+proj=utm", "+proj=longlat +R=0", "+proj=tmerc +k=nan", "+proj=pipeline +step +proj=utm"),
    *('GEOGCS["a",DATUM["b"]]', "\0", "\ufffd"),
]
# Sources of a VRT: file, band, width, height.
VRTS = {
    "itself": ("damaged.vrt", 1, WIDTH, HEIGHT),
    "a missing file": ("missing.tif", 1, WIDTH, HEIGHT),
    "a folder": (".", 1, WIDTH, HEIGHT),
    "a missing band": ("source.tif", 7, WIDTH, HEIGHT),
    "no band": ("source.tif", 0, WIDTH, HEIGHT),
    "no width": ("source.tif", 1, 0, HEIGHT),
    "a width below zero": ("source.tif", 1, -5, HEIGHT),
    "the largest size": ("source.tif", 1, 2**31 - 1, 2**31 - 1),
    "a size beyond 64 bits": ("source.tif", 1, 10**30, HEIGHT),
}


def _vrt(
    transform: str = "565000, 0.5, 0, 5930000, 0, -0.5",
    crs: str = "EPSG:32632",
    source: tuple[str, int, int, int] = ("source.tif", 1, WIDTH, HEIGHT),
    bands: int = 3,
) -> bytes:
    name, number, width, height = source
    crs = crs.replace("&", "&amp;").replace("<", "&lt;")
    band = (
        f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>{number}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
    )
    return (
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>{crs}</SRS>'
        f"<GeoTransform>{transform}</GeoTransform>"
        + "".join(f'<VRTRasterBand dataType="Byte" band="{n}">{band}' for n in range(1, bands + 1))
        + "</VRTDataset>"
    ).encode()


@pytest.mark.parametrize("case", VRTS.values(), ids=VRTS.keys())
def test_vrts_with_missing_sources(worker: FuzzWorker, tmp_path: Path, case: tuple[str, int, int, int]) -> None:
    scene = LAYOUTS["VRT"](tmp_path)
    assert outcome(worker, scene, _vrt()) == "read"
    assert outcome(worker, scene, _vrt(source=case)).startswith("rejected")


def test_vrts_without_bands_or_with_too_many(worker: FuzzWorker, tmp_path: Path) -> None:
    scene = LAYOUTS["VRT"](tmp_path)
    assert outcome(worker, scene, _vrt(bands=0)).startswith("rejected")
    outcome(worker, scene, _vrt(bands=300))


def test_vrts_that_reference_each_other(worker: FuzzWorker, tmp_path: Path) -> None:
    (tmp_path / "scene.vrt").write_bytes(_vrt(source=("damaged.vrt", 1, WIDTH, HEIGHT)))
    content = _vrt(source=("scene.vrt", 1, WIDTH, HEIGHT))
    assert outcome(worker, tmp_path / "scene.vrt", content).startswith("rejected")


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_absurd_transforms_in_a_vrt(worker: FuzzWorker, tmp_path: Path, transform: str) -> None:
    scene = LAYOUTS["VRT"](tmp_path)
    assert outcome(worker, scene, _vrt(transform=transform)).startswith("rejected")


@pytest.mark.parametrize("crs", CRS_TEXTS, ids=lambda crs: crs[:20].strip())
def test_absurd_crs(worker: FuzzWorker, tmp_path: Path, crs: str) -> None:
    outcome(worker, LAYOUTS["VRT"](tmp_path), _vrt(crs=crs))
    image = LAYOUTS["PNG"](tmp_path)
    image.with_name(f"{image.name}.aux.xml").unlink()
    (tmp_path / "damaged.pgw").write_text("0.5\n0\n0\n-0.5\n565000\n5930000\n")
    (tmp_path / "damaged.prj").write_text(crs)
    outcome(worker, image, image.read_bytes())


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300, 1e-300, 0.0])
def test_absurd_transforms_in_a_tiff(worker: FuzzWorker, tmp_path: Path, number: float) -> None:
    path = write_tiff(
        tmp_path / "steps.tif", coordinates(WIDTH, HEIGHT), affine=Affine(number, 0, 565_000, 0, -number, 5_930_000)
    )
    assert worker.read(Path(path)).startswith("rejected")
    path = write_tiff(
        tmp_path / "origin.tif", coordinates(WIDTH, HEIGHT), affine=Affine(0.5, 0, number, 0, -0.5, number)
    )
    assert worker.read(Path(path)).startswith("read" if number < 1 else "rejected")
