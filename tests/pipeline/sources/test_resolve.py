from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.sources.resolve import resolve_inputs
from tests.pipeline.stac_files import asset, catalog, item, served, write


def scene_uris(patterns: list[str]) -> tuple[str, ...]:
    return tuple(source.uri for source in resolve_inputs(patterns))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scenes b.tif, a.TIF and deep/c.tif, a text and an odd name; the working directory is there."""
    (tmp_path / "deep").mkdir()
    for name in ("b.tif", "a.TIF", "deep/c.tif", "notes.md", "odd[1].tif"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_is_taken_as_it_was_given(folder: Path) -> None:
    assert scene_uris(["b.tif"]) == ("b.tif",)
    assert scene_uris([f"{folder}/b.tif"]) == (f"{folder}/b.tif",)


def test_a_file_of_any_suffix_is_taken_when_it_is_named(folder: Path) -> None:
    assert scene_uris(["notes.md"]) == ("notes.md",)


def test_a_folder_means_its_rasters_sorted(folder: Path) -> None:
    assert scene_uris(["."]) == ("a.TIF", "b.tif", "odd[1].tif")
    assert scene_uris([str(folder)]) == tuple(f"{folder}/{name}" for name in ("a.TIF", "b.tif", "odd[1].tif"))


def test_a_glob_means_files(folder: Path) -> None:
    assert scene_uris(["*.tif"]) == ("b.tif", "odd[1].tif")
    assert scene_uris(["**/*.tif"]) == ("b.tif", "deep/c.tif", "odd[1].tif")
    assert scene_uris(["d*/*"]) == ("deep/c.tif",)
    assert scene_uris([f"{folder}/d*/*"]) == (f"{folder}/deep/c.tif",)


def test_a_name_that_looks_like_a_glob_is_a_file_where_there_is_one(folder: Path) -> None:
    assert scene_uris(["odd[1].tif"]) == ("odd[1].tif",)


def test_the_same_file_comes_once_by_its_first_name(folder: Path) -> None:
    (folder / "link.tif").symlink_to(folder / "b.tif")
    assert scene_uris(["deep/../b.tif", "b.tif", f"{folder}/b.tif", "link.tif", "b*"]) == ("deep/../b.tif",)


def test_the_order_of_the_patterns_stays(folder: Path) -> None:
    assert scene_uris(["deep", "b.tif", "a.TIF"]) == ("deep/c.tif", "b.tif", "a.TIF")


def test_a_list_names_files_folders_and_globs(folder: Path) -> None:
    (folder / "list.txt").write_bytes("\ufeff# scenes\r\nb.tif\r\n\r\n  deep  \r\na.*\r\n".encode())
    assert scene_uris(["list.txt"]) == ("b.tif", "deep/c.tif", "a.TIF")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("missing.tif", "missing.tif: .*no such file.*mend the path"),
        ("*.jp2", r"\*\.jp2: .*no match.*mend the pattern"),
        ("hollow", "hollow: .*rasters.*got none.*glob"),
        ("missing.txt", "missing.txt: .*no such file"),
        ("ftp://example.com/a.tif", "ftp://example.com/a.tif: expected an address of https://, http://, gs://.*copy"),
        ("gs://bucket/*.tif", r"gs://bucket/\*.tif: expected the address of one file, got a pattern: name each"),
        ("gs://bucket/i.json", "gs://bucket/i.json: expected JSON text.*neither https:// nor http://"),
        ("broken.txt", "broken.txt, line 3: gone.tif: .*no such file"),
        ("empty.txt", "at least one scene"),
        ("binary.txt", "binary.txt: expected a list of scenes as UTF-8"),
    ],
)
def test_a_pattern_that_names_nothing_is_refused(folder: Path, pattern: str, expected: str) -> None:
    (folder / "hollow").mkdir()
    (folder / "hollow" / "notes.md").touch()
    (folder / "broken.txt").write_text("b.tif\n# gone\ngone.tif\n")
    (folder / "empty.txt").write_text("# nothing\n\n")
    (folder / "binary.txt").write_bytes(b"\xff\xfe\xfa\x80")
    with pytest.raises(InputError, match=expected) as caught:
        scene_uris([pattern])
    assert "\n" not in str(caught.value)


def test_an_address_of_a_raster_is_taken_as_it_is(folder: Path) -> None:
    places = ("https://example.com/a b.tif?key=x[1]&y=?", "http://example.com/a", "gs://bucket/a.tif")
    assert scene_uris([*places, f"{places[1]}#again"]) == places


@pytest.mark.parametrize("name", ["a.tif", "i.json"])
def test_a_password_is_refused_before_it_gets_anywhere(folder: Path, name: str) -> None:
    write(folder / "i.json", item(assets={"data": asset("https://me:secret@example.com/a.tif")}))
    write(folder / "c.json", catalog(("item", "http://me:secret@example.com/i.json")))
    (folder / "list.txt").write_text(f"https://me:secret@example.com/{name}")
    for pattern in (f"https://me:secret@example.com/{name}", "list.txt", "i.json", "c.json"):
        with pytest.raises(
            InputError, match=r"//\*\*\*@example.com/.*without user and password.*GDAL_HTTP_USERPWD"
        ) as caught:
            scene_uris([pattern])
        assert "secret" not in str(caught.value)


# STAC, in whatever way it is named.


@pytest.fixture
def stacked(folder: Path) -> Path:
    """As `folder`, with an item of b.tif, a catalog of an item of deep/c.tif, and GeoJSON that is no STAC."""
    write(folder / "b.json", item("B", assets={"visual": asset("b.tif")}))
    write(folder / "catalog.json", catalog(("item", "deep/c.json")))
    write(folder / "deep" / "c.json", item("C", assets={"visual": asset("c.tif")}))
    write(folder / "b.truth.geojson", {"type": "FeatureCollection", "features": [{"type": "Feature"}]})
    return folder


def told(patterns: list[str]) -> list[tuple[str, str | None]]:
    return [(source.uri, source.scene_id) for source in resolve_inputs(patterns)]


def test_a_stac_file_means_its_scenes(stacked: Path) -> None:
    assert told(["b.json"]) == [("b.tif", "B")]
    assert told(["catalog.json", f"{stacked}/b.json"]) == [("deep/c.tif", "C"), (f"{stacked}/b.tif", "B")]


def test_a_folder_and_a_glob_may_hold_stac_and_other_json_is_no_scene(stacked: Path) -> None:
    assert told(["."]) == [("a.TIF", None), ("b.tif", "B"), ("deep/c.tif", "C"), ("odd[1].tif", None)]
    assert told(["*.*json"]) == [("b.tif", "B"), ("deep/c.tif", "C")]
    assert told(["b.*"]) == [("b.tif", "B")]


def test_a_list_names_stac_and_addresses(stacked: Path) -> None:
    with served(stacked) as address:
        (stacked / "list.txt").write_text(f"{address}/deep/c.json\n\nb.json\n{address}/a.TIF\n")
        assert told(["list.txt"]) == [(f"{address}/deep/c.tif", "C"), ("b.tif", "B"), (f"{address}/a.TIF", None)]
        (stacked / "list.txt").write_text(f"b.json\n{address}/gone.json\n")
        with pytest.raises(InputError, match=rf"^list.txt, line 2: {address}/gone.json: expected JSON text"):
            resolve_inputs(["list.txt"])


def test_entries_of_a_list_are_relative_to_the_working_directory(stacked: Path) -> None:
    (stacked / "deep" / "list.txt").write_text("b.json\n")
    assert told(["deep/list.txt"]) == [("b.tif", "B")]


@pytest.mark.parametrize("patterns", [["b.tif", "b.json"], ["b.json", "b.tif"], ["./b.tif", ".", "b.json"]])
def test_what_an_item_tells_is_kept_however_the_file_is_named(stacked: Path, patterns: list[str]) -> None:
    first, *_ = told(patterns)
    assert first == ("./b.tif" if patterns[0] == "./b.tif" else "b.tif", "B")


def test_of_two_items_of_one_file_the_first_tells(stacked: Path) -> None:
    write(stacked / "again.json", item("again", assets={"visual": asset("./deep/../b.tif")}))
    assert told(["b.json", "again.json"]) == [("b.tif", "B")]
    assert told(["again.json", "b.json"]) == [("deep/../b.tif", "again")]


def test_the_asset_is_told_to_every_item(stacked: Path) -> None:
    write(stacked / "b.json", item("B", assets={"visual": asset("b.tif"), "pan": asset("p.tif")}))
    (stacked / "list.txt").write_text("b.json\n")
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
        ("br*", "^broken.json: expected JSON, got"),
        ("old.json", "^old.json: expected STAC of version 1, got 0.9.0"),
        ("list.txt", "^list.txt, line 2: empty.json: expected STAC with items"),
        ("*.truth.geojson", r"^\*.truth.geojson: expected a glob that matches rasters or STAC files with items"),
        ("truth", "^truth: expected a folder with rasters .* or STAC files with items, got none"),
        ("damaged", "^damaged/broken.json: expected JSON, got"),
        ("lost.json", "ud800': expected a name in UTF-8"),
    ],
)
def test_stac_that_leads_nowhere_is_refused(stacked: Path, pattern: str, expected: str) -> None:
    write(stacked / "empty.json", catalog())
    write(stacked / "old.json", item() | {"stac_version": "0.9.0"})
    write(stacked / "lost.json", item("\ud800"))
    (stacked / "list.txt").write_text("b.json\nempty.json\n")
    (stacked / "damaged").mkdir()
    write(stacked / "truth" / "x.geojson", {"type": "FeatureCollection", "features": []})
    for broken in (stacked / "broken.json", stacked / "damaged" / "broken.json"):
        broken.write_text('{"type":')
    with pytest.raises(InputError, match=expected) as caught:
        resolve_inputs([pattern])
    assert "\n" not in str(caught.value)


def test_one_bad_pattern_among_good_ones_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.tif"):
        scene_uris(["b.tif", "gone.tif"])
