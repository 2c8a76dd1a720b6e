"""The command line of the main job: arguments to checked values. Opens only lists, STAC files, config and AOI.

Imports little, and Beam or geopandas only for a command that names options of Beam or an area: most mistakes are
reported at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import functools
import math
import uuid
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from geo.errors import CommandError, ConfigError, InputError, OutputError
from geo.raster.uri import canonical_uri, is_remote, redacted
from model.common.command import Parser
from pipeline import report
from pipeline.resources import Gpu, find_gpu
from pipeline.sinks import SUFFIXES, file_suffix, is_table, storage

if TYPE_CHECKING:
    from geo.aoi import AreaOfInterest
    from pipeline.config import PipelineConfig
    from pipeline.values import SceneSource

LEDGER_FILE = "ledger.json"
AIRPLANES_FILE = "airplanes.geojson"
MOSAIC_SUFFIX = ".mosaic.vrt"
# An unknown option this similar to one of this command is a misspelling: Beam has none as similar (by test).
MISSPELLED = 0.8


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A valid command.

    Attributes:
        sources: the scenes, each once.
        run_id: identifies the run.
        outputs: files for the airplanes, each once, local or `gs://`, and tables (`bq://`).
        ledger: file for the ledger, local or `gs://`.
        report: folder for the report, local or `gs://`, or None.
        plan: print the plan and stop.
        max_cost: the most that a run on Dataflow may cost by its estimate, USD; None: anything.
        work_dir: folder of the tile cache, local or `gs://`, to resume from; None: nothing is cached.
        area: area of interest; None: everything.
        mosaic: file for the VRT over all inputs, as one scene; None: each input is a scene.
        config: settings, with the overrides of the command line.
        trusted: a SavedModel may be loaded, although it can run code.
        beam: Beam's options as words, checked; see `model.datagen.beam_options`.
        gpu: the GPU on which the detector is to run; None: a CPU, or the GPU of this machine.
        dataflow: the job runs on Dataflow.
    """

    sources: tuple[SceneSource, ...]
    run_id: str
    outputs: tuple[str, ...]
    ledger: str
    report: str | None
    plan: bool
    max_cost: float | None
    work_dir: str | None
    area: AreaOfInterest | None
    mosaic: Path | None
    config: PipelineConfig
    trusted: bool
    beam: tuple[str, ...]
    gpu: Gpu | None
    dataflow: bool


def parse(argv: Sequence[str]) -> Command:
    """Return the command of the arguments; creates missing folders of the outputs.

    Raises:
        FinderError: an option, an input, an output or the config is invalid.
    """
    parser = make_parser()
    options, beam = parser.parse_known_args(argv)
    check_unknown(
        beam, [*parser._option_string_actions, "--runner"], "write --input before each input, and quote patterns"
    )
    from pipeline.config import DEFAULT_CONFIG, load_config
    from pipeline.sources.resolve import check_utf8, resolve_inputs

    for argument in argv:
        check_utf8(argument)
    outputs = tuple(dict.fromkeys(options.output))
    folder = options.report
    if folder and all(is_table(output) for output in outputs):
        outputs += (f"{folder}/{AIRPLANES_FILE}",)  # the report is made from a file
    run_id = uuid.uuid4().hex[:12]
    ledger = f"{folder}/{LEDGER_FILE}" if folder else _ledger_beside(outputs, run_id)
    overrides = {"model": options.model, "min_score": options.min_score, "force": options.force or None}
    config_file = options.config or str(DEFAULT_CONFIG)
    with storage.readable(config_file, "--config") as path:
        config = load_config(path, overrides)
    sources = resolve_inputs(options.input, config.asset, config.acquired_in_name)
    gpu = find_gpu(options.gpu) if options.gpu else None
    is_on_dataflow = bool(beam) and _check_beam(beam, gpu, any(map(is_table, outputs)))
    command = Command(
        sources=sources,
        run_id=run_id,
        outputs=outputs,
        ledger=ledger,
        report=folder,
        plan=options.plan,
        max_cost=options.max_cost,
        work_dir=options.work_dir,
        area=_read_area(options.aoi) if options.aoi else None,
        mosaic=_mosaic(outputs) if options.mosaic else None,
        config=config,
        trusted=options.trust_model,
        beam=tuple(beam),
        gpu=gpu,
        dataflow=is_on_dataflow,
    )
    if is_on_dataflow:
        from pipeline.dataflow import check_reachable

        check_reachable(sources, map(str, filter(None, (*outputs, ledger, command.mosaic, command.work_dir))))
    read = (*(source.uri for source in command.sources), *options.input, options.aoi, config_file)
    _check_not_read((*outputs, ledger, command.mosaic), filter(None, read))
    optional = (
        f"{folder}/{report.FILE_NAME}" if folder else None,
        command.mosaic,
        f"{command.work_dir}/tile.json" if command.work_dir else None,  # any name: the folder must be writable
    )
    tables = [output for output in outputs if is_table(output)]
    if tables:
        _check_tables(tables, command)
    for path in (*outputs, ledger, *filter(None, optional)):
        if path not in tables:
            storage.check_writable(str(path))
    return command


