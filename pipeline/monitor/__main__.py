"""Airport monitoring: `python -m pipeline.monitor run --airports FILE --source SOURCE --store DIR`.

Exit status: 0 every scene is complete; 1 some scene failed, or another run is at work; 2 the command is wrong, before
any work starts; 130 interrupted with Ctrl-C.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from geo.errors import CommandError, FinderError
from geo.raster.uri import is_remote
from model.common import logs
from model.common.command import Parser, command, print_error

if TYPE_CHECKING:
    from pipeline.monitor.airports import Airport
    from pipeline.monitor.detection import Detector
    from pipeline.monitor.scenes import ListScenes
    from pipeline.monitor.settings import MonitorSettings
    from pipeline.monitor.store import Store

NAME = "python -m pipeline.monitor"


@command(NAME)
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    logs.silence()
    arguments = sys.argv[1:] if argv is None else list(argv)
    options, rest = _parser().parse_known_args(arguments)
    if options.command == "run":
        run_command = _parse_run(options, rest)
        try:
            return _run(run_command)
        except FinderError as error:
            return print_error(NAME, error, 1)
    if rest:
        raise CommandError(f"unrecognized arguments: {' '.join(rest)}: see --help")
    if options.command == "report":
        return _report(options)
    if options.command == "load":
        return _load(options)
    from pipeline.monitor import airport_commands

    commands = {"add": airport_commands.add, "list": airport_commands.show, "check": airport_commands.check}
    return commands[options.action](options)


@dataclasses.dataclass(frozen=True, slots=True)
class RunCommand:
    """A valid `run` command.

    Attributes:
        airports: the airports.
        settings: the settings of monitoring.
        list_scenes: lists the scenes of the source.
        detector: the model.
        store: the store.
        now: the time of the run: until when scenes are taken.
        reprocess: process stored scenes again.
        report: folder of the report, or None.
        beam: Beam's options as words, checked.
    """

    airports: tuple[Airport, ...]
    settings: MonitorSettings
    list_scenes: ListScenes
    detector: Detector
    store: str
    now: datetime.datetime
    reprocess: bool
    report: str | None
    beam: tuple[str, ...]


def _parse_run(options: argparse.Namespace, beam: Sequence[str]) -> RunCommand:
    """Return the command of the options; makes the folder of the store.

    Raises:
        FinderError: an option, a file, the source or the store is invalid.
    """
    from pipeline.command import check_unknown
    from pipeline.config import DEFAULT_CONFIG, load_config
    from pipeline.monitor import airports, scenes, settings

    check_unknown(beam, [*_option_names(_parser()), "--runner"], "quote patterns, and write --airports before a file")
    monitored = airports.load_airports(options.airports)
    monitor_settings = settings.load_settings(options.config or settings.DEFAULT_SETTINGS)
    config = load_config(options.pipeline_config or DEFAULT_CONFIG, {"model": options.model})
    limits = scenes.parse_limits(options.since, options.until)
    list_scenes = scenes.open_source(options.source, config, tuple(options.collection), limits)
    if beam:
        _check_beam(beam, options.store)
    from pipeline.model_loading import describe_model
    from pipeline.monitor import alerts, detection, lock
    from pipeline.sinks import storage

    detector = detection.with_weak_score(describe_model(config, options.trust_model), monitor_settings.weak_score)
    if monitor_settings.webhook:
        alerts.webhook_url(monitor_settings.webhook)
    heartbeat = f"{options.store.rstrip('/')}/{lock.HEARTBEAT}"
    storage.check_uri(heartbeat, "--store")
    storage.check_writable(heartbeat)
    if options.report:
        _check_report(options.report)
    return RunCommand(
        airports=monitored,
        settings=monitor_settings,
        list_scenes=list_scenes,
        detector=detector,
        store=options.store,
        now=limits.until or datetime.datetime.now(datetime.UTC),
        reprocess=options.reprocess,
        report=options.report,
        beam=tuple(beam),
    )


def _check_beam(words: Sequence[str], store: str) -> None:
    from model.datagen import beam_options

    options = beam_options.parse(words)
    beam_options.runner(options)
    beam_options.check_waits(options)
    if beam_options.is_dataflow(options):
        from pipeline import dataflow

        dataflow.check_options(options, None, has_tables=False)
        dataflow.check_reachable((), (store,))


def _run(command: RunCommand) -> int:
    """Run the command; return its exit status."""
    from pipeline.monitor import alerts, detection, lock, run
    from pipeline.monitor import store as stores

    run_id = uuid.uuid4().hex[:12]
    if command.beam:
        # Workers on other machines cannot write to this one.
        folder = f"{command.store.rstrip('/')}/jobs/{run_id}" if is_remote(command.store) else None
        detect = detection.detect_with_beam(command.detector, command.beam, folder)
    else:
        detect = detection.detect_locally(command.detector)
    with lock.running(command.store, run_id) as current:
        store = stores.Store(command.store)
        store.remove_remains()
        results = run.run_airports(
            command.airports,
            command.list_scenes,
            detect,
            store,
            command.settings,
            command.detector.spec.identity,
            command.reprocess,
            current.report,
        )
        print("\n".join(run.summary_lines(results)))
        record = run.raise_alerts(results, store, command.settings, command.now)
        record = alerts.deliver(record, store, command.settings.webhook, sys.stdout, sys.stderr)
        if command.report:
            current.report("writing the report")
            print(
                f"report: {_write_report(command.report, command.airports, store, command.detector.spec.config.bands)}"
            )
        failures = [failure for result in results for failure in result.failed]
        for failure in failures:
            print(f"failed: {failure}", file=sys.stderr)
        current.exit_status = 1 if failures or any(event.state == "failed" for event in record) else 0
    return current.exit_status


def _report(options: argparse.Namespace) -> int:
    """Write the report of what is stored, without a run.

    Raises:
        FinderError: a file, the store or the folder is invalid.
    """
    from pipeline.config import DEFAULT_CONFIG, load_config
    from pipeline.monitor.airports import load_airports
    from pipeline.monitor.store import Store

    config = load_config(options.pipeline_config or DEFAULT_CONFIG, {})
    _check_report(options.report)
    print(_write_report(options.report, load_airports(options.airports), Store(options.store), config.bands))
    return 0


def _load(options: argparse.Namespace) -> int:
    """Load the tables of a store into BigQuery.

    Raises:
        FinderError: the dataset or the store is invalid, or BigQuery refuses.
    """
    from pipeline.monitor import bigquery
    from pipeline.monitor.store import Store

    dataset = bigquery.parse_dataset(options.dataset, options.project)
    for table, rows in bigquery.load(Store(options.store), dataset):
        print(f"{options.dataset}.{table}: {rows} rows")
    return 0


def _check_report(folder: str) -> None:
    from pipeline.monitor.report import FILE_NAME
    from pipeline.sinks import storage

    storage.check_uri(f"{folder}/{FILE_NAME}", "--report")
    storage.check_writable(f"{folder}/{FILE_NAME}")


def _write_report(folder: str, airports: Sequence[Airport], store: Store, bands: tuple[int, ...] | None) -> str:
    from pipeline.monitor import alerts, report, run

    events = [event for event in alerts.read_events(store) if not event.withdrawn]
    reports = [
        report.AirportReport(
            airport=airport,
            tables=run.load_tables(store, airport.id),
            scenes=store.scenes(airport.id),
            events=[event for event in events if event.airport == airport.id],
        )
        for airport in airports
    ]
    return report.write_report(folder, reports, bands)


def _parser() -> Parser:
    parser = Parser(
        prog=NAME, description="Counts the airplanes at airports in every new scene, and reports what has changed."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_run(commands.add_parser("run", help="process new scenes", epilog="All other options are passed to Beam."))
    report = commands.add_parser("report", help="write monitor.html for a store")
    report.add_argument("--airports", type=Path, required=True, metavar="FILE", help="airports, YAML or GeoJSON")
    report.add_argument("--store", required=True, metavar="DIR", help="the store of a run")
    report.add_argument("--report", required=True, metavar="DIR", help="folder for monitor.html, local or gs://")
    report.add_argument("--pipeline-config", type=Path, metavar="FILE", help="settings of detection: bands to show")
    load = commands.add_parser("load", help="load the tables of a store into BigQuery, with views")
    load.add_argument("--store", required=True, metavar="DIR", help="the store of a run")
    load.add_argument(
        "--dataset", required=True, metavar="bq://PROJECT.DATASET", help="an existing dataset that holds nothing else"
    )
    load.add_argument("--project", metavar="ID", help="project that pays for the load jobs (default: the dataset's)")
    airports = commands.add_parser("airports", help="edit, list and check a file of airports")
    actions = airports.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", help="add an airport to a file; the file is created if it does not exist")
    for action, text in ((add, None), ("list", "list the airports of a file"), ("check", "check a file of airports")):
        sub = action if isinstance(action, Parser) else actions.add_parser(str(action), help=text)
        sub.add_argument("--airports", type=Path, required=True, metavar="FILE", help="airports, YAML or GeoJSON")
    add.add_argument("--name", required=True, help="name of the airport")
    add.add_argument("--icao", help="code of four letters")
    add.add_argument("--iata", help="code of three letters")
    add.add_argument("--id", help="identifies it in the store (default: the IATA code, or else the ICAO code)")
    add.add_argument("--centre", type=float, nargs=2, metavar=("LON", "LAT"), help="degrees, longitude first")
    add.add_argument("--radius-m", type=float, metavar="M", help="radius around the centre, metres")
    add.add_argument("--polygon", type=Path, metavar="FILE", help="vector file with one polygon, instead of a centre")
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--airports", type=Path, required=True, metavar="FILE", help="airports, YAML or GeoJSON")
    add("--source", required=True, help="STAC API, STAC file or its URL, folder, glob, or gs://bucket/prefix")
    add("--store", required=True, metavar="DIR", help="folder of the results, local or gs://bucket/folder")
    add("--report", metavar="DIR", help="write DIR/monitor.html after the run")
    add("--config", type=Path, metavar="FILE", help="settings of monitoring (default: configs/monitor/default.yaml)")
    add("--pipeline-config", type=Path, metavar="FILE", help="settings of detection, as --config of pipeline.run")
    add("--model", metavar="NAME|PATH", help="as --model of pipeline.run")
    add("--trust-model", action="store_true", help="load a SavedModel, although it can run code")
    add("--collection", action="append", default=[], metavar="ID", help="collection of a STAC API; repeatable")
    add("--since", metavar="TIME", help="only scenes acquired from this time on, such as 2026-01-01")
    add("--until", metavar="TIME", help="only scenes acquired up to this time, or to the end of this day")
    add("--reprocess", action="store_true", help="process stored scenes again, such as with a new model")


def _option_names(parser: argparse.ArgumentParser) -> list[str]:
    sub = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return list(sub.choices["run"]._option_string_actions)


if __name__ == "__main__":
    sys.exit(main())
