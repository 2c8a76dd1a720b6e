"""The command line of the main job, from words to checked values. Opens nothing but lists of scenes and STAC files."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineRunner

from geo.aoi import AreaOfInterest
from geo.raster.uri import is_remote
from model.datagen import beam_options
from pipeline import config as settings
from pipeline.aoi import read_area
from pipeline.config import PipelineConfig
from pipeline.errors import OutputError
from pipeline.report.page import FILE_NAME as REPORT_FILE
from pipeline.sinks import geojson
from pipeline.sinks.whole import check_writable
from pipeline.sources import resolve as sources
from pipeline.values import SceneSource

LEDGER_FILE = "ledger.json"
MOSAIC_SUFFIX = ".mosaic.vrt"
# Any name: what is asked is whether the folder can be written.
KEPT_FILE = "tile.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A command that makes sense.

    Attributes:
        sources: the scenes, each once.
        outputs: the files for the airplanes, each once.
        ledger: the file for the ledger.
        report: the folder for the report, or None.
        plan: only say what would be done.
        work_dir: the folder that keeps what is done, to go on with; None: nothing is kept.
        area: the area of interest; None: everything.
        mosaic: the file for the VRT of all scenes, which are parts of one; None: each is one.
        config: the settings, with what the command line overrides.
        trusted: the model may be a SavedModel, which can run code.
        runner: Beam's runner; DirectRunner, and none, mean Beam's in-process Python runner.
        beam: Beam's options.
    """

    sources: tuple[SceneSource, ...]
    outputs: tuple[Path, ...]
    ledger: Path
    report: Path | None
    plan: bool
    work_dir: Path | None
    area: AreaOfInterest | None
    mosaic: Path | None
    config: PipelineConfig
    trusted: bool
    runner: PipelineRunner
    beam: PipelineOptions


def parse(argv: Sequence[str]) -> Command:
    """Returns the command that the words make.

    Raises:
        FinderError: an option, an input, an output or the config is wrong.
    """
    for word in argv:
        sources.check_text(word)
    options, rest = _parser().parse_known_args(argv)
    beam = beam_options.parse(rest)
    outputs = tuple(dict.fromkeys(options.output))
    report = options.report
    ledger = report / LEDGER_FILE if report else outputs[0].with_name(f"{outputs[0].name}.{LEDGER_FILE}")
    overrides = {"model": options.model, "min_score": options.min_score, "force": options.force or None}
    config = settings.load_config(options.config, overrides)
    command = Command(
        sources=sources.scene_sources(options.input, config.asset, config.acquired_in_name),
        outputs=outputs,
        ledger=ledger,
        report=report,
        plan=options.plan,
        work_dir=options.work_dir,
        area=read_area(options.aoi) if options.aoi else None,
        mosaic=outputs[0].with_name(f"{outputs[0].name}{MOSAIC_SUFFIX}") if options.mosaic else None,
        config=config,
        trusted=options.trust_model,
        runner=beam_options.runner(beam),
        beam=beam,
    )
    kept = command.work_dir / KEPT_FILE if command.work_dir else None
    others = (report / REPORT_FILE if report else None, command.mosaic, kept)
    for path in (*outputs, ledger, *filter(None, others)):
        check_writable(path)
    return command


def _parser() -> beam_options.Parser:
    parser = beam_options.Parser(
        prog="python -m pipeline.run",
        description="Finds airplanes in georeferenced imagery and writes them as polygons on the map.",
        epilog="Every other option goes to Beam: --runner, --project, --region, --temp_location, ...",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--input",
        action="append",
        required=True,
        metavar="PATTERN",
        help="raster, STAC file, address of one, folder, glob or .txt list; repeatable",
    )
    add(
        "--output",
        type=_output,
        action="append",
        required=True,
        metavar="PATH",
        help=f"file to write, {geojson.SUFFIX}; repeatable",
    )
    add("--config", type=_path, default=settings.DEFAULT_CONFIG, metavar="FILE", help="settings (default: %(default)s)")
    add(
        "--model",
        metavar="NAME|PATH",
        help="packaged model, model folder or SavedModel (default: the settings')",
    )
    add("--trust-model", action="store_true", help="load a SavedModel, although it can run code")
    add(
        "--min-score",
        type=_score,
        metavar="S",
        help="leave out airplanes below this score, 0..1 (default: the model's)",
    )
    add("--aoi", type=_path, metavar="FILE", help="vector file with the polygons of interest (default: everything)")
    add("--mosaic", action="store_true", help="take the inputs for parts of one scene, which lie side by side")
    add("--force", action="store_true", help="look at scenes that are too coarse to see an airplane, too")
    add("--report", type=_path, metavar="DIR", help=f"folder for {REPORT_FILE} and {LEDGER_FILE}")
    add(
        "--work-dir",
        type=_folder,
        metavar="DIR",
        help="folder that keeps what is done: a run that was broken off goes on there",
    )
    add("--plan", action="store_true", help="only say what would be done: tiles, pixels, ground, hours; and stop")
    return parser


def _output(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != geojson.SUFFIX:
        got = f"'{path.suffix}'" if path.suffix else "no suffix"
        raise OutputError(
            f"--output {text}: expected the suffix {geojson.SUFFIX}, got {got}: name a file such as x{geojson.SUFFIX}"
        )
    return path


def _path(text: str) -> Path:
    # An empty word, as a shell makes of a variable that is not set, would mean the working directory.
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty word")
    return Path(text)


def _folder(text: str) -> Path:
    if is_remote(text):
        raise OutputError(f"--work-dir {text}: expected a folder, got an address: name a folder of this machine")
    return _path(text)


def _score(text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not 0 <= score <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text}")
    return score