def _check_beam(words: Sequence[str], gpu: Gpu | None, has_tables: bool) -> bool:
    """Check Beam's options, and return whether the job runs on Dataflow.

    Raises:
        CommandError: an option is unknown, missing, or does not go with another.
    """
    from model.datagen import beam_options

    options = beam_options.parse(words)
    beam_options.runner(options)
    if not beam_options.is_dataflow(options):
        return False
    from pipeline import dataflow

    dataflow.check_options(options, gpu, has_tables)
    return True


def _ledger_beside(outputs: Sequence[str], run_id: str) -> str:
    """Return the ledger's path beside the first file, or in the working directory if every output is a table."""
    files = [output for output in outputs if not is_table(output)]
    return f"{files[0]}.{LEDGER_FILE}" if files else f"ledger-{run_id}.json"


def _check_tables(uris: Sequence[str], command: Command) -> None:
    """Check that tables can be loaded and written.

    Raises:
        OutputError: no bucket for the files to load, or a table cannot be written.
    """
    from model.datagen import beam_options
    from pipeline.sinks import bigquery

    cloud = beam_options.parse(command.beam).get_all_options()
    folder = cloud["temp_location"] or ""
    if not folder.startswith("gs://"):
        raise OutputError(
            f"--output {uris[0]}: expected --temp_location gs://bucket/folder, from which BigQuery loads the rows, got "
            f"{folder or 'none'}: add one"
        )
    for uri in uris:
        bigquery.check_table(bigquery.parse_table(uri, cloud["project"]), command.area)
    # Last: without credentials, which the others need, too, Beam waits for them here.
    storage.check_writable(f"{folder.rstrip('/')}/{command.run_id}")


def check_unknown(words: Sequence[str], options: Sequence[str], remedy: str) -> None:
    """Refuse words of a command that cannot be for Beam, without loading it.

    Args:
        words: the words that are no options of this command.
        options: the options of this command, and some of Beam's.
        remedy: what to do about a word that is no option.

    Raises:
        CommandError: a word belongs to no option, or an option is misspelled.
    """
    if words and not words[0].startswith("-"):
        raise CommandError(f"expected options, got {words[0]}: {remedy}: see --help")
    for word in words:
        name = word.partition("=")[0]
        similar = difflib.get_close_matches(name, options, 1, MISSPELLED) if name.startswith("--") else []
        if similar and name not in options:
            raise CommandError(f"expected an option, got {word}: did you mean {similar[0]}? see --help")


def _read_area(uri: str) -> AreaOfInterest:
    with storage.readable(uri, "--aoi") as path:
        return read_area(path)


def read_area(path: Path) -> AreaOfInterest:
    """Read all polygons of a vector file in any format of GDAL: GeoJSON, GeoPackage, FlatGeobuf, Shapefile, KML, ...

    Raises:
        InputError: no such file, not a vector file, more than one layer, no CRS, or no polygons.
    """
    # Slow to import, and most runs have no area.
    import geopandas
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError
    from shapely.errors import ShapelyError

    from geo.aoi import build_aoi

    damaged = (DataSourceError, DataLayerError, FeatureError, GeometryError, ShapelyError, OSError, ValueError)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # GDAL's, of two lines; what matters is raised below
            layers = [str(name) for name, _ in pyogrio.list_layers(path)]
            frame = (
                geopandas.read_file(path, layer=layers[0]) if layers else geopandas.GeoDataFrame(geometry=[], crs=4326)
            )
    except damaged as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"--aoi {path}: expected a vector file such as GeoJSON, got {cause}: fix the path or the file"
        ) from error
    if len(layers) > 1:
        raise InputError(f"--aoi {path}: expected one layer, got {', '.join(layers)}: write one to a file of its own")
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise InputError(f"--aoi {path}: expected polygons, got a table without geometry: name a file with an area")
    if frame.crs is None:
        raise InputError(f"--aoi {path}: expected an area with a CRS, got none: write it, e.g. with ogr2ogr -a_srs")
    try:
        return build_aoi(list(frame.geometry), frame.crs)
    except ConfigError as error:
        raise InputError(f"--aoi {path}: {error}") from error


