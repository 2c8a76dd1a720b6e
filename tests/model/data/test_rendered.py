from pathlib import Path

import pytest

from geo.errors import OutputError
from model.data.sources import RenderedSet, render_scenes

SMALL = RenderedSet("airport", (3, 5), size_px=300, resolution_m=2.0)


def test_scenes_are_rendered_once_and_read_with_their_truth(tmp_path: Path) -> None:
    photos = render_scenes(SMALL, tmp_path)
    assert [photo.path.name for photo in photos] == ["3.tif", "5.tif"]
    assert all(photo.resolution_known and photo.path.is_file() for photo in photos)
    times = [photo.path.stat().st_mtime_ns for photo in photos]
    more = render_scenes(RenderedSet("airport", (5, 3, 8), size_px=300, resolution_m=2.0), tmp_path)
    assert [photo.path.name for photo in more] == ["3.tif", "5.tif", "8.tif"]
    assert [photo.path.stat().st_mtime_ns for photo in more[:2]] == times
    # Others in the folder are not of the set.
    assert [photo.path.name for photo in render_scenes(SMALL, tmp_path)] == ["3.tif", "5.tif"]


@pytest.mark.parametrize("scene", ["countryside", "town"])
def test_scenes_without_an_airport_have_no_airplanes(tmp_path: Path, scene: str) -> None:
    (photo,) = render_scenes(RenderedSet(scene, (3,), size_px=300, resolution_m=2.0), tmp_path)  # type: ignore[arg-type]
    assert len(photo.boxes) == 0


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        render_scenes(SMALL, tmp_path / "file")


def test_an_incomplete_scene_is_rendered_again(tmp_path: Path) -> None:
    (photo, _) = render_scenes(SMALL, tmp_path)
    photo.path.unlink()
    assert render_scenes(SMALL, tmp_path)[0].path.is_file()
