from pathlib import Path

import pytest

from geo.errors import OutputError
from model.data.sources import RenderedSet, render_scenes

SMALL = RenderedSet("airport", (3, 5), size_px=300, resolution_m=2.0)


def test_scenes_are_rendered_once_and_read_with_their_truth(tmp_path: Path) -> None:
    images = render_scenes(SMALL, tmp_path)
    assert [image.path.name for image in images] == ["3.tif", "5.tif"]
    assert all(image.resolution_known and image.path.is_file() for image in images)
    times = [image.path.stat().st_mtime_ns for image in images]
    more = render_scenes(RenderedSet("airport", (5, 3, 8), size_px=300, resolution_m=2.0), tmp_path)
    assert [image.path.name for image in more] == ["3.tif", "5.tif", "8.tif"]
    assert [image.path.stat().st_mtime_ns for image in more[:2]] == times
    # Others in the folder are not of the set.
    assert [image.path.name for image in render_scenes(SMALL, tmp_path)] == ["3.tif", "5.tif"]


@pytest.mark.parametrize("scene", ["countryside", "town"])
def test_scenes_without_an_airport_have_no_airplanes(tmp_path: Path, scene: str) -> None:
    (image,) = render_scenes(RenderedSet(scene, (3,), size_px=300, resolution_m=2.0), tmp_path)  # type: ignore[arg-type]
    assert len(image.boxes) == 0


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        render_scenes(SMALL, tmp_path / "file")


def test_an_incomplete_scene_is_rendered_again(tmp_path: Path) -> None:
    (image, _) = render_scenes(SMALL, tmp_path)
    image.path.unlink()
    assert render_scenes(SMALL, tmp_path)[0].path.is_file()
