"""The report of monitoring: one self-contained HTML file, `monitor.html`, which opens without a network."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import io
import itertools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from PIL import Image

from geo.errors import FinderError
from geo.types import FloatArray
from model.common.charts import FIRST, LINE, QUIET, SECOND, set_tooltip, svg_chart
from model.common.pages import render_template
from pipeline.monitor.airports import Airport
from pipeline.monitor.alerts import Event
from pipeline.monitor.scenes import parse_time
from pipeline.monitor.series import Tables, occupancy
from pipeline.monitor.tables import AirplaneRow, SceneRow, VisitRow
from pipeline.sinks import storage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILE_NAME = "monitor.html"
#: Pictures of all airports together, the latest visits first; their longer side, pixels.
MAX_PICTURES, PICTURE_PX = 40, 1400
#: Size of all pictures on the page, characters of base64.
MAX_PICTURE_BYTES = 14_000_000
#: Alerts that the page lists for each airport, the latest; `alerts.json` has all.
MAX_ALERTS = 30
#: Between two visits is a gap if they are this many times as far apart as two visits usually are.
GAP_FACTOR = 2.5
_WEBP_QUALITY = 72
_DECIMALS = 6  # of a degree: a decimetre
_SIMPLIFY_M = 2.0
# Size of a chart, inches of 72 px, and its margins, pixels: left, right, top, bottom.
_CHART_SIZE, _MARGINS = (13.0, 3.2), (44, 10, 14, 26)
_FOLDER = Path(__file__).parent


@dataclasses.dataclass(frozen=True, slots=True)
class AirportReport:
    """What the report tells of one airport.

    Attributes:
        airport: the airport.
        tables: its computed tables.
        scenes: its stored scenes.
        events: its alerts that were not withdrawn.
    """

    airport: Airport
    tables: Tables
    scenes: Sequence[SceneRow]
    events: Sequence[Event]


def write_report(folder: str, reports: Sequence[AirportReport], bands: tuple[int, ...] | None = None) -> str:
    """Write the report, atomically.

    The pictures are read from the scenes. Where a scene can no longer be read, the page says so.

    Args:
        folder: folder of the report, local or `gs://`; created if missing.
        reports: the airports.
        bands: bands of the scenes to show, as in the settings of the main job.

    Returns:
        The page: `folder`/monitor.html.

    Raises:
        OutputError: the file cannot be written.
    """
    uri = f"{folder.rstrip('/')}/{FILE_NAME}"
    storage.check_writable(uri)
    storage.write_text(uri, render(reports, bands))
    return uri


def render(reports: Sequence[AirportReport], bands: tuple[int, ...] | None = None) -> str:
    """Return the HTML of the page; arguments as for `write_report`."""
    share = 1 / max(1, len(reports))
    sections, data = [], []
    for report in reports:
        pictures, problems = _pictures(report, bands, max(2, int(MAX_PICTURES * share)), int(MAX_PICTURE_BYTES * share))
        sections.append(_section(report, problems))
        data.append(_airport_data(report, pictures))
    return render_template(
        _FOLDER / "monitor.html",
        sections=sections,
        data=data,
        styles=[_FOLDER / "monitor.css"],
        scripts=[_FOLDER / "monitor.js"],
        leaflet=True,
    )


# What is on the page of an airport without a script.


def _section(report: AirportReport, problems: Sequence[str]) -> dict[str, Any]:
    visits = report.tables.visits
    codes = " / ".join(code for code in (report.airport.iata, report.airport.icao) if code)
    return {
        "id": report.airport.id,
        "name": report.airport.name + (f" ({codes})" if codes else ""),
        "counts": svg_chart(f"Airplanes at {report.airport.name}", draw_counts, visits) if visits else None,
        "changes": svg_chart(f"Arrivals and departures at {report.airport.name}", draw_changes, visits)
        if visits
        else None,
        "visits": [_visit_cells(visit) for visit in reversed(visits)],
        "stands": [
            (use.stand, f"{use.occupied} of {use.seen}", str(use.airplanes))
            for use in occupancy(report.tables.stands)
            if use.seen
        ],
        "alerts": [
            (event.at[:16].replace("T", " "), event.kind, event.message)
            for event in sorted(report.events, key=lambda event: event.at, reverse=True)[:MAX_ALERTS]
        ],
        "problems": problems,
    }


def _visit_cells(visit: VisitRow) -> tuple[str, ...]:
    cloud = "unknown" if visit.share_cloud is None else f"{100 * visit.share_cloud:.0f} %"
    usual = "" if visit.usual is None else f"{visit.usual:.0f} ({visit.usual_low:.0f} to {visit.usual_high:.0f})"
    return (
        visit.acquired_at[:16].replace("T", " "),
        f"{100 * visit.share_seen:.0f} %",
        cloud,
        f"{visit.count:.1f} ({visit.count_low} to {visit.count_high})",
        usual + ("" if visit.unusual in (None, "no") else f", unusually {visit.unusual}"),
        str(visit.arrived),
        str(visit.left),
        str(visit.stayed),
        str(visit.moved),
    )


def gaps(visits: Sequence[VisitRow]) -> list[tuple[datetime.datetime, datetime.datetime]]:
    """Return the times between two visits that saw enough, by time, that are much longer than usual."""
    times = [parse_time(visit.acquired_at) for visit in visits if visit.enough_seen]
    pairs = list(itertools.pairwise(times))
    if len(pairs) < 2:
        return []
    usual = statistics.median((end - start).total_seconds() for start, end in pairs)
    return [(start, end) for start, end in pairs if (end - start).total_seconds() > GAP_FACTOR * usual]


def draw_counts(axes: Axes, visits: Sequence[VisitRow]) -> None:
    """Draw the number of airplanes with its interval, and what is usual; no line crosses a gap.

    A visit that saw too little is a hollow marker: it counts only what it saw.
    """
    _time_axis(axes, visits, "airplanes")
    enough = [visit for visit in visits if visit.enough_seen]
    breaks = {end for _, end in gaps(visits)}
    runs: list[list[VisitRow]] = []
    for visit in enough:
        if not runs or parse_time(visit.acquired_at) in breaks:
            runs.append([])
        runs[-1].append(visit)
    for run in runs:
        known = [visit for visit in run if visit.usual is not None]
        axes.fill_between(
            _times(known),
            [visit.usual_low or 0.0 for visit in known],
            [visit.usual_high or 0.0 for visit in known],
            color=LINE, alpha=0.6, linewidth=0,
        )  # fmt: skip
        axes.plot(_times(run), [visit.count for visit in run], color=FIRST, linewidth=1)
    for visit in visits:
        time = _times([visit])
        unusual = visit.unusual in ("high", "low")
        colour = SECOND if unusual else FIRST if visit.enough_seen else QUIET
        axes.vlines(time, visit.count_low, visit.count_high, color=colour, linewidth=1.5, alpha=0.7)
        (marker,) = axes.plot(
            time, [visit.count], marker="o", color=colour, markerfacecolor=colour if visit.enough_seen else "none"
        )
        set_tooltip(marker, _tooltip(visit))
    axes.set_ylim(bottom=0)


def draw_changes(axes: Axes, visits: Sequence[VisitRow]) -> None:
    """Draw arrivals upwards and departures downwards, a bar for each visit."""
    _time_axis(axes, visits, "arrived (up), left (down)")
    span = max(1.0, (parse_time(visits[-1].acquired_at) - parse_time(visits[0].acquired_at)) / datetime.timedelta(1))
    width = min(4.0, max(0.3, 0.5 * span / len(visits)))  # days
    for visit in visits:
        for value, colour in ((visit.arrived, FIRST), (-visit.left, SECOND)):
            for bar in axes.bar(_times([visit]), [value], width=width, color=colour):
                set_tooltip(bar, _tooltip(visit))
    axes.axhline(0, color=QUIET, linewidth=0.8)


def _time_axis(axes: Axes, visits: Sequence[VisitRow], label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    figure: Any = axes.figure
    figure.set_size_inches(_CHART_SIZE)
    width, height = (72 * side for side in _CHART_SIZE)
    left, right, top, bottom = _MARGINS
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
    axes.set_ylabel(label)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    for start, end in gaps(visits):
        day = datetime.timedelta(days=1)
        band = axes.axvspan(start + day, end - day, color=LINE, alpha=0.35, linewidth=0)  # type: ignore[arg-type]
        set_tooltip(band, f"nothing or too little was seen from {start:%Y-%m-%d} to {end:%Y-%m-%d}")


def _times(visits: Sequence[VisitRow]) -> list[Any]:
    return [parse_time(visit.acquired_at) for visit in visits]


def _tooltip(visit: VisitRow) -> str:
    return (
        f"{visit.acquired_at[:16].replace('T', ' ')} UTC: {visit.count:.1f} airplanes ({visit.count_low} to "
        f"{visit.count_high}) in {100 * visit.share_seen:.0f} % of the airport; {visit.arrived} arrived, "
        f"{visit.left} left"
    )


# What the scripts show: the map, and two dates beside each other. All positions are in the frame of the first visit.


def _airport_data(report: AirportReport, pictures: Mapping[str, str]) -> dict[str, Any]:
    airport, tables = report.airport, report.tables
    by_visit: dict[str, list[AirplaneRow]] = {}
    for row in tables.airplanes:
        by_visit.setdefault(row.visit_id, []).append(row)
    return {
        "id": airport.id,
        "name": airport.name,
        "bounds": [round(float(value), _DECIMALS) for value in shapely.total_bounds(airport.area.polygons)],
        "outline": _rings(airport.area.polygons),
        "visits": [
            {
                "time": visit.acquired_at,
                "count": visit.count,
                "low": visit.count_low,
                "high": visit.count_high,
                "seen": visit.share_seen,
                "unseen": _unseen(visit, airport),
                "picture": pictures.get(visit.visit_id),
                "airplanes": [_airplane_data(row, visit, airport) for row in by_visit.get(visit.visit_id, ())],
            }
            for visit in tables.visits
        ],
    }


def _airplane_data(row: AirplaneRow, visit: VisitRow, airport: Airport) -> dict[str, Any]:
    ((lon, lat),) = airport.plane.to_lonlat(np.array([[row.east_m, row.north_m]])).round(_DECIMALS).tolist()
    outline = _shifted(row.geometry, visit, airport) if row.geometry is not None else shapely.Point(lon, lat)
    return {
        "track": row.track_id,
        "change": row.change,
        "size": row.size_m,
        "score": row.score,
        "at": [lat, lon],
        "outline": _rings(outline),
    }


def _unseen(visit: VisitRow, airport: Airport) -> list[list[list[float]]]:
    """Return the airport's ground that a visit did not see, as rings of latitude and longitude."""
    if visit.geometry is None:
        return _rings(airport.area.polygons)
    seen = airport.plane.shape_to_metres(_shifted(visit.geometry, visit, airport))
    unseen = shapely.difference(airport.area_m, shapely.make_valid(seen))
    # Without the slivers along the border.
    clean = shapely.buffer(shapely.buffer(unseen, -_SIMPLIFY_M), _SIMPLIFY_M).simplify(_SIMPLIFY_M)
    return [] if clean.is_empty else _rings(airport.plane.shape_to_lonlat(clean))


