"""`python -m pipeline.monitor airports add|list|check`."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import shapely
import yaml

from geo.errors import CommandError, ConfigError, FinderError
from geo.polygons import geojson_mapping
from model.common import atomic
from pipeline.monitor import airports
from pipeline.monitor.airports import Airport


def show(options: argparse.Namespace) -> int:
    """Print the airports of a file, a line each."""
    for airport in airports.load_airports(options.airports):
        print(_line(airport))
    return 0


def check(options: argparse.Namespace) -> int:
    """Print the airports of a file, with warnings; the status is 0 if the file is valid."""
    loaded = airports.load_airports(options.airports)
    for airport in loaded:
        print(_line(airport))
        for name in airports.stray_spots(airport):
            print(f"{airport.id}: {name} is not entirely inside the airport: airplanes on it may be missed")
    for first, second in airports.overlaps(loaded):
        print(f"{first.id} and {second.id} overlap: airplanes there are counted at both")
    print(f"{options.airports}: valid, airports: {len(loaded)}")
    return 0


def add(options: argparse.Namespace) -> int:
    """Add an airport to a file; the file stays as it was if the airport is not valid.

    Raises:
        CommandError: the options do not describe an airport.
        ConfigError: the file cannot be read, or has an airport of that id.
    """
    entry: dict[str, Any] = {
        name: getattr(options, name) for name in ("name", "icao", "iata", "id") if getattr(options, name) is not None
    }
    if (options.polygon is None) == (options.centre is None) or (options.centre is None) != (options.radius_m is None):
        raise CommandError(
            "expected --centre LON LAT with --radius-m, or --polygon, got another combination: see --help"
        )
    is_geojson = options.airports.suffix.lower() in airports.GEOJSON_SUFFIXES
    if options.polygon is not None:
        area = _polygon(options.polygon)
        entry["polygon"] = shapely.get_coordinates(area.exterior)[:-1].tolist()
    else:
        area = airports.circle(tuple(options.centre), options.radius_m)
        entry |= {"centre": options.centre, "radius_m": options.radius_m}
    text = _geojson_with(options.airports, entry, area) if is_geojson else _yaml_with(options.airports, entry)
    _check_text(options.airports, text)
    atomic.make_folder(options.airports.parent)
    atomic.write_atomically(options.airports, text)
    print(_line(airports.load_airports(options.airports)[-1]))
    return 0


def _line(airport: Airport) -> str:
    codes = "/".join(code for code in (airport.iata, airport.icao) if code)
    kinds = {"stands": airport.stands, "aprons": airport.aprons, "areas to ignore": airport.ignored}
    spots = "".join(f", {name}: {len(spots)}" for name, spots in kinds.items() if spots)
    return (
        f"{airport.id}: {airport.name} ({codes or 'no code'}) at {airport.plane.lat:.4f}, {airport.plane.lon:.4f} "
        f"(latitude, longitude), {airport.km2:.1f} km2{spots}"
    )


def _yaml_with(path: Path, entry: dict[str, Any]) -> str:
    """Return the text of a YAML file with one more airport at its end; comments stay."""
    text = path.read_text(encoding="utf-8") if path.is_file() else "airports:\n"
    lines = yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, default_flow_style=None).splitlines()
    block = "\n".join(["  - " + lines[0], *("    " + line for line in lines[1:])])
    return f"{text.rstrip()}\n\n{block}\n" if path.is_file() else f"{text}{block}\n"


def _geojson_with(path: Path, entry: dict[str, Any], area: shapely.Polygon) -> str:
    content: dict[str, Any] = {"type": "FeatureCollection", "features": []}
    if path.is_file():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            content["features"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path}: expected a GeoJSON FeatureCollection, got {error}: name another file"
            ) from error
    properties = {name: value for name, value in entry.items() if name not in ("centre", "polygon")}
    centre = entry.get("centre")
    geometry = {"type": "Point", "coordinates": centre} if centre else geojson_mapping(area)
    content["features"].append({"type": "Feature", "properties": properties, "geometry": geometry})
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _check_text(path: Path, text: str) -> None:
    """Check a file before it is written.

    Raises:
        ConfigError: it would not be valid.
    """
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / path.name
        trial.write_text(text, encoding="utf-8")
        try:
            airports.load_airports(trial)
        except FinderError as error:
            raise ConfigError(str(error).replace(str(trial), str(path))) from error


def _polygon(path: Path) -> shapely.Polygon:
    """Return the polygon of a vector file, longitude and latitude."""
    from pipeline.command import read_area

    area = read_area(path).polygons
    if not isinstance(area, shapely.Polygon) or area.interiors:
        raise CommandError(f"--polygon {path}: expected one polygon without holes, got another geometry: simplify it")
    return area
