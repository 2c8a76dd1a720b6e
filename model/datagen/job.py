"""The tile job: its settings, its steps as plain functions, and the thin Beam graph around them.

Tiles are planned before the graph starts. Each file is then cut and written by one worker: no pixels are shuffled, and
the same settings give the same bytes on any runner.
"""

import dataclasses
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import apache_beam as beam
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineRunner

from geo.errors import ConfigError
from model.data import sources, tfrecord
from model.data.sources import FORMER_SPLITS, Split
from model.data.tfrecord import Tile
from model.datagen import files, tiles
from model.datagen.tiles import ImageTiles, SetConfig, SetPlan, TileConfig

MANIFEST = "manifest.json"
_RECORDS = "*.tfrecord"
_ZERO_COUNTS = dict.fromkeys(("tiles", "tiles_with_airplanes", "tiles_without_airplanes", "boxes", "ignored"), 0)


@dataclasses.dataclass(frozen=True, slots=True)
class DatagenConfig:
    """The settings of the job, as the files of `configs/datagen/` hold them.

    Attributes:
        data: folder of the data sets, local or of a scheme that Beam knows, such as `gs://`.
        sets: the sets, and how many tiles are cut from each.
        output: folder for the TFRecord files and the manifest, likewise.
        split: the images to cut: `train`, unless tiles are wanted that no training may use.
        tiles: how tiles are placed.
        jpeg_quality: quality of the tiles, 1 to 95.
        shards: files to write; fewer where there are fewer images.
        seed: seed of every draw.
    """

    data: str
    sets: tuple[SetConfig, ...]
    output: str
    split: Split = "train"
    tiles: TileConfig = dataclasses.field(default_factory=TileConfig)
    jpeg_quality: int = 90
    shards: int = 16
    seed: int = 1

    FORMER_VALUES: ClassVar[Mapping[str, Mapping[str, str]]] = {"split": FORMER_SPLITS}

    def __post_init__(self) -> None:
        names = [set_config.set for set_config in self.sets]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"sets: expected one or more, each once, got {', '.join(names) or 'none'}")
        if not 1 <= self.jpeg_quality <= 95:
            raise ValueError(f"jpeg_quality: expected a whole number from 1 to 95, got {self.jpeg_quality}")
        if self.shards < 1:
            raise ValueError(f"shards: expected a whole number from 1 on, got {self.shards}")
        if self.seed < 0:
            raise ValueError(f"seed: expected a whole number from 0 on, got {self.seed}")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """A file to write: its name, and its images in their order."""

    file: str
    images: tuple[ImageTiles, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class WrittenShard:
    """A written file, with the counts of each set."""

    file: str
    counts: dict[str, dict[str, int]]


def run(
    config: DatagenConfig, plans: Mapping[str, SetPlan], runner: PipelineRunner, options: PipelineOptions
) -> dict[str, Any]:
    """Run the job and return the manifest that it wrote.

    Args:
        config: the settings.
        plans: the plans of `plan_sets`.
        runner: Beam's runner.
        options: Beam's options.

    Raises:
        RasterError: an image cannot be read.
    """
    with beam.Pipeline(runner=runner, options=options) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(make_shards(plans, config.shards))
            | "Redistribute" >> beam.Reshuffle()
            | "WriteShards" >> beam.Map(write_shard, config)
            | "Gather" >> beam.combiners.ToList()
            | "SumCounts" >> beam.Map(make_manifest, count_planned(plans), config)
            | "WriteManifest" >> beam.Map(write_manifest, config)
        )
    return read_manifest(config)


def check_output(config: DatagenConfig) -> None:
    """Reject an output folder that cannot be written, or already holds records: they would be mixed with the new ones.

    Raises:
        ConfigError: the folder cannot be written, or holds records.
    """
    for pattern in (_RECORDS, MANIFEST):
        if existing := files.list_files(files.join(config.output, pattern)):
            raise ConfigError(
                f"output: expected a folder without records, found {existing[0]}: remove them, or name another"
            )
    files.check_writable(config.output)


def plan_sets(config: DatagenConfig) -> dict[str, SetPlan]:
    """Plan the tiles of every set; the plans by its name.

    Raises:
        ConfigError: labels or images are missing, or there are no tiles to cut.
        RasterError: an image cannot be read.
    """
    plans = {set_config.set: _plan_set(set_config, config) for set_config in config.sets}
    if not any(plan.with_planned or plan.without_planned for plan in plans.values()):
        raise ConfigError("sets: expected tiles to cut, the settings ask for none, or the images have no room for any")
    return plans


