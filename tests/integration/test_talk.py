"""The talk's detectors in the job, and its way from images to tiles to a training, in a bucket."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import yaml
from apache_beam.internal.gcp import auth

from geo.raster.header import read_header
from model import synthetic
from model.datagen.__main__ import main as generate_tiles
from model.detectors import classifier, registry
from model.detectors.config import ConvConfig, GridConfig
from model.export.config import ChipTiling
from model.export.exporter import export
from model.inference import weights_io
from model.inference.predictor import load_predictor
from model.inference.scan import scan
from pipeline import run
from pipeline.config import load_config
from pipeline.ledger import read_ledger
from pipeline.records import Airplane
from pipeline.sinks.files import read_geojson
from tests.geo.gcs_emulator import emulated_bucket
from tests.model.image_sets import make_pixels, write_set
from tests.model.tiny_training import log, trained

pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")

GRID = GridConfig(layers=9, grid=8, boxes=2)
CHIPS = ChipTiling((0.71, 1.41), 6)


def render(path: Path, size_px: int, resolution_m: float) -> Path:
    synthetic.write(synthetic.render(size_px, seed=3, resolution_m=resolution_m), path)
    return path


def detected(scene: Path, output: Path, *options: str) -> list[Airplane]:
    """What the command writes; every tile must have been inferred."""
    assert run.main(["--input", str(scene), "--output", str(output), *options]) == 0
    (entry,) = read_ledger(Path(f"{output}.ledger.json")).scenes
    assert (entry.status, entry.parts_done) == ("complete", entry.parts_planned)
    return list(read_geojson(output))


def test_a_grid_detector_runs_in_the_job_as_in_the_evaluation(tmp_path: Path) -> None:
    scene = render(tmp_path / "scene.tif", 700, 0.5)
    keras.utils.set_random_seed(1)
    folder = tmp_path / "grid"
    # Untrained: what it detects is anything, and the same both ways.
    weights_io.save(folder, registry.get(GRID).build(), "grid", GRID, 0.5)
    config = load_config(overrides={"model": str(folder), "precision": "float32"})
    predictor = load_predictor(str(folder), config.batch_size, 0.5, engine="litert")
    expected = scan(read_header(str(scene)), config, predictor, config.batch_size)
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        Path("configs/pipeline/default.yaml").read_text().replace("precision: auto", "precision: float32")
    )
    airplanes = detected(scene, tmp_path / "a.geojson", "--model", str(folder), "--config", str(settings))
    assert len(airplanes) == len(expected) > 0
    assert {airplane.model for airplane in airplanes} == {predictor.name}
    boxes = [(airplane.xmin_px, airplane.ymin_px, airplane.xmax_px, airplane.ymax_px) for airplane in airplanes]
    np.testing.assert_allclose(sorted(boxes), sorted(expected.boxes.tolist()), atol=0.011)


def test_the_classifier_runs_in_the_job_as_a_detector(tmp_path: Path) -> None:
    scene = render(tmp_path / "scene.tif", 300, 3.0)
    keras.utils.set_random_seed(3)
    config = ConvConfig(filters="S", depth=2)
    model = classifier.build(config)
    model.get_layer("conv_0").kernel.assign(model.get_layer("conv_0").kernel * 3)  # for some high scores
    weights_io.save_classifier(tmp_path / "classifier", model, "tiny", config, 0.75)
    pixels = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    export(tmp_path / "classifier", tmp_path / "exported", ("saved_model",), pixels, CHIPS)
    options = ("--config", "configs/pipeline/classifier.yaml", "--model", str(tmp_path / "exported" / "saved_model"))
    airplanes = detected(scene, tmp_path / "a.geojson", *options, "--trust-model")
    assert len(airplanes) > 5
    for airplane in airplanes:
        # A box is a chip of 20 px at one of the zooms, or the mean of several that agree.
        assert 0 < airplane.xmax_px - airplane.xmin_px < 28.8


def test_images_of_a_bucket_become_tiles_in_it_and_a_training_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Beam would look for credentials, several times.
    monkeypatch.setattr(auth._Credentials, "_credentials_init", True)
    write_set(tmp_path / "one", {name: make_pixels(0.9) for name in "ab"}, split="train")
    config = tmp_path / "datagen.yaml"
    content: dict[str, Any] = {
        "sets": [{"set": "one", "tiles_per_airplane": 1}],
        "tiles": {"side_px": 64, "displacement_px": 15},
        "shards": 2,
    }
    local = tmp_path / "tiles"
    local.mkdir()
    with emulated_bucket("maps") as bucket:
        for path in (tmp_path / "one").rglob("*.*"):
            bucket.blob(f"data/{path.relative_to(tmp_path).as_posix()}").upload_from_filename(str(path))
        config.write_text(yaml.safe_dump(content | {"data": "gs://maps/data", "output": "gs://maps/tiles"}))
        assert generate_tiles(["--config", str(config)]) == 0
        names = {blob.name for blob in bucket.list_blobs(prefix="tiles/")}
        assert names == {"tiles/manifest.json", *(f"tiles/tiles-0000{k}-of-00002.tfrecord" for k in range(2))}
        # TensorFlow's own client of buckets knows no emulator: what it would read is fetched.
        for name in names:
            bucket.blob(name).download_to_filename(str(local / Path(name).name))
    run_folder = trained(tmp_path, Path("unread"), sources=[], records={"pattern": f"{local}/*.tfrecord"})
    assert len(log(run_folder)) == 3
