"""Damaged files: sound pixels or one clear line, never another exception, a crash, a hang or all of the memory."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.shutil import copy

from tests.geo.examiner import Examiner, examining
from tests.geo.scenes import coordinates, write_tiff

WIDTH, HEIGHT = 200, 150


@pytest.fixture(scope="module")
def examiner() -> Iterator[Examiner]:
    with examining() as examiner:
        yield examiner
        # The process itself takes a quarter of it.
        assert examiner.most_memory() < 1.2e9


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


def outcome(examiner: Examiner, scene: Path, content: bytes) -> str:
    """What comes of a scene with other content, under another name in the same folder."""
    path = scene.with_name(f"damaged{scene.suffix}")
    path.write_bytes(content)
    aux = scene.with_name(f"{scene.name}.aux.xml")
    if aux.exists():
        path.with_name(f"{path.name}.aux.xml").write_bytes(aux.read_bytes())
    found = examiner.examine(path)
    assert not found.startswith("wrong"), found
    return found


FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def test_the_scenes_are_sound(examiner: Examiner, scene: Path) -> None:
    assert outcome(examiner, scene, scene.read_bytes()) == "read"


def test_a_file_that_is_cut_off_anywhere(examiner: Examiner, scene: Path) -> None:
    content = scene.read_bytes()

    @FEW
    @given(st.integers(0, len(content) - 1))
    def cut(length: int) -> None:
        outcome(examiner, scene, content[:length])

    cut()
    for length in sorted(_boundaries(content)):
        outcome(examiner, scene, content[:length])


def _boundaries(content: bytes) -> set[int]:
    """Where the parts of the file begin and end, and a byte to either side: of a TIFF its header, directory, blocks."""
    places = {0, 2, 4, 8, 16, len(content)}
    if content[:4] == b"II*\0":
        for directory, fields in directories(content):
            places |= {directory, directory + 2, directory + 2 + 12 * len(fields)}
            places |= {place for tag, place in fields.items() if tag in (256, 257, 258, 322, 323, 273, 324, 279, 325)}
            for tags in ((273, 279), (324, 325)):
                starts, sizes = (values(content, fields[tag]) if tag in fields else [] for tag in tags)
                places |= {edge for start, size in zip(starts, sizes, strict=True) for edge in (start, start + size)}
    near = {place + step for place in places for step in (-1, 0, 1)}
    return {place for place in near if 0 <= place < len(content)}


def directories(content: bytes) -> list[tuple[int, dict[int, int]]]:
    """Where each directory of a little-endian classic TIFF lies, and each field in it by its tag."""
    found = []
    (at,) = struct.unpack_from("<I", content, 4)
    while at:
        (count,) = struct.unpack_from("<H", content, at)
        places = [at + 2 + 12 * number for number in range(count)]
        found.append((at, {struct.unpack_from("<H", content, place)[0]: place for place in places}))
        (at,) = struct.unpack_from("<I", content, at + 2 + 12 * count)
    return found


def values(content: bytes, field: int) -> list[int]:
    """The whole numbers of a field."""
    _, kind, count, inline = struct.unpack_from("<HHII", content, field)
    letter, size = {3: ("H", 2), 4: ("I", 4)}[kind]
    start = field + 8 if count * size <= 4 else inline
    return list(struct.unpack_from(f"<{count}{letter}", content, start))


def test_bytes_that_are_flipped(examiner: Examiner, scene: Path) -> None:
    content = scene.read_bytes()
    # Half of them where the headers are: at the start, and in a TIFF that was added to at the end.
    ends = st.integers(0, min(400, len(content) - 1)) | st.integers(-min(400, len(content)), -1)
    anywhere = st.integers(0, len(content) - 1)

    @FEW
    @given(st.lists(st.tuples(ends | anywhere, st.integers(1, 255)), min_size=1, max_size=6))
    def flip(flips: list[tuple[int, int]]) -> None:
        damaged = bytearray(content)
        for place, mask in flips:
            damaged[place] ^= mask
        outcome(examiner, scene, bytes(damaged))

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
def test_numbers_in_tags_that_are_not_true(examiner: Examiner, tmp_path: Path, layout: str) -> None:
    scene = LAYOUTS[layout](tmp_path)
    content = scene.read_bytes()
    fields = directories(content)[0][1]
    for field in (fields[tag] for tag in TAGS.values() if tag in fields):
        for number in (0, 1, 7, 255, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1):
            outcome(examiner, scene, _with_number(content, field, number))
        for count in (0, 2, 1000, 2**32 - 1):
            outcome(examiner, scene, _patched(content, field + 4, "<I", count))
        for kind in (0, 2, 5, 16, 99):
            outcome(examiner, scene, _patched(content, field + 2, "<H", kind))


def test_numbers_of_an_overview_that_are_not_true(examiner: Examiner, tmp_path: Path) -> None:
    scene = LAYOUTS["deflate"](tmp_path)
    content = scene.read_bytes()
    fields = directories(content)[1][1]
    for field in (fields[tag] for tag in TAGS.values() if tag in fields):
        for number in (0, 1, 1000, 65_536, 2**32 - 1):
            outcome(examiner, scene, _with_number(content, field, number))


def _with_number(content: bytes, field: int, number: int) -> bytes:
    """Sets the first number of a field, as four bytes."""
    _, kind, count, start = struct.unpack_from("<HHII", content, field)
    if count * {3: 2, 4: 4}[kind] <= 4:
        return _patched(_patched(content, field + 2, "<HI", 4, 1), field + 8, "<I", number)
    letter, most = {3: ("<H", 2**16), 4: ("<I", 2**32)}[kind]
    return _patched(content, start, letter, number % most)


def _patched(content: bytes, place: int, layout: str, *numbers: int) -> bytes:
    damaged = bytearray(content)
    struct.pack_into(layout, damaged, place, *numbers)
    return bytes(damaged)


def test_a_size_that_the_file_cannot_hold(examiner: Examiner, tmp_path: Path) -> None:
    """Sizes that fit together, up to the largest; without a block, as in a sparse file, and with some."""
    for layout in ("tiled", "striped"):
        scene = LAYOUTS[layout](tmp_path)
        content = scene.read_bytes()
        fields = directories(content)[0][1]
        for side in (40_000, 10**6, 2**31 - 1):
            sized = content
            for tag in (256, 257):
                sized = _with_number(sized, fields[tag], side)
            assert outcome(examiner, scene, sized).startswith("refused")
    sparse = write_tiff(tmp_path / "sparse.tif", coordinates(64, 32), SPARSE_OK=True)
    assert examiner.examine(Path(sparse)) == "read"


# The steps of the transform, then where it starts: 0 and numbers below it are sound there.
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
SYSTEMS = [
    *("", "EPSG:0", "EPSG:99999999", "x" * 100_000, "(" * 50_000, 'PROJCS["', "\n\n", "EPSG:32632\n" * 3),
    *("+proj=utm", "+proj=longlat +R=0", "+proj=tmerc +k=nan", "+proj=pipeline +step +proj=utm"),
    *('GEOGCS["a",DATUM["b"]]', "\0", "\ufffd"),
]
# Of what a VRT may say, what is most wrong.
VRTS = {
    "itself": ("damaged.vrt", 1, WIDTH, HEIGHT),
    "a missing file": ("missing.tif", 1, WIDTH, HEIGHT),
    "a folder": (".", 1, WIDTH, HEIGHT),
    "a band that is not there": ("source.tif", 7, WIDTH, HEIGHT),
    "no band": ("source.tif", 0, WIDTH, HEIGHT),
    "no width": ("source.tif", 1, 0, HEIGHT),
    "a width below zero": ("source.tif", 1, -5, HEIGHT),
    "the largest size": ("source.tif", 1, 2**31 - 1, 2**31 - 1),
    "a size that is none": ("source.tif", 1, 10**30, HEIGHT),
}


def _vrt(
    transform: str = "565000, 0.5, 0, 5930000, 0, -0.5",
    system: str = "EPSG:32632",
    source: tuple[str, int, int, int] = ("source.tif", 1, WIDTH, HEIGHT),
    bands: int = 3,
) -> bytes:
    name, number, width, height = source
    system = system.replace("&", "&amp;").replace("<", "&lt;")
    band = (
        f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>{number}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
    )
    return (
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>{system}</SRS>'
        f"<GeoTransform>{transform}</GeoTransform>"
        + "".join(f'<VRTRasterBand dataType="Byte" band="{n}">{band}' for n in range(1, bands + 1))
        + "</VRTDataset>"
    ).encode()


@pytest.mark.parametrize("case", VRTS.values(), ids=VRTS.keys())
def test_a_vrt_of_what_is_not_there(examiner: Examiner, tmp_path: Path, case: tuple[str, int, int, int]) -> None:
    scene = LAYOUTS["VRT"](tmp_path)
    assert outcome(examiner, scene, _vrt()) == "read"
    assert outcome(examiner, scene, _vrt(source=case)).startswith("refused")


def test_a_vrt_without_bands_or_with_too_many(examiner: Examiner, tmp_path: Path) -> None:
    scene = LAYOUTS["VRT"](tmp_path)
    assert outcome(examiner, scene, _vrt(bands=0)).startswith("refused")
    outcome(examiner, scene, _vrt(bands=300))


def test_two_vrts_that_name_each_other(examiner: Examiner, tmp_path: Path) -> None:
    (tmp_path / "scene.vrt").write_bytes(_vrt(source=("damaged.vrt", 1, WIDTH, HEIGHT)))
    content = _vrt(source=("scene.vrt", 1, WIDTH, HEIGHT))
    assert outcome(examiner, tmp_path / "scene.vrt", content).startswith("refused")


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms_that_are_absurd(examiner: Examiner, tmp_path: Path, transform: str) -> None:
    scene = LAYOUTS["VRT"](tmp_path)
    assert outcome(examiner, scene, _vrt(transform=transform)).startswith("refused")


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system[:20].strip())
def test_systems_that_are_absurd(examiner: Examiner, tmp_path: Path, system: str) -> None:
    outcome(examiner, LAYOUTS["VRT"](tmp_path), _vrt(system=system))
    picture = LAYOUTS["PNG"](tmp_path)
    picture.with_name(f"{picture.name}.aux.xml").unlink()
    (tmp_path / "damaged.pgw").write_text("0.5\n0\n0\n-0.5\n565000\n5930000\n")
    (tmp_path / "damaged.prj").write_text(system)
    outcome(examiner, picture, picture.read_bytes())


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300, 1e-300, 0.0])
def test_transforms_that_are_absurd_in_a_tiff(examiner: Examiner, tmp_path: Path, number: float) -> None:
    path = write_tiff(
        tmp_path / "steps.tif", coordinates(WIDTH, HEIGHT), affine=Affine(number, 0, 565_000, 0, -number, 5_930_000)
    )
    assert examiner.examine(Path(path)).startswith("refused")
    path = write_tiff(
        tmp_path / "start.tif", coordinates(WIDTH, HEIGHT), affine=Affine(0.5, 0, number, 0, -0.5, number)
    )
    assert examiner.examine(Path(path)).startswith("read" if number < 1 else "refused")
