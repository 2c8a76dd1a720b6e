"""The steps of the job as plain functions: what to cut, the cutting of one file, and the manifest."""

import dataclasses
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from geo.errors import ConfigError
from model.data import sources, tfrecord, tiles
from model.data.tiles import PhotoTiles, SetConfig, SetPlan, Tile
from model.datagen import files
from model.datagen.config import DatagenConfig

MANIFEST = "manifest.json"
_RECORDS = "*.tfrecord"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """A file to write: its name, and its photos in their order."""

    file: str
    photos: tuple[PhotoTiles, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """A file that was written, with what was counted of each set."""

    file: str
    counts: dict[str, dict[str, int]]


def check_output(config: DatagenConfig) -> None:
    """Refuses a folder that cannot be written, or with records already: they would be taken for these.

    Raises:
        ConfigError: it is such a folder.
    """
    for pattern in (_RECORDS, MANIFEST):
        if found := files.matches(files.join(config.output, pattern)):
            raise ConfigError(
                f"output: expected a folder without records, found {found[0]}: remove them, or name another"
            )
    files.check_writable(config.output)


def plan(config: DatagenConfig) -> dict[str, SetPlan]:
    """Places the tiles of every set; the plans by its name.

    Raises:
        ConfigError: labels or photos that are not there, or no tiles to cut.
        RasterError: a photo that cannot be read.
    """
    plans = {wanted.set: _plan_set(wanted, config) for wanted in config.sets}
    if not any(one.with_planned or one.without_planned for one in plans.values()):
        raise ConfigError("sets: expected tiles to cut, the settings ask for none, or the photos have no room for any")
    return plans


def share(plans: Mapping[str, SetPlan], most: int) -> list[Shard]:
    """Deals the photos of all sets out to at most so many files."""
    dealt = tiles.dealt([photo for one in plans.values() for photo in one.photos], most)
    return [Shard(f"tiles-{number:05d}-of-{len(dealt):05d}.tfrecord", photos) for number, photos in enumerate(dealt)]


def write_shard(shard: Shard, config: DatagenConfig) -> Written:
    """Cuts the tiles of one file and writes it, whole or not at all.

    Raises:
        RasterError: a photo that cannot be read.
    """
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / shard.file
        with tf.io.TFRecordWriter(str(local)) as writer:
            for photo in shard.photos:
                for tile in cut(photo, config):
                    writer.write(tfrecord.encode(tile, config.jpeg_quality))
                    counts.setdefault(photo.set, Counter()).update(_counted(tile))
        files.write_atomically(files.join(config.output, shard.file), local)
    return Written(shard.file, {name: dict(some) for name, some in counts.items()})


def cut(photo: PhotoTiles, config: DatagenConfig) -> Iterator[Tile]:
    """Cuts the tiles of one photo, wherever it lies."""
    with files.local_file(files.join(config.data, photo.name)) as path:
        here = dataclasses.replace(photo, photo=dataclasses.replace(photo.photo, path=path))
        yield from tiles.cut(here, config.tiles.side_px)


def expected(plans: Mapping[str, SetPlan]) -> dict[str, dict[str, int]]:
    """What is known of each set before it is cut."""
    return {
        name: {
            "photos": len(one.photos),
            "photos_with_tiles": sum(len(photo.corners) > 0 for photo in one.photos),
            "airplanes": sum(len(photo.photo.boxes) for photo in one.photos),
            "asked_with_airplanes": one.with_asked,
            "asked_without_airplanes": one.without_asked,
        }
        for name, one in plans.items()
    }


def manifest(
    written: Sequence[Written], before: Mapping[str, Mapping[str, int]], config: DatagenConfig
) -> dict[str, Any]:
    """What the files hold, by set and together.

    Args:
        written: the files, in any order.
        before: what `expected` said of each set.
        config: the settings.
    """
    sets = {name: Counter(dict(known) | _NOTHING) for name, known in before.items()}
    for one in written:
        for name, counts in one.counts.items():
            sets[name].update(counts)
    total = {key: sum(counts[key] for counts in sets.values()) for key in next(iter(sets.values()))}
    return {
        "settings": dataclasses.asdict(config),
        "total": total,
        "sets": {name: dict(counts) for name, counts in sets.items()},
        "files": {
            one.file: sum(counts["tiles"] for counts in one.counts.values())
            for one in sorted(written, key=lambda one: one.file)
        },
    }


def write_manifest(content: Mapping[str, Any], config: DatagenConfig) -> None:
    """Writes the manifest beside the files; it comes last, since it vouches for them."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / MANIFEST
        local.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        files.write_atomically(files.join(config.output, MANIFEST), local)


def read_manifest(config: DatagenConfig) -> dict[str, Any]:
    """What `write_manifest` has written."""
    with files.local_file(files.join(config.output, MANIFEST)) as local:
        return dict(json.loads(local.read_text(encoding="utf-8")))


def _plan_set(wanted: SetConfig, config: DatagenConfig) -> SetPlan:
    uri = files.join(config.data, wanted.set)
    with files.local_folder(uri) as folder:
        read = sources.read_photos(folder, config.split)
        if not read:
            raise ConfigError(f"{uri}: expected photos to cut tiles from, found none in its {config.split} split")
        photos = {f"{wanted.set}/{photo.path.relative_to(folder).as_posix()}": photo for photo in read}
        return tiles.plan(photos, wanted, config.tiles, config.seed)


_NOTHING = dict.fromkeys(("tiles", "tiles_with_airplanes", "tiles_without_airplanes", "boxes", "ignored"), 0)


def _counted(tile: Tile) -> dict[str, int]:
    with_airplanes = len(tile.crop.boxes) > 0
    return {
        "tiles": 1,
        "tiles_with_airplanes": int(with_airplanes),
        "tiles_without_airplanes": int(not with_airplanes),
        "boxes": len(tile.crop.boxes),
        "ignored": len(tile.crop.ignored),
    }
