import json
import os
from pathlib import Path

import pytest

from geo.errors import InputError
from pipeline.sources.resolve import resolve_inputs
from tests.pipeline.stac_files import asset, catalog, item, served, write


def scene_uris(patterns: list[str]) -> tuple[str, ...]:
    return tuple(source.uri for source in resolve_inputs(patterns))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with b.tif, a.TIF, deep/c.tif, a text file and a name like a glob."""
    (tmp_path / "deep").mkdir()
    for name in ("b.tif", "a.TIF", "deep/c.tif", "notes.md", "odd[1].tif"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_keeps_its_path_as_given(folder: Path) -> None:
    assert scene_uris(["b.tif"]) == ("b.tif",)
    assert scene_uris([f"{folder}/b.tif"]) == (f"{folder}/b.tif",)


def test_a_named_file_may_have_any_suffix(folder: Path) -> None:
    assert scene_uris(["notes.md"]) == ("notes.md",)


def test_a_folder_gives_its_rasters_sorted(folder: Path) -> None:
    assert scene_uris(["."]) == ("a.TIF", "b.tif", "odd[1].tif")
    assert scene_uris([str(folder)]) == tuple(f"{folder}/{name}" for name in ("a.TIF", "b.tif", "odd[1].tif"))


def test_a_glob_gives_files(folder: Path) -> None:
    assert scene_uris(["*.tif"]) == ("b.tif", "odd[1].tif")
    assert scene_uris(["**/*.tif"]) == ("b.tif", "deep/c.tif", "odd[1].tif")
    assert scene_uris(["d*/*"]) == ("deep/c.tif",)
    assert scene_uris([f"{folder}/d*/*"]) == (f"{folder}/deep/c.tif",)


def test_an_existing_file_with_a_name_like_a_glob_is_a_file(folder: Path) -> None:
    assert scene_uris(["odd[1].tif"]) == ("odd[1].tif",)


def test_each_file_comes_once_by_its_first_name(folder: Path) -> None:
    (folder / "link.tif").symlink_to(folder / "b.tif")
    assert scene_uris(["deep/../b.tif", "b.tif", f"{folder}/b.tif", "link.tif", "b*"]) == ("deep/../b.tif",)


def test_the_order_of_the_patterns_is_kept(folder: Path) -> None:
    assert scene_uris(["deep", "b.tif", "a.TIF"]) == ("deep/c.tif", "b.tif", "a.TIF")


def test_a_list_may_name_files_folders_and_globs(folder: Path) -> None:
    (folder / "list.txt").write_bytes("\ufeff# scenes\r\nb.tif\r\n\r\n  deep  \r\na.*\r\n".encode())
    assert scene_uris(["list.txt"]) == ("b.tif", "deep/c.tif", "a.TIF")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("missing.tif", "missing.tif: .*no such file.*fix the path"),
        ("*.jp2", r"\*\.jp2: .*no match.*fix the pattern"),
        ("hollow", "hollow: .*rasters.*got none.*glob"),
        ("missing.txt", "missing.txt: .*no such file"),
        ("ftp://example.com/a.tif", "ftp://example.com/a.tif: expected a URL of https://, http://, gs://.*copy"),
        (
            "https://example.com/*.tif",
            r"/\*.tif: expected the URL of one file, got a pattern: name each",
        ),
        ("broken.txt", "broken.txt, line 3: gone.tif: .*no such file"),
        ("empty.txt", "at least one scene"),
        ("binary.txt", "binary.txt: expected text in UTF-8"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error(folder: Path, pattern: str, expected: str) -> None:
    (folder / "hollow").mkdir()
    (folder / "hollow" / "notes.md").touch()
    (folder / "broken.txt").write_text("b.tif\n# gone\ngone.tif\n")
    (folder / "empty.txt").write_text("# nothing\n\n")
    (folder / "binary.txt").write_bytes(b"\xff\xfe\xfa\x80")
    with pytest.raises(InputError, match=expected) as caught:
        scene_uris([pattern])
    assert "\n" not in str(caught.value)


def test_a_url_of_a_raster_is_kept_as_given(folder: Path) -> None:
    urls = ("https://example.com/a b.tif?key=x[1]&y=?", "http://example.com/a", "gs://bucket/a.tif")
    assert scene_uris([*urls, f"{urls[1]}#again"]) == urls


@pytest.mark.parametrize("name", ["a.tif", "i.json"])
def test_urls_with_passwords_are_refused_and_masked(folder: Path, name: str) -> None:
    write(folder / "i.json", item(assets={"data": asset("https://me:secret@example.com/a.tif")}))
    write(folder / "c.json", catalog(("item", "http://me:secret@example.com/i.json")))
    (folder / "list.txt").write_text(f"https://me:secret@example.com/{name}")
    for pattern in (f"https://me:secret@example.com/{name}", "list.txt", "i.json", "c.json"):
        with pytest.raises(
            InputError, match=r"//\*\*\*@example.com/.*without user and password.*GDAL_HTTP_USERPWD"
        ) as caught:
            scene_uris([pattern])
        assert "secret" not in str(caught.value)


# STAC, by each kind of pattern.


@pytest.fixture
def stac_folder(folder: Path) -> Path:
    """`folder` with an item for b.tif, a catalog with an item for deep/c.tif, and GeoJSON that is not STAC."""
    write(folder / "b.json", item("B", assets={"visual": asset("b.tif")}))
    write(folder / "catalog.json", catalog(("item", "deep/c.json")))
    write(folder / "deep" / "c.json", item("C", assets={"visual": asset("c.tif")}))
    write(folder / "b.truth.geojson", {"type": "FeatureCollection", "features": [{"type": "Feature"}]})
    return folder


def uris_and_ids(patterns: list[str]) -> list[tuple[str, str | None]]:
    return [(source.uri, source.scene_id) for source in resolve_inputs(patterns)]


def test_a_stac_file_gives_its_scenes(stac_folder: Path) -> None:
    assert uris_and_ids(["b.json"]) == [("b.tif", "B")]
    assert uris_and_ids(["catalog.json", f"{stac_folder}/b.json"]) == [
        ("deep/c.tif", "C"),
        (f"{stac_folder}/b.tif", "B"),
    ]


def test_folders_and_globs_may_have_stac_and_other_json_is_skipped(stac_folder: Path) -> None:
    assert uris_and_ids(["."]) == [("a.TIF", None), ("b.tif", "B"), ("deep/c.tif", "C"), ("odd[1].tif", None)]
    assert uris_and_ids(["*.*json"]) == [("b.tif", "B"), ("deep/c.tif", "C")]
    assert uris_and_ids(["b.*"]) == [("b.tif", "B")]


def test_a_list_may_name_stac_and_urls(stac_folder: Path) -> None:
    with served(stac_folder) as address:
        (stac_folder / "list.txt").write_text(f"{address}/deep/c.json\n\nb.json\n{address}/a.TIF\n")
        assert uris_and_ids(["list.txt"]) == [
            (f"{address}/deep/c.tif", "C"),
            ("b.tif", "B"),
            (f"{address}/a.TIF", None),
        ]
        (stac_folder / "list.txt").write_text(f"b.json\n{address}/gone.json\n")
        with pytest.raises(InputError, match=rf"^list.txt, line 2: {address}/gone.json: expected text"):
            resolve_inputs(["list.txt"])


def test_entries_of_a_list_are_relative_to_the_working_directory(stac_folder: Path) -> None:
    (stac_folder / "deep" / "list.txt").write_text("b.json\n")
    assert uris_and_ids(["deep/list.txt"]) == [("b.tif", "B")]


@pytest.mark.parametrize("patterns", [["b.tif", "b.json"], ["b.json", "b.tif"], ["./b.tif", ".", "b.json"]])
def test_metadata_of_an_item_is_kept_if_its_raster_is_named_too(stac_folder: Path, patterns: list[str]) -> None:
    first, *_ = uris_and_ids(patterns)
    assert first == ("./b.tif" if patterns[0] == "./b.tif" else "b.tif", "B")


def test_the_first_of_two_items_of_one_file_counts(stac_folder: Path) -> None:
    write(stac_folder / "again.json", item("again", assets={"visual": asset("./deep/../b.tif")}))
    assert uris_and_ids(["b.json", "again.json"]) == [("b.tif", "B")]
    assert uris_and_ids(["again.json", "b.json"]) == [("deep/../b.tif", "again")]


def test_the_asset_is_used_of_every_item(stac_folder: Path) -> None:
    write(stac_folder / "b.json", item("B", assets={"visual": asset("b.tif"), "pan": asset("p.tif")}))
    (stac_folder / "list.txt").write_text("b.json\n")
    for pattern in ("b.json", "b.j*", "list.txt"):
        assert [source.uri for source in resolve_inputs([pattern], "pan")] == ["p.tif"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (
            "b.truth.geojson",
            r"^b.truth.geojson: expected a STAC file, got JSON without a stac_version: name the raster",
        ),
        ("empty.json", "^empty.json: expected STAC with items, got none"),
        ("broken.json", "^broken.json: expected JSON, got"),
        ("br*", r"^br\*: expected a glob that matches rasters or STAC files with items"),
        ("old.json", "^old.json: expected STAC of version 1, got 0.9.0"),
        ("list.txt", "^list.txt, line 2: empty.json: expected STAC with items"),
        ("*.truth.geojson", r"^\*.truth.geojson: expected a glob that matches rasters or STAC files with items"),
        ("truth", "^truth: expected a folder with rasters .* or STAC files with items, got none"),
        ("damaged", "^damaged: expected a folder with rasters .* or STAC files with items, got none"),
        ("surrogate.json", "ud800': expected a name in UTF-8"),
    ],
)
def test_stac_without_usable_items_is_an_error(stac_folder: Path, pattern: str, expected: str) -> None:
    write(stac_folder / "empty.json", catalog())
    write(stac_folder / "old.json", item() | {"stac_version": "0.9.0"})
    write(stac_folder / "surrogate.json", item("\ud800"))
    (stac_folder / "list.txt").write_text("b.json\nempty.json\n")
    (stac_folder / "damaged").mkdir()
    write(stac_folder / "truth" / "x.geojson", {"type": "FeatureCollection", "features": []})
    for broken in (stac_folder / "broken.json", stac_folder / "damaged" / "broken.json"):
        broken.write_text('{"type":')
    with pytest.raises(InputError, match=expected) as caught:
        resolve_inputs([pattern])
    assert "\n" not in str(caught.value)


def test_one_bad_pattern_among_good_ones_is_an_error(folder: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.tif"):
        scene_uris(["b.tif", "gone.tif"])


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b'{"a": 1}\n{"b": 2}\n', None),
        (b'{"type":', None),
        (b"", None),
        ('{"type": "é"}'.encode("utf-16"), None),
        ('{"type": "é"}'.encode("latin-1"), None),
        (b"[" * 100_000, None),
        (b'{"stac_version": "1.0.0", "type": "Fea', "expected JSON, got"),
        (json.dumps(item() | {"stac_version": "0.9.0"}).encode(), "expected STAC of version 1, got 0.9.0"),
        (json.dumps(item(assets={})).encode(), "got no assets"),
        (json.dumps(catalog(("item", "./gone.json"))).encode(), "gone.json: expected text"),
    ],
)
def test_a_bystander_in_a_folder_is_skipped_or_fails_by_itself(
    tmp_path: Path, content: bytes, error: str | None
) -> None:
    for name in ("scene.tif", "._scene.tif", "scene.tif.aux.xml", "scene.tif.ovr"):
        (tmp_path / name).touch()
    (tmp_path / "x.json").write_bytes(content)
    for pattern in (str(tmp_path), f"{tmp_path}/*"):
        sources = resolve_inputs([pattern])
        assert [source.uri for source in sources if source.error is None] == [f"{tmp_path}/scene.tif"]
        errors = [source.error for source in sources if source.error is not None]
        assert len(errors) == (error is not None)
        assert all(error in text and "\n" not in text for text in errors if error)


def test_what_the_file_system_refuses_is_one_line(tmp_path: Path) -> None:
    name = "a" * 300
    (tmp_path / "list.txt").write_text(f"{name}\n")
    for pattern, shown in ((name, rf"^{name[:80]}\.\.\."), (f"{tmp_path}/list.txt", "/list.txt")):
        with pytest.raises(InputError, match=f"{shown}: expected a raster .*, got 'File name too long': fix the path"):
            resolve_inputs([pattern])


def test_a_file_address_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "a scene.tif").touch()
    assert resolve_inputs([f"file://{tmp_path}/a%20scene.tif"])[0].uri == str(tmp_path / "a scene.tif")


def test_a_link_whose_target_is_gone_is_a_scene(tmp_path: Path) -> None:
    """It fails in the ledger; what is no file, such as a pipe, is none."""
    (tmp_path / "a.tif").touch()
    (tmp_path / "b.tif").symlink_to("gone.tif")
    (tmp_path / "c.tif").symlink_to("c.tif")
    os.mkfifo(tmp_path / "d.tif")
    (tmp_path / "e.tif").mkdir()
    expected = [str(tmp_path / f"{name}.tif") for name in "abc"]
    for pattern in (str(tmp_path), f"{tmp_path}/*.tif"):
        assert [source.uri for source in resolve_inputs([pattern])] == expected


@pytest.mark.parametrize("name", ["pipe.tif", "/dev/zero"])
def test_a_pipe_or_a_device_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe.tif")
    with pytest.raises(InputError, match=f"{name}: expected a raster file, .*, got a pipe or a device"):
        resolve_inputs([str(tmp_path / name)])
