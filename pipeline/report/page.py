"""The report: one HTML file with everything in it, so that it opens anywhere, without a network."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from xstatic.pkg import leaflet

from model.common.atomic import check_writable, write_atomically
from pipeline.ledger import Ledger
from pipeline.records import Airplane
from pipeline.report.scenes import FIELDS, scene_views
from pipeline.report.tables import ledger_table

FILE_NAME = "report.html"


def write_report(directory: Path, airplanes: Sequence[Airplane], ledger: Ledger) -> Path:
    """Writes the report of one run.

    The pictures are read again from the scenes, through their overviews. A scene whose picture cannot be read any more
    is shown without one, and says so.

    Args:
        directory: where to; made if absent.
        airplanes: all airplanes of the run, in any order.
        ledger: the run's ledger, with an entry for the scene of every airplane.

    Returns:
        The file: `directory`/report.html. It appears whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    path = directory / FILE_NAME
    check_writable(path)
    write_atomically(path, [render(airplanes, ledger)])
    return path


def render(airplanes: Sequence[Airplane], ledger: Ledger) -> str:
    """Returns the page's HTML; the arguments are those of `write_report`."""
    views = scene_views(airplanes, ledger)
    scripts = {"leaflet_js": _leaflet_js(), "script": _own("report.js")}
    return (
        _environment()
        .get_template("report.html")
        .render(
            summary=_summary(ledger),
            has_scenes=bool(views),
            ledger=ledger_table(ledger),
            data={"fields": FIELDS, "scenes": views},
            css=_own("report.css"),
            leaflet_css=_leaflet_css(),
            leaflet_version=leaflet.VERSION,
            script_hashes=[_content_hash(script) for script in scripts.values()],
            **scripts,
        )
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment


def _summary(ledger: Ledger) -> dict[str, Any]:
    totals = ledger.totals
    troubles = [
        f"{_counted(count, 'scene', 'scenes')} {status}"
        for count, status in ((totals.failed, "failed"), (totals.incomplete, "incomplete"))
        if count
    ]
    return {
        "airplanes": totals.airplanes,
        "scenes": totals.scenes,
        "km2": totals.km2,
        "model": ledger.run.model,
        "troubles": ", ".join(troubles),
        "empty": _counted(totals.empty, "scene", "scenes") if totals.empty else "",
    }


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


@functools.cache
def _own(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


@functools.cache
def _leaflet_js() -> str:
    text = (Path(leaflet.BASE_DIR) / "leaflet.js").read_text(encoding="utf-8")
    # A reference to a file that is not there.
    return re.sub(r"\n//# sourceMappingURL=.*", "", text)


@functools.cache
def _leaflet_css() -> str:
    text = (Path(leaflet.BASE_DIR) / "leaflet.css").read_text(encoding="utf-8")
    # Pictures of markers and of the layer switch, which the page has not; the other one is for a browser long gone.
    return re.sub(r"[\w-]+:\s*url\([^)]*\);", "", text)


def _content_hash(script: str) -> str:
    """Returns the name by which the page's content security policy lets an inline script run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
