from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.sources import scene_sources


def scene_uris(patterns: list[str]) -> tuple[str, ...]:
    return tuple(source.uri for source in scene_sources(patterns))


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
        ("https://example.com/a.tif", "https://example.com/a.tif: expected a local path.*copy"),
        ("gs://bucket/*.tif", "gs://bucket/.*expected a local path"),
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


def test_one_bad_pattern_among_good_ones_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.tif"):
        scene_uris(["b.tif", "gone.tif"])
