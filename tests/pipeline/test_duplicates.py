"""Duplicates: the first scene by URI is processed, the others are recorded."""

import dataclasses
import random
from pathlib import Path

import pytest
import rasterio
import rasterio.shutil
from rasterio.vrt import WarpedVRT

from model.inference.predictor import FakePredictor
from pipeline import local, planning
from pipeline.values import Duplicate, Scene, SceneSource
from tests.pipeline.scenes import AIRPLANES, CONFIG, IDENTITY, write_alike, write_scene


def opened(*paths: Path, bands: tuple[int, ...] | None = None) -> list[Scene]:
    return [planning.open_scene(SceneSource(str(path), bands=bands), CONFIG) for path in paths]


def stems(scenes: list[Scene]) -> list[tuple[str, str | None]]:
    """Deduplicate; return the stem of each scene, and the stem of the scene that it duplicates or None."""
    return [
        (Path(scene.scene.source.uri).stem, Path(scene.first).stem)
        if isinstance(scene, Duplicate)
        else (Path(scene.source.uri).stem, None)
        for scene in planning.deduplicate(scenes)
    ]


def test_the_first_copy_by_uri_is_kept(tmp_path: Path) -> None:
    scenes = opened(*(write_scene(tmp_path / f"{name}.tif") for name in "cabd"), write_scene(tmp_path / "x.tif", []))
    for seed in range(5):
        random.Random(seed).shuffle(scenes)  # noqa: S311
        assert stems(scenes) == [("a", None), ("b", "a"), ("c", "a"), ("d", "a"), ("x", None)]


def test_a_fingerprint_alone_makes_no_duplicate(tmp_path: Path) -> None:
    alike = write_alike(tmp_path / "a.tif", tmp_path / "b.tif")
    copies = [path.with_stem(path.stem + "2") for path in alike]
    for path, copy in zip(alike, copies, strict=True):
        copy.write_bytes(path.read_bytes())
    scenes = opened(*alike, *copies)
    assert len({scene.header.scene_id for scene in scenes}) == 1
    assert stems(scenes) == [("a", None), ("a2", "a"), ("b", None), ("b2", "b")]


def test_other_bands_of_the_same_file_are_no_duplicate(tmp_path: Path) -> None:
    path, copy = (write_scene(tmp_path / name, bands=4) for name in ("a.tif", "b.tif"))
    assert stems([*opened(path, bands=(3, 2, 1)), *opened(copy, bands=(4, 2, 1))]) == [("a", None), ("b", None)]
    assert stems([*opened(path, bands=(3, 2, 1)), *opened(copy, bands=(3, 2, 1))]) == [("a", None), ("b", "a")]


def test_a_vrt_is_never_a_duplicate(tmp_path: Path) -> None:
    for folder in (tmp_path / "x", tmp_path / "y"):
        folder.mkdir()
        write_scene(folder / "a.tif")
        with rasterio.open(folder / "a.tif") as scene, WarpedVRT(scene) as same:
            rasterio.shutil.copy(same, folder / "b.vrt", driver="VRT")
    assert stems(opened(tmp_path / "x" / "b.vrt", tmp_path / "y" / "b.vrt")) == [("b", None), ("b", None)]


def test_a_missing_file_is_no_duplicate(tmp_path: Path) -> None:
    scenes = opened(*(write_scene(tmp_path / name) for name in ("a.tif", "b.tif")))
    (tmp_path / "b.tif").unlink()
    assert stems(scenes) == [("a", None), ("b", None)]


def test_remote_scenes_are_compared_by_fingerprint(tmp_path: Path) -> None:
    (scene,) = opened(write_scene(tmp_path / "a.tif"))
    far = dataclasses.replace(scene, source=SceneSource("https://example.com/z.tif"))
    assert stems([far, scene]) == [("a", None), ("z", "a")]
    other = dataclasses.replace(far, header=dataclasses.replace(scene.header, scene_id="0" * 16))
    assert stems([other, scene]) == [("a", None), ("z", None)]


def test_a_duplicate_has_a_ledger_entry_and_no_airplanes(tmp_path: Path) -> None:
    first, second = (write_scene(tmp_path / name) for name in ("a.tif", "b.tif"))
    described = SceneSource(str(second), "S-2", "2026-05-01T10:20:30Z")
    again, original = local.detect_scenes([described, SceneSource(str(first))], CONFIG, FakePredictor(), IDENTITY)
    assert len(original.airplanes) == len(AIRPLANES)
    assert again.airplanes == ()
    entry = again.entry
    assert (entry.status, entry.duplicate_of, entry.error) == ("duplicate", str(first), None)
    assert (entry.scene_id, entry.acquired_at, entry.width_px) == (
        "S-2",
        described.acquired_at,
        original.entry.width_px,
    )
    assert (entry.parts_planned, entry.km2, entry.airplanes) == (0, 0.0, 0)


def test_the_order_of_the_inputs_does_not_matter(tmp_path: Path) -> None:
    paths = [write_scene(tmp_path / name) for name in ("a.tif", "b.tif", "c.tif")]
    sources = [SceneSource(str(path)) for path in paths]
    for order in (sources, sources[::-1]):
        results = local.detect_scenes(order, CONFIG, FakePredictor(), IDENTITY)
        assert [result.entry.scene_uri for result in results] == [source.uri for source in order]
        assert {result.entry.duplicate_of for result in results} == {None, str(paths[0])}


@pytest.mark.parametrize("change", [{"resolution": 0.6}, {"crs": "EPSG:32633"}, {"rotation": 1.0}])
def test_the_same_pixels_with_another_georeference_are_no_duplicate(tmp_path: Path, change: dict[str, object]) -> None:
    scenes = opened(write_scene(tmp_path / "a.tif"), write_scene(tmp_path / "b.tif", **change))  # type: ignore[arg-type]
    assert stems(scenes) == [("a", None), ("b", None)]