def _shifted(geometry: shapely.Geometry, visit: VisitRow, airport: Airport) -> shapely.Geometry:
    """Return a geometry of a visit with the visit's shift taken out."""
    shift = _shift(visit)
    if not shift.any():
        return geometry
    metres = airport.plane.shape_to_metres(geometry)
    return airport.plane.shape_to_lonlat(shapely.transform(metres, lambda xy: xy - shift))


def _shift(visit: VisitRow) -> FloatArray:
    return np.array([visit.shift_east_m or 0.0, visit.shift_north_m or 0.0])


def _rings(geometry: shapely.Geometry) -> list[list[list[float]]]:
    """Return all rings of polygons, latitude first, as Leaflet has them; holes are told by the even-odd rule."""
    rings = []
    for part in shapely.get_parts(geometry):
        if isinstance(part, shapely.Polygon):
            for ring in (part.exterior, *part.interiors):
                rings.append(shapely.get_coordinates(ring)[:-1, ::-1].round(_DECIMALS).tolist())
    return rings


def _pictures(
    report: AirportReport, bands: tuple[int, ...] | None, max_pictures: int, max_bytes: int
) -> tuple[dict[str, str], list[str]]:
    """Return the pictures of visits by their id, as data URIs, the latest first; and what could not be read."""
    pictures: dict[str, str] = {}
    problems: list[str] = []
    by_visit = scenes_by_visit(report.tables.visits, report.scenes)
    free = max_bytes
    for visit in reversed(report.tables.visits):
        if len(pictures) == max_pictures:
            break
        picture = _picture(visit, by_visit.get(visit.visit_id, ()), report.airport, bands, problems)
        if picture is None:
            continue
        free -= len(picture)
        if free < 0:
            break
        pictures[visit.visit_id] = picture
    return pictures, problems