def make_parser() -> Parser:
    """Return the parser of the command; it also says what the Flex Template takes."""
    parser = Parser(
        prog="python -m pipeline.run",
        description="Detects airplanes in georeferenced imagery and writes them as polygons in lon/lat.",
        epilog="All other options are passed to Beam: --runner, --project, --region, --temp_location, ...",
    )
    add = parser.add_argument
    add(
        "--input",
        action="append",
        required=True,
        metavar="PATTERN",
        help="raster, STAC file, URL of either, folder, glob or .txt list; repeatable",
    )
    add(
        "--output",
        type=_output,
        action="append",
        required=True,
        metavar="PATH",
        help=f"file for the airplanes, local or gs://: {', '.join(SUFFIXES)}; or BigQuery table, "
        "bq://project.dataset.table; repeatable",
    )
    add("--config", type=_file, metavar="FILE", help="settings (default: configs/pipeline/default.yaml)")
    add("--model", metavar="NAME|PATH", help="packaged model, model folder or SavedModel (default: from the settings)")
    add("--trust-model", action="store_true", help="load a SavedModel, although it can run code")
    add("--min-score", type=_score, metavar="S", help="minimum score, 0..1 (default: the model's)")
    add("--aoi", type=_file, metavar="FILE", help="area of interest: vector file with polygons (default: everything)")
    add("--mosaic", action="store_true", help="treat the inputs as adjacent parts of one scene")
    add("--force", action="store_true", help="process scenes that are too coarse for airplanes, too")
    add(
        "--report",
        type=functools.partial(_folder, option="--report"),
        metavar="DIR",
        help=f"folder for {report.FILE_NAME} and {LEDGER_FILE}",
    )
    add(
        "--work-dir",
        type=functools.partial(_folder, option="--work-dir"),
        metavar="DIR",
        help="folder that caches results, to resume an interrupted run",
    )
    add("--gpu", metavar="TYPE", help="GPU on which workers run the model, such as nvidia-l4 (Dataflow)")
    add("--plan", action="store_true", help="print tiles, pixels, ground area, hours and cost of the run, and stop")
    add("--max-cost", type=_cost, metavar="USD", help="refuse a run on Dataflow that may cost more, before it starts")
    return parser


def _output(text: str) -> str:
    if is_table(text):
        from pipeline.sinks import bigquery  # imports shapely and more

        bigquery.parse_table(text)
        return text
    storage.check_uri(text, "--output")
    if file_suffix(text) is None:
        got = f"'{Path(text).suffix}'" if Path(text).suffix else "no suffix"
        raise OutputError(
            f"--output {text}: expected the suffix {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, got {got}: "
            f"name a file such as x{SUFFIXES[0]}"
        )
    return text if is_remote(text) else str(Path(text))


def _mosaic(outputs: Sequence[str]) -> Path:
    local = [output for output in outputs if not is_remote(output)]
    if not local:
        raise OutputError(
            f"--mosaic: expected a local --output, beside which the mosaic is written, got {outputs[0]}: add one"
        )
    return Path(f"{local[0]}{MOSAIC_SUFFIX}")


def _check_not_read(written: Iterable[str | Path | None], read: Iterable[str | Path]) -> None:
    """Reject outputs that would overwrite a file that the command reads."""
    names = {canonical_uri(str(uri)): uri for uri in read}
    for uri in filter(None, written):
        if canonical_uri(str(uri)) in names:
            raise OutputError(
                f"{uri}: expected an output other than the files to read, got {names[canonical_uri(str(uri))]} "
                "for both: name another file"
            )


def _file(text: str) -> str:
    # Path("") is the working directory, but an empty argument is more likely an unset shell variable.
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty argument")
    return text.rstrip("/") if is_remote(text) else str(Path(text))


def _folder(text: str, option: str) -> str:
    if is_remote(text) and not text.startswith("gs://"):
        raise OutputError(
            f"{option} {redacted(text)}: expected a local folder or gs://bucket/folder, got another URL: name a bucket"
        )
    return _file(text)


def _score(text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not 0 <= score <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text}")
    return score


def _cost(text: str) -> float:
    try:
        cost = float(text)
    except ValueError:
        cost = math.nan
    if not 0 <= cost < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of USD from 0 on, got {text}")
    return cost
