"""The weights that come with the project."""

from pathlib import Path

import numpy as np
import pytest

from geo.boxes import area, iou_matrix, match
from geo.raster.header import read_header
from model.detectors import registry
from model.inference import model_folder, weights_io
from model.inference.engine import Precision
from model.inference.predictor import load_predictor
from model.inference.scan import scan, scan_all
from model.inference.scan_config import read_scan_config
from model.synthetic import render, write
from tests.benchmarks.scenes import cut
from tests.precisions import PRECISIONS

FOLDERS = sorted(file.parent for file in model_folder.PACKAGED.glob(f"*/{model_folder.WEIGHTS_FILE}"))


def test_the_default_model_of_the_pipeline_is_packaged() -> None:
    from pipeline.config import load_config

    assert model_folder.resolve(load_config().model) in FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_a_packaged_model_is_complete_small_and_documented(folder: Path) -> None:
    config = model_folder.read_config(folder)  # checks the weights against their digest
    assert config.name == folder.name
    weights = folder / model_folder.WEIGHTS_FILE
    assert weights.stat().st_size <= 10_000_000
    weights_io.load_into(registry.get(config.detector).build(), weights)
    card = (folder / "README.md").read_text(encoding="utf-8")
    # The card describes these weights and this threshold, not earlier ones.
    assert config.version in card
    assert f"{config.min_score:.3f}" in card


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_a_small_scene_gives_the_airplanes_that_a_whole_tile_gives(
    folder: Path, precision: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(render(600, 9, 0.5), tmp_path / "small.tif")
    header, config = read_header(str(tmp_path / "small.tif")), read_scan_config(Path("configs/pipeline/default.yaml"))
    predictor = load_predictor(str(folder), 1, 0.1, precision=precision)
    trimmed = scan(header, config, predictor, 1)
    monkeypatch.setattr("geo.grid.tile_size", lambda level, tiling: (tiling.tile_px, tiling.tile_px))
    padded = scan(header, config, predictor, 1)
    # Beyond the right and bottom edges, tiles end in one case and are black in the other.
    for detected, others in ((trimmed, padded), (padded, trimmed)):
        certain = detected.take(np.flatnonzero(detected.scores > 0.2))
        pairs = match(certain.boxes, certain.scores, others.boxes, 0.95)
        assert len(certain) > 5
        assert (pairs >= 0).all()
        np.testing.assert_allclose(certain.scores, others.scores[pairs], atol=0.01)


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_small_scenes_have_the_airplanes_of_a_large_one_also_where_their_edges_cut_them(
    folder: Path, tmp_path: Path
) -> None:
    side, corners = 300, [(x, y) for y in (0, 290, 600) for x in (0, 310, 600)]
    write(render(900, 13, 0.5), tmp_path / "large.tif")
    config = read_scan_config(Path("configs/pipeline/default.yaml"))
    predictor = load_predictor(str(folder), 1, 0.1, precision="float32")
    paths = [tmp_path / "large.tif", *cut(tmp_path / "large.tif", corners, side, tmp_path)]
    headers = [read_header(str(path)) for path in paths]
    large_scene, *small_scenes = scan_all(headers, config, predictor, 1)
    certain = large_scene.boxes[large_scene.scores > predictor.default_min_score + 0.1]
    share_seen = list[float]()
    for (x, y), detected in zip(corners, small_scenes, strict=True):
        visible = np.clip(certain - [x, y, x, y], 0, side)
        share = area(visible) / area(certain)
        expected = visible[share >= 0.7]
        airplanes = detected.take(np.flatnonzero(detected.scores >= predictor.default_min_score))
        assert (iou_matrix(expected, airplanes.boxes).max(axis=1, initial=0) > 0.5).all()
        share_seen += share[share >= 0.7].tolist()
    assert sum(share == 1 for share in share_seen) >= 5
    assert sum(share < 1 for share in share_seen) >= 2


SIZE_PX, SEEDS = 1800, (31, 32)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_packaged_detector_reaches_90_percent_recall_at_90_percent_precision(
    folder: Path, precision: Precision, tmp_path: Path
) -> None:
    """On rendered scenes: it was trained on photos and on rendered scenes of other seeds."""
    config = read_scan_config(Path("configs/pipeline/default.yaml"))
    predictor = load_predictor(str(folder), batch_size=2, min_score=0.01, precision=precision)
    scores, correct, airplanes = [], [], 0
    for seed in SEEDS:
        scene = render(SIZE_PX, seed)
        write(scene, tmp_path / f"{seed}.tif")
        detections = scan(read_header(str(tmp_path / f"{seed}.tif")), config, predictor, 2)
        boxes = np.array([airplane.box for airplane in scene.airplanes]) / scene.resolution_m
        scores.append(detections.scores)
        correct.append(match(detections.boxes, detections.scores, boxes, 0.5) >= 0)
        airplanes += len(boxes)
    hits = np.concatenate(correct)[np.argsort(-np.concatenate(scores), kind="stable")]
    precision_curve = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    recall = np.cumsum(hits) / airplanes
    assert airplanes > 30
    assert recall[precision_curve >= 0.9].max() >= 0.9
