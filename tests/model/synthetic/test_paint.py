from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.types import ImageArray
from model.synthetic.geometry import SCENE_FRAME, Frame, rectangle
from model.synthetic.paint import CELL_PX, OVERSAMPLING, Painting, Textures, make_grain, make_textures, paint_cell
from model.synthetic.style import Sensor, sample_style
from model.synthetic.world import Layer, Level, Material, PackedLayer, Tier, World

PIXEL_M = 0.5
CLEAR = Sensor(
    psf_px=0.8, sharpening=0.0, noise=0.0, haze=0.0, haze_colour=(0, 0, 0), gain=(1.0, 1.0, 1.0), contrast=1.0
)
WHOLE = rectangle(-50, -50, 700, 700)
GREY = (120.0, 110.0, 100.0)


@cache
def flat_textures() -> Textures:
    textures = make_textures(2)
    return Textures(
        *(np.zeros_like(tile) for tile in (textures.fine, textures.medium, textures.blotchy, textures.coarse))
    )


@cache
def grain() -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return make_grain(2)


def grey_world() -> World:
    world = World(600, 600, replace(sample_style(2, 45.0), sensor=CLEAR))
    world.pave(SCENE_FRAME, WHOLE, GREY, Tier.LAND, Material.CONCRETE)
    return world


def painting(world: World, sensor: Sensor = CLEAR, textures: Textures | None = None) -> Painting:
    def pack(layer: Layer) -> PackedLayer:
        return layer.pack(PIXEL_M / OVERSAMPLING)

    layers = [pack(layer) for layer in (world.ground, world.stains, world.shadows, world.objects)]
    return Painting(2, replace(world.style, sensor=sensor), textures or flat_textures(), grain(), *layers)


def two_cells(world: World, sensor: Sensor = CLEAR, textures: Textures | None = None) -> ImageArray:
    painted = painting(world, sensor, textures)
    return np.concatenate([paint_cell(painted, 0, 0), paint_cell(painted, 0, 1)], axis=1)


def test_uniform_ground_keeps_its_colour() -> None:
    assert np.unique(two_cells(grey_world()).reshape(-1, 3), axis=0).tolist() == [list(GREY)]


def test_objects_keep_their_size_and_position() -> None:
    world = grey_world()
    # 40 x 20 m across the seam between two cells, 30 m down.
    world.draw(Frame(256, 40), rectangle(-20, -10, 20, 10), (250, 250, 250), Level.STRUCTURE)
    light = (two_cells(world)[..., 0] - GREY[0]) / (250 - GREY[0])
    assert light.sum() * PIXEL_M**2 == pytest.approx(800, rel=0.02)
    rows, columns = np.indices(light.shape)
    assert (light * (columns + 0.5)).sum() / light.sum() * PIXEL_M == pytest.approx(256, abs=0.1)
    assert (light * (rows + 0.5)).sum() / light.sum() * PIXEL_M == pytest.approx(40, abs=0.1)
    edge = light[80, 512 - 46 : 512 - 34]
    assert (np.diff(edge) >= 0).all()
    assert 0.05 < edge[4:8].mean() < 0.95  # soft: the point spread


def test_shadows_and_stains_darken_the_ground_but_not_objects() -> None:
    world = grey_world()
    world.cast_shadow(SCENE_FRAME, rectangle(20, 20, 60, 60))
    world.stain(SCENE_FRAME, rectangle(100, 20, 140, 60), 0.5)
    world.draw(SCENE_FRAME, rectangle(30, 30, 50, 50), (200, 200, 200), Level.STRUCTURE)
    image = two_cells(world)
    assert image[80, 20].tolist() == list(GREY)
    assert image[50, 80, 1] == pytest.approx(GREY[1] * world.light.sky, abs=2)
    assert image[80, 240].tolist() == pytest.approx([60, 55, 50], abs=1)
    assert image[80, 80].tolist() == [200, 200, 200]


@pytest.mark.parametrize("x", [255.5, 256.0, 256.5, 258.0])  # metres; the seam lies at 256
def test_no_seam_between_cells(x: float) -> None:
    def things(at: float) -> World:
        world = grey_world()
        world.stain(Frame(at, 60), rectangle(-30, -20, 0, 20), 0.5)
        world.cast_shadow(Frame(at, 60), rectangle(0, 20, 40, 40))
        world.draw(Frame(at, 60), rectangle(0, -20, 8, 0), (250, 250, 250), Level.STRUCTURE)
        return world

    across = two_cells(things(x)).astype(int)
    within = two_cells(things(x - 80)).astype(int)  # the same, 160 pixels to the left
    assert np.abs(across[:, 400:700] - within[:, 240:540]).max() <= 1


def test_noise_has_the_standard_deviation_of_the_sensor() -> None:
    image = two_cells(grey_world(), sensor=replace(CLEAR, noise=3.0)).astype(float)
    expected = 3.0 * np.sqrt(GREY[1] / 128)
    assert image.std(axis=(0, 1)) == pytest.approx([expected] * 3, rel=0.06)
    assert image.mean(axis=(0, 1)) == pytest.approx(GREY, abs=0.1)
    left, right = image[:, :CELL_PX, 1], image[:, CELL_PX:, 1]
    assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 0.02


def test_haze_reduces_contrast() -> None:
    world = grey_world()
    world.draw(SCENE_FRAME, rectangle(30, 30, 50, 50), (250, 250, 250), Level.STRUCTURE)
    hazy = two_cells(world, sensor=replace(CLEAR, haze=0.3, haze_colour=(200, 200, 200)))
    assert hazy[80, 80, 0] == pytest.approx(250 * 0.7 + 60, abs=1)
    assert hazy[10, 10, 0] == pytest.approx(GREY[0] * 0.7 + 60, abs=1)


@cache
def textures() -> Textures:
    return make_textures(4)


@given(st.integers(-600, 5000), st.integers(-600, 5000), st.integers(1, 60), st.integers(1, 60))
def test_texture_windows_are_consistent(x: int, y: int, width: int, height: int) -> None:
    fields = textures()
    larger = fields.at(x - 7, y - 3, width + 20, height + 20)
    np.testing.assert_array_equal(fields.at(x, y, width, height), larger[:, 3 : 3 + height, 7 : 7 + width])


def test_textures_have_mean_0_and_deviation_1() -> None:
    fields = textures()
    for tile in (fields.fine, fields.medium, fields.blotchy, fields.coarse):
        assert tile.mean() == pytest.approx(0, abs=1e-3)
        assert tile.std() == pytest.approx(1, abs=1e-3)


def test_coarser_textures_vary_more_slowly() -> None:
    fields = textures()
    steps = [float(np.abs(np.diff(field, axis=1)).mean()) for field in fields.at(0, 0, 400, 400)]
    fine, medium, coarse, blotchy = steps
    assert fine > medium > blotchy > coarse


def test_coarse_texture_is_continuous() -> None:
    coarse = textures().at(100, 100, 500, 500)[2]
    steps = np.abs(np.diff(coarse, axis=0))
    samples = np.abs(np.diff(textures().coarse, axis=0)).max()
    assert steps.max() <= samples / 16 * 1.01


def test_textures_depend_on_the_seed() -> None:
    fields = textures()
    assert not np.array_equal(fields.fine, make_textures(5).fine)
