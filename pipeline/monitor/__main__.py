"""Airport monitoring: `python -m pipeline.monitor run --airports FILE --source SOURCE --store DIR`.

Exit status: 0 every scene is complete; 1 some scene failed, or another run is at work; 2 the command is wrong, before
any work starts; 130 interrupted with Ctrl-C.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

from geo.errors import CommandError, FinderError
from model.common import logs
from model.common.command import Parser, command, print_error

NAME = "python -m pipeline.monitor"


@command(NAME)
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    logs.silence()
    arguments = sys.argv[1:] if argv is None else list(argv)
    options, rest = _parser().parse_known_args(arguments)
    if options.command == "run":
        return _run(options, rest)
    if rest:
        raise CommandError(f"unrecognized arguments: {' '.join(rest)}: see --help")
    from pipeline.monitor import airport_commands

    commands = {"add": airport_commands.add, "list": airport_commands.show, "check": airport_commands.check}
    return commands[options.action](options)


def _run(options: argparse.Namespace, beam: Sequence[str]) -> int:
    from pipeline.command import check_unknown
    from pipeline.config import DEFAULT_CONFIG, load_config
    from pipeline.monitor import airports, scenes, settings

    check_unknown(beam, [*_option_names(_parser()), "--runner"], "quote patterns, and write --airports before a file")
    monitored = airports.load_airports(options.airports)
    monitor_settings = settings.load_settings(options.config or settings.DEFAULT_SETTINGS)
    config = load_config(options.pipeline_config or DEFAULT_CONFIG, {"model": options.model})
    limits = scenes.parse_limits(options.since, options.until)
    list_scenes = scenes.open_source(options.source, config, tuple(options.collection), limits)
    from pipeline.model_loading import describe_model
    from pipeline.monitor import delivery, detection, run
    from pipeline.monitor.store import Store
    from pipeline.sinks import storage

    detector = detection.with_weak_score(describe_model(config, options.trust_model), monitor_settings.weak_score)
    storage.check_uri(f"{options.store}/heartbeat.json", "--store")
    storage.check_writable(f"{options.store}/heartbeat.json")
    detect = detection.detect_with_beam(detector, beam) if beam else detection.detect_locally(detector)
    if monitor_settings.webhook:
        delivery.webhook_url(monitor_settings.webhook)
    try:
        store = Store(options.store)
        store.remove_remains()
        results = run.run_airports(
            monitored,
            list_scenes,
            detect,
            store,
            monitor_settings,
            detector.spec.identity,
            reprocess=options.reprocess,
        )
        print("\n".join(run.summary_lines(results)))
        now = limits.until or datetime.datetime.now(datetime.UTC)
        record = run.raise_alerts(monitored, store, monitor_settings, now)
        record = delivery.deliver(record, store, monitor_settings.webhook, sys.stdout, sys.stderr)
    except FinderError as error:
        return print_error(NAME, error, 1)
    for result in results:
        for failure in result.failed:
            print(f"failed: {failure}", file=sys.stderr)
    complete = not any(result.failed for result in results) and not any(event.state == "failed" for event in record)
    return 0 if complete else 1


def _parser() -> Parser:
    parser = Parser(prog=NAME, description="Counts the airplanes at airports in every new scene, and what has changed.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_run(commands.add_parser("run", help="process new scenes", epilog="All other options are passed to Beam."))
    airports = commands.add_parser("airports", help="write, show and check a file of airports")
    actions = airports.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", help="add an airport to a file, which is made where it is missing")
    for action, text in ((add, None), ("list", "list the airports of a file"), ("check", "check a file of airports")):
        sub = action if isinstance(action, Parser) else actions.add_parser(str(action), help=text)
        sub.add_argument("--airports", type=Path, required=True, metavar="FILE", help="airports, YAML or GeoJSON")
    add.add_argument("--name", required=True, help="for people")
    add.add_argument("--icao", help="code of four letters")
    add.add_argument("--iata", help="code of three letters")
    add.add_argument("--id", help="name in the store (default: the IATA code, else the ICAO code)")
    add.add_argument("--centre", type=float, nargs=2, metavar=("LON", "LAT"), help="degrees, longitude first")
    add.add_argument("--radius-m", type=float, metavar="M", help="around the centre, metres")
    add.add_argument("--polygon", type=Path, metavar="FILE", help="vector file with one polygon, instead of a centre")
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--airports", type=Path, required=True, metavar="FILE", help="airports, YAML or GeoJSON")
    add("--source", required=True, help="STAC API, STAC file or its URL, folder, glob, or gs://bucket/prefix")
    add("--store", required=True, metavar="DIR", help="folder of the results, local or gs://bucket/folder")
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
