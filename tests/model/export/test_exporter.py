from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.errors import ConfigError
from geo.types import ImageArray
from model.export import exporter
from model.export.exporter import Difference, ExportError, check, check_replaceable, compare, crop_around, read_tiles
from model.export.formats import Outputs
from tests.model.export.conftest import ExportRun
from tests.model.image_sets import make_pixels, write_set


def test_an_export_returns_the_differences_of_all_signatures(export_run: ExportRun) -> None:
    _, differences = export_run
    assert set(differences) == {"saved_model detect", "saved_model detect_jpeg", "frozen_graph", "litert", "onnx"}
    assert all(0 <= each.boxes_px < 0.05 and 0 <= each.scores < 1e-3 for each in differences.values())
    assert any(each.scores > 0 for each in differences.values())  # sums in another order


def test_no_temporary_files_are_left(exported: Path) -> None:
    assert [path.name for path in exported.parent.iterdir()] == [exported.name]
    assert {path.name for path in exported.iterdir()} == {
        "saved_model",
        "frozen_graph.pb",
        "model.onnx",
        "model.tflite",
        "README.md",
        "config.yaml",
    }


@pytest.mark.parametrize("name", ["weights.safetensors", "thesis.tex", ".git"])
def test_a_folder_of_something_else_is_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.yaml").touch()
    (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=f"output.*{name}"):
        check_replaceable(tmp_path)
    assert (tmp_path / name).exists()


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "export").touch()
    with pytest.raises(ConfigError, match=r"output.*file"):
        check_replaceable(tmp_path / "export")


def outputs(scores: list[list[float]], side: float = 8.0) -> Outputs:
    values = np.array(scores, np.float32)
    return np.full((*values.shape, 4), side, np.float32), values


def test_the_largest_difference_counts() -> None:
    expected, changed = outputs([[0.9, 0.2], [0.5, 0.1]]), outputs([[0.9, 0.25], [0.5, 0.1]])
    changed[0][0, 1, 2] -= 0.125
    changed[0][1, 0, 3] += 0.0625
    largest = compare(changed, expected)
    assert largest.boxes_px == 0.125
    assert largest.scores == pytest.approx(0.05)


def test_boxes_of_low_scores_are_not_compared() -> None:
    expected, changed = outputs([[0.9, 0.04]]), outputs([[0.9, 0.04]])
    changed[0][0, 1] += 100
    assert compare(changed, expected) == Difference(0, 0)


def test_the_box_of_the_highest_score_is_always_compared() -> None:
    expected, changed = outputs([[0.02, 0.03]]), outputs([[0.02, 0.03]])
    changed[0][0, 1] += 1
    assert compare(changed, expected).boxes_px == 1


@pytest.mark.parametrize("difference", [Difference(0, 0), Difference(0.05, 0), Difference(0, 1e-3)])
def test_small_differences_pass(difference: Difference) -> None:
    check("onnx", difference)


@pytest.mark.parametrize(
    "difference",
    [Difference(0.051, 0), Difference(0, 0.0011), Difference(float("nan"), 0), Difference(0, float("nan"))],
)
def test_large_differences_are_refused(difference: Difference) -> None:
    with pytest.raises(ExportError, match=r"onnx.*expected"):
        check("onnx", difference)


def coordinates(width: int, height: int) -> ImageArray:
    """An image whose pixels hold their position, counted from 1: (x, y, 1)."""
    y, x = np.mgrid[1 : height + 1, 1 : width + 1]
    return np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.uint8)


@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([32, 64, 96]), st.floats(0, 1), st.floats(0, 1))
def test_a_tile_is_centred_on_its_airplane_and_filled_from_the_image(
    width: int, height: int, side: int, u: float, v: float
) -> None:
    x, y = u * (width - 1) + 0.5, v * (height - 1) + 0.5
    tile = crop_around(coordinates(width, height), np.array([x - 0.5, y - 0.5, x + 0.5, y + 0.5]), side)
    assert tile.shape == (side, side, 3)
    shown = tile[tile[..., 2] == 1]
    assert len(shown) == min(width, side) * min(height, side)
    for axis, (position, length) in enumerate(((x, width), (y, height))):
        values = np.unique(shown[:, axis]).astype(int)
        assert (np.diff(values) == 1).all()
        assert values[0] - 1 <= position <= values[-1]
        inside = values[0] > 1 and values[-1] < length
        assert not inside or abs((values[0] - 1 + values[-1]) / 2 - position) <= 0.5


def test_tiles_are_cut_from_every_set(tmp_path: Path) -> None:
    write_set(tmp_path / "bright", {str(number): make_pixels() for number in range(5)})
    write_set(tmp_path / "dim", {"a": make_pixels(0.9)})
    tiles = read_tiles(tmp_path, ["bright", "dim"], 2, 64)
    assert tiles.shape == (3, 64, 64, 3)
    assert [int(tile[..., 0].max()) for tile in tiles] == [250, 250, 225]


def test_a_scene_is_rendered_without_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "_SCENE_PX", 600)
    tiles = read_tiles(tmp_path / "nowhere", ["a", "b"], 1, 64)
    assert tiles.shape == (2, 64, 64, 3)
    assert all(np.ptp(tile) > 50 for tile in tiles)


def test_a_set_without_airplanes_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path / "later", {"a": make_pixels()}, split="train")
    with pytest.raises(ConfigError, match="later"):
        read_tiles(tmp_path, ["later"], 1, 64)
