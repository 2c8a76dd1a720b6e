"""The command, the Beam graph against the plain functions, and what they leave."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from model.common.config import from_mapping, load_yaml
from model.data import sources, tfrecord
from model.data.labels import AnnotatedImage
from model.datagen import job, tiles
from model.datagen.__main__ import main
from model.datagen.job import DatagenConfig
from model.datagen.tiles import SetPlan
from tests.model.datagen.elsewhere import Elsewhere
from tests.model.image_sets import AIRPLANES, make_pixels, write_set

SIDE = 64
# All images have three airplanes each, those of "empty" none.
SETS = [{"set": "one", "tiles_per_airplane": 2}, {"set": "two"}, {"set": "empty", "tiles_without": 7}]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_set(
        folder / "one", {name: make_pixels(1 - number / 20) for number, name in enumerate("abcde")}, split="train"
    )
    write_set(folder / "two", {"f": make_pixels(0.6), "g": make_pixels(0.5)}, split="train")
    relabel(folder / "two", 1, split="val")
    write_set(folder / "empty", {"h": np.full((100, 120, 3), 40, np.uint8)}, split="train")
    relabel(folder / "empty", 0, boxes=[])
    return folder


def relabel(folder: Path, number: int, **changes: object) -> None:
    labels = json.loads((folder / "annotations.json").read_text())
    labels["images"][number] |= changes
    (folder / "annotations.json").write_text(json.dumps(labels))


def settings(data: Path | str, output: Path | str, **changes: object) -> DatagenConfig:
    content = {
        "data": str(data),
        "output": str(output),
        "sets": SETS,
        "tiles": {"side_px": SIDE, "displacement_px": 15},
        "shards": 3,
    }
    return from_mapping(DatagenConfig, content | changes, "test")


def run(config: DatagenConfig) -> None:
    job.run(config, job.plan_sets(config), FnApiRunner(), PipelineOptions([]))


def written(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def records(file: Path) -> list[bytes]:
    return [bytes(record) for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()]


def name_of(record: bytes) -> str:
    return str(tf.train.Example.FromString(record).features.feature["name"].bytes_list.value[0].decode())


def image_of(record: bytes) -> str:
    return name_of(record).partition("@")[0]


@pytest.fixture(scope="module")
def output(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    run(settings(data, folder))
    return folder


def named_images(data: Path, name: str) -> dict[str, AnnotatedImage]:
    return {f"{name}/{image.path.name}": image for image in sources.read_annotated_images(data / name, "train")}


def test_the_beam_job_equals_the_plain_functions(data: Path, output: Path) -> None:
    plans = [
        tiles.plan_tiles_of_set(
            {
                f"{set_config.set}/{image.path.name}": image
                for image in sources.read_annotated_images(data / set_config.set, "train")
            },
            set_config,
            settings(data, output).tiles,
            seed=1,
        )
        for set_config in settings(data, output).sets
    ]
    files = tiles.assign_to_files([image for plan in plans for image in plan.images], 3)
    names = [f"tiles-{number:05d}-of-00003.tfrecord" for number in range(3)]
    assert [*written(output)] == ["manifest.json", *names]
    for name, images in zip(names, files, strict=True):
        expected = [tfrecord.encode_tile(tile, 90) for image in images for tile in tiles.cut_tiles(image, SIDE)]
        assert records(output / name) == expected


def test_there_are_as_many_tiles_without_airplanes_as_with(output: Path) -> None:
    has_airplanes: dict[str, list[bool]] = {}
    for file in output.glob("*.tfrecord"):
        for record in records(file):
            _, boxes, ignored = tfrecord.parse_tile(record)
            has_airplanes.setdefault(image_of(record).partition("/")[0], []).append(len(boxes) > 0)
            # One that shows none shows no part of one either.
            assert len(boxes) or not len(ignored)
    assert {name: (sum(flags), len(flags) - sum(flags)) for name, flags in has_airplanes.items()} == {
        "one": (30, 30),
        "two": (3, 3),
        "empty": (0, 7),
    }


def test_boxes_lie_where_the_airplanes_do(output: Path) -> None:
    compared = 0
    for file in output.glob("*.tfrecord"):
        for record in records(file):
            pixels, boxes, _ = tfrecord.parse_tile(record)
            for xmin, ymin, xmax, ymax in boxes.numpy().round().astype(int):
                assert pixels.numpy()[ymin + 2 : ymax - 2, xmin + 2 : xmax - 2, 0].mean() > 100
                compared += 1
    assert compared >= 33


def test_all_tiles_of_an_image_are_adjacent(output: Path) -> None:
    names = [image_of(record) for file in sorted(output.glob("*.tfrecord")) for record in records(file)]
    changes = sum(before != after for before, after in itertools.pairwise(names))
    assert changes == len(set(names)) - 1


def test_other_splits_are_not_cut(data: Path, output: Path, tmp_path: Path) -> None:
    names = {image_of(record) for file in output.glob("*.tfrecord") for record in records(file)}
    assert "two/g.png" not in names
    assert names == {*(f"one/{name}.png" for name in "abcde"), "two/f.png", "empty/h.png"}
    run(settings(data, tmp_path, split="test", sets=[{"set": "two"}]))
    assert {image_of(record) for file in tmp_path.glob("*.tfrecord") for record in records(file)} == {"two/g.png"}


def test_the_manifest_counts_everything(data: Path, output: Path) -> None:
    manifest = json.loads((output / "manifest.json").read_text())
    records_by_file = {file.name: records(file) for file in sorted(output.glob("*.tfrecord"))}
    parsed = [(image_of(record), tfrecord.parse_tile(record)) for tiles in records_by_file.values() for record in tiles]
    assert manifest["files"] == {name: len(tiles) for name, tiles in records_by_file.items()}
    for name, images in (("one", 5), ("two", 1), ("empty", 1)):
        own = [tile for image, tile in parsed if image.startswith(name)]
        asked = {"one": (30, 30), "two": (3, 3), "empty": (0, 7)}[name]
        assert manifest["sets"][name] == {
            "images": images,
            "images_with_tiles": images,
            "airplanes": 0 if name == "empty" else images * len(AIRPLANES),
            "asked_with_airplanes": asked[0],
            "asked_without_airplanes": asked[1],
            "tiles": len(own),
            "tiles_with_airplanes": sum(len(boxes) > 0 for _, boxes, _ in own),
            "tiles_without_airplanes": sum(len(boxes) == 0 for _, boxes, _ in own),
            "boxes": sum(len(boxes) for _, boxes, _ in own),
            "ignored": sum(len(ignored) for _, _, ignored in own),
        }
    for key, total in manifest["total"].items():
        assert total == sum(counts[key] for counts in manifest["sets"].values())
    assert from_mapping(DatagenConfig, manifest["settings"], "manifest") == settings(data, output)


def test_the_same_seed_gives_the_same_bytes_in_any_order(
    data: Path, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, make_shards = sources.read_annotated_images, job.make_shards

    def backwards(folder: Path, split: str) -> list[AnnotatedImage]:
        return read(folder, split)[::-1]

    def fractions(plans: Mapping[str, SetPlan], max_files: int) -> list[job.Shard]:
        return make_shards(plans, max_files)[::-1]

    monkeypatch.setattr(sources, "read_annotated_images", backwards)
    monkeypatch.setattr(job, "make_shards", fractions)
    run(settings(data, tmp_path / "same", sets=SETS[::-1]))
    run(settings(data, tmp_path / "other", seed=2))
    expected = {name: content for name, content in written(output).items() if name != "manifest.json"}
    assert {name: written(tmp_path / "same")[name] for name in expected} == expected
    other = written(tmp_path / "other")
    assert all(other[name] != content for name, content in expected.items())


def test_remote_data_sets_give_the_same_tiles(
    data: Path, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Elsewhere, "root", tmp_path, raising=False)
    shutil.copytree(data, tmp_path / "bucket/data")
    run(settings("elsewhere://bucket/data", "elsewhere://bucket/out"))
    copied = written(tmp_path / "bucket/out")
    for name, content in written(output).items():
        assert name == "manifest.json" or copied[name] == content
    assert copied.keys() == written(output).keys()


def config_of(folder: Path, data: Path, **changes: object) -> str:
    content = {"data": str(data), "output": str(folder / "out"), "sets": SETS, "tiles": {"side_px": SIDE}} | changes
    (folder / "datagen.yaml").write_text(yaml.safe_dump(content))
    return str(folder / "datagen.yaml")


def test_the_command_prints_a_summary(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--config", config_of(tmp_path, data), "--output", str(tmp_path / "there"), "--runner", "DirectRunner"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines() == [
        "one: 5 images, 15 airplanes, 60 tiles: 30 with airplanes, 30 without",
        "two: 1 images, 3 airplanes, 6 tiles: 3 with airplanes, 3 without",
        "empty: 1 images, 0 airplanes, 7 tiles: 0 with airplanes, 7 without",
        "together: 7 images, 18 airplanes, 73 tiles: 33 with airplanes, 40 without",
        f"7 files: {tmp_path / 'there'}",
    ]
    # A second time would leave two kinds of files in one folder.
    assert main(arguments) == 2
    assert "output: expected a folder without records" in capsys.readouterr().err


def test_fewer_tiles_than_asked_are_reported(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # 17 x 11 positions, less those that show an airplane.
    sets = [{"set": "two", "tiles_without": 500}]
    assert main(["--config", config_of(tmp_path, data, sets=sets)]) == 0
    counts = json.loads((tmp_path / "out/manifest.json").read_text())["sets"]["two"]
    assert (counts["asked_without_airplanes"], 0 < counts["tiles_without_airplanes"] < 100) == (500, True)
    assert f"{counts['tiles_without_airplanes']} (asked: 500) without" in capsys.readouterr().out


def test_a_damaged_image_fails_the_job_and_leaves_no_manifest(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_set(tmp_path / "data/one", {"a": make_pixels(), "b": make_pixels()}, split="train")
    noise = np.random.default_rng(1).integers(0, 256, make_pixels().shape, dtype=np.uint8)
    write_set(tmp_path / "noise", {"b": noise})
    (folder / "b.png").write_bytes((tmp_path / "noise/b.png").read_bytes()[:30000])
    sets = [{"set": "one"}]
    assert main(["--config", config_of(tmp_path, tmp_path / "data", sets=sets)]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "b.png: expected a readable image" in captured.err
    assert not list((tmp_path / "out").glob("manifest*"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sets": []}, "sets: expected one or more"),
        ({"sets": [{"set": "one"}, {"set": "one"}]}, "one, one"),
        ({"shards": 0}, "shards"),
        ({"seed": -1}, "seed"),
        ({"jpeg_quality": 96}, "jpeg_quality"),
        ({"split": "every"}, "split: expected 'train'"),
        ({"tiles": {"side": 3}}, "unknown key tiles.side"),
        ({"sets": [{"set": "unheard-of"}]}, "unheard-of"),
        ({"sets": [{"set": "one"}], "split": "test"}, "found none in its test split"),
        ({"sets": [{"set": "one", "tiles_per_airplane": 0}]}, "expected tiles to cut"),
        ({"output": "/dev/null/out"}, "/dev/null/out: expected a folder that can be written"),
    ],
)
def test_invalid_settings_are_rejected(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], named: str
) -> None:
    assert main(["--config", config_of(tmp_path, data, **change)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert named in captured.err


@pytest.mark.parametrize("args", [["--ouput", "x"], ["--runner", "WalkingRunner"], ["--direct_num_workers", "many"]])
def test_unknown_options_are_rejected(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], args: list[str]
) -> None:
    assert main(["--config", config_of(tmp_path, data), *args]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert args[-2] in captured.err


def test_the_command_in_a_process_of_its_own() -> None:
    args = [sys.executable, "-m", "model.datagen", "--config", "nowhere.yaml"]
    done = subprocess.run(args, capture_output=True, text=True, env=dict(os.environ), check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("model.datagen: nowhere.yaml: expected a readable YAML config")


def test_the_configs_of_the_project_are_valid() -> None:
    files = sorted(Path("configs/datagen").glob("*.yaml"))
    assert files
    for file in files:
        config = load_yaml(DatagenConfig, file)
        assert config.split == "train"