def _plan_set(set_config: SetConfig, config: DatagenConfig) -> SetPlan:
    uri = files.join(config.data, set_config.set)
    with files.local_folder(uri) as folder:
        images = sources.read_annotated_images(folder, config.split)
        if not images:
            raise ConfigError(f"{uri}: expected images to cut tiles from, found none in its {config.split} split")
        named = {f"{set_config.set}/{image.path.relative_to(folder).as_posix()}": image for image in images}
        return tiles.plan_tiles_of_set(named, set_config, config.tiles, config.seed)


def make_shards(plans: Mapping[str, SetPlan], max_files: int) -> list[Shard]:
    """Distribute the images of all sets over at most `max_files` files."""
    assigned = tiles.assign_to_files([image for plan in plans.values() for image in plan.images], max_files)
    return [
        Shard(f"tiles-{number:05d}-of-{len(assigned):05d}.tfrecord", images) for number, images in enumerate(assigned)
    ]


def write_shard(shard: Shard, config: DatagenConfig) -> WrittenShard:
    """Cut the tiles of one file and write it atomically.

    Raises:
        RasterError: an image cannot be read.
    """
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / shard.file
        with tf.io.TFRecordWriter(str(local)) as writer:
            for planned in shard.images:
                for tile in _fetch_and_cut(planned, config):
                    writer.write(tfrecord.encode_tile(tile, config.jpeg_quality))
                    counts.setdefault(planned.set, Counter()).update(_count_tile(tile))
        files.write_atomically(files.join(config.output, shard.file), local)
    return WrittenShard(shard.file, {name: dict(of_set) for name, of_set in counts.items()})


def _fetch_and_cut(planned: ImageTiles, config: DatagenConfig) -> Iterator[Tile]:
    with files.local_file(files.join(config.data, planned.name)) as path:
        image = dataclasses.replace(planned.image, path=path)
        yield from tiles.cut_tiles(dataclasses.replace(planned, image=image), config.tiles.side_px)


def _count_tile(tile: Tile) -> dict[str, int]:
    with_airplanes = len(tile.crop.boxes) > 0
    return {
        "tiles": 1,
        "tiles_with_airplanes": int(with_airplanes),
        "tiles_without_airplanes": int(not with_airplanes),
        "boxes": len(tile.crop.boxes),
        "ignored": len(tile.crop.ignored),
    }


def count_planned(plans: Mapping[str, SetPlan]) -> dict[str, dict[str, int]]:
    """Count what is known of each set before it is cut."""
    return {
        name: {
            "images": len(plan.images),
            "images_with_tiles": sum(len(planned.corners) > 0 for planned in plan.images),
            "airplanes": sum(len(planned.image.boxes) for planned in plan.images),
            "asked_with_airplanes": plan.with_asked,
            "asked_without_airplanes": plan.without_asked,
        }
        for name, plan in plans.items()
    }


def make_manifest(
    shards: Sequence[WrittenShard], planned: Mapping[str, Mapping[str, int]], config: DatagenConfig
) -> dict[str, Any]:
    """Build the manifest: settings, counts by set and in total, and tiles by file.

    Args:
        shards: the written files, in any order.
        planned: the counts of `count_planned`.
        config: the settings.
    """
    sets = {name: Counter(dict(counts) | _ZERO_COUNTS) for name, counts in planned.items()}
    for shard in shards:
        for name, counts in shard.counts.items():
            sets[name].update(counts)
    total = {key: sum(counts[key] for counts in sets.values()) for key in next(iter(sets.values()))}
    return {
        "settings": dataclasses.asdict(config),
        "total": total,
        "sets": {name: dict(counts) for name, counts in sets.items()},
        "files": {
            shard.file: sum(counts["tiles"] for counts in shard.counts.values())
            for shard in sorted(shards, key=lambda shard: shard.file)
        },
    }


def write_manifest(content: Mapping[str, Any], config: DatagenConfig) -> None:
    """Write the manifest, after all files: its presence says that they are complete."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / MANIFEST
        local.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        files.write_atomically(files.join(config.output, MANIFEST), local)


def read_manifest(config: DatagenConfig) -> dict[str, Any]:
    """Read what `write_manifest` has written."""
    with files.local_file(files.join(config.output, MANIFEST)) as local:
        return dict(json.loads(local.read_text(encoding="utf-8")))
