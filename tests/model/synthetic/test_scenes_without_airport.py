"""Scenes without an airport."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.errors import ConfigError
from geo.types import ImageArray, Window
from model.synthetic import SCENES, SampleScene, paint_window, render, truth
from model.synthetic.__main__ import main

SIZE, SEED = 900, 7
every_land = pytest.mark.parametrize("land", ["countryside", "town"])


@cache
def rendered(land: str) -> SampleScene:
    return render(SIZE, SEED, 0.5, land)


@cache
def pixels(land: str) -> ImageArray:
    return paint_window(rendered(land), Window(0, 0, SIZE, SIZE))


def test_default_scene_is_an_airport() -> None:
    assert tuple(SCENES) == ("airport", "countryside", "town")
    assert truth(render(400, 3)) == truth(render(400, 3, 0.5, "airport"))
    assert truth(render(1200, 3))["features"]


@every_land
def test_truth_is_empty(land: str) -> None:
    assert rendered(land).airplanes == ()
    assert truth(rendered(land)) == {"type": "FeatureCollection", "features": []}


@every_land
def test_pixels_are_deterministic(land: str) -> None:
    again = paint_window(render(SIZE, SEED, 0.5, land), Window(300, 500, 200, 100))
    np.testing.assert_array_equal(again, pixels(land)[500:600, 300:500])


@every_land
def test_land_depends_on_the_seed(land: str) -> None:
    other = paint_window(render(SIZE, SEED + 1, 0.5, land), Window(0, 0, SIZE, SIZE))
    assert (np.abs(other.astype(int) - pixels(land)) > 20).any(axis=2).mean() > 0.3


@every_land
def test_image_statistics_resemble_real_scenes(land: str) -> None:
    # Bounds similar to those of airports and of real scenes.
    image = pixels(land).astype(float)
    assert 70 < image.mean() < 190
    assert 15 < image.std() < 65
    assert (pixels(land) == 255).mean() < 0.1
    assert np.abs(image[..., 0] - image[..., 2]).mean() < 60


@given(
    st.sampled_from(["countryside", "town"]),
    st.integers(64, 900),
    st.integers(0, 10_000),
    st.sampled_from([0.3, 0.5, 1.0, 2.0]),
)
@settings(max_examples=10)
def test_any_size_seed_and_resolution_renders(land: str, size: int, seed: int, resolution: float) -> None:
    scene = render(size, seed, resolution, land)
    assert not scene.airplanes
    window = Window(size // 2, size // 2, 20, 20)
    assert paint_window(scene, window).shape == (20, 20, 3)


def test_unknown_scene_raises() -> None:
    with pytest.raises(ConfigError, match="expected one of airport, countryside, town, got moon: choose"):
        render(100, 1, 0.5, "moon")


@every_land
def test_command_writes_the_scene_and_an_empty_truth(
    land: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "x.tif"
    assert main(["--scene", land, "--size", "300", "--seed", "3", "--output", str(output)]) == 0
    assert "0 airplanes" in capsys.readouterr().out
    assert json.loads((tmp_path / "x.truth.geojson").read_text()) == {"type": "FeatureCollection", "features": []}
    assert output.stat().st_size > 50_000


def test_command_rejects_an_unknown_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--scene", "moon", "--output", str(tmp_path / "x.tif")]) == 2
    assert "moon" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