def scenes_by_visit(visits: Sequence[VisitRow], scenes: Sequence[SceneRow]) -> dict[str, list[SceneRow]]:
    """Return the scenes of each visit, the one that decides last; both by time, of one airport."""
    grouped: dict[str, list[SceneRow]] = {}
    starts = [parse_time(visit.acquired_at) for visit in visits]
    for scene in scenes:
        index = sum(start <= parse_time(scene.acquired_at) for start in starts) - 1
        if index >= 0 and scene.status not in ("duplicate", "empty"):
            grouped.setdefault(visits[index].visit_id, []).append(scene)
    return {
        visit: sorted(members, key=lambda scene: (scene.published_at or "", scene.scene_key))
        for visit, members in grouped.items()
    }


def _picture(
    visit: VisitRow,
    scenes: Sequence[SceneRow],
    airport: Airport,
    bands: tuple[int, ...] | None,
    problems: list[str],
) -> str | None:
    from geo.raster.header import read_header  # loads rasterio
    from geo.raster.map_tiles import render_part

    west, south, east, north = airport.plane.shape_to_metres(shapely.box(*airport.area.polygons.bounds)).bounds
    shift = _shift(visit)
    box = shapely.box(west + shift[0], south + shift[1], east + shift[0], north + shift[1])
    bounds = airport.plane.shape_to_lonlat(box).bounds
    picture: Image.Image | None = None
    for scene in scenes:
        try:
            part = render_part(
                scene.scene_uri, read_header(scene.scene_uri, bands=bands).radiometry, bounds, PICTURE_PX
            )
        except FinderError as error:
            problems.append(f"{scene.scene_uri}: no image: {error}")
            continue
        if part is not None:
            layer = Image.fromarray(part)
            picture = layer if picture is None else Image.alpha_composite(picture, layer)
    if picture is None:
        return None
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=_WEBP_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
