"""A folder with an airport, settings for the fake model, and the command."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pyproj import Transformer

from pipeline.monitor.__main__ import main
from pipeline.monitor.store import Store
from pipeline.monitor.tables import CountRow, SceneRow, VisitRow
from tests.pipeline.scenes import CONFIG, write_scene
from tests.pipeline.stac_files import item

# The scene of `write_scene` is 165 m wide and 205 m high; the airport is its middle.
CENTRE_M = (560_000 + 82.5, 5_940_000 - 102.5)
AIRPLANES = ((100, 100, 140, 128, 250), (200, 160, 228, 200, 240), (80, 250, 120, 278, 230))


@dataclasses.dataclass
class MonitorRunner:
    """A folder with `airports.yaml` and an empty folder `scenes`, and the command that monitors them."""

    folder: Path
    model: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *args: str, source: str = "scenes", store: str = "store") -> tuple[int, list[str], list[str]]:
        """Run the command; return its exit status, and the lines on stdout and stderr."""
        base = ["run", "--airports", "airports.yaml", "--source", source, "--store", store, "--model", str(self.model)]
        status = main([*base, "--pipeline-config", "settings.yaml", *args])
        captured = self.capsys.readouterr()
        return status, captured.out.splitlines(), captured.err.splitlines()

    def add_scene(
        self, day: str, airplanes: Sequence[tuple[int, int, int, int, int]] = AIRPLANES, name: str = "", **scene: Any
    ) -> Path:
        """Write a scene of a day with its STAC Item."""
        name = name or f"S-{day}"
        write_scene(self.folder / "scenes" / f"{name}.tif", airplanes, **scene)
        return self.add_item(day, name)

    def add_item(self, day: str, name: str, **properties: Any) -> Path:
        """Write the STAC Item of a scene."""
        content = item(name, assets={"visual": {"href": f"./{name}.tif"}}, datetime=f"{day}T10:00:00Z", **properties)
        path = self.folder / "scenes" / f"{name}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    def visits(self) -> list[VisitRow]:
        return Store("store").read_table("visits", VisitRow)

    def counts(self) -> list[CountRow]:
        return Store("store").read_table("counts", CountRow)

    def scenes(self) -> list[SceneRow]:
        return Store("store").scenes()

    def tables(self) -> dict[str, bytes]:
        """Return the content of all files of the store but the record of events, which knows its history."""
        return {name: content for name, content in self.files().items() if name != "alerts.json"}

    def files(self) -> dict[str, bytes]:
        """Return the content of all files of the store but those that tell of the last run."""
        root = self.folder / "store"
        files = (
            path for path in sorted(root.rglob("*")) if path.is_file() and path.name not in ("heartbeat.json", "lock")
        )
        return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture
def monitor(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> MonitorRunner:
    lon, lat = Transformer.from_crs("EPSG:32632", "OGC:CRS84", always_xy=True).transform(*CENTRE_M)
    (tmp_path / "airports.yaml").write_text(
        f"airports:\n  - {{name: Test, iata: TST, centre: [{lon:.7f}, {lat:.7f}], radius_m: 80}}\n"
    )
    (tmp_path / "settings.yaml").write_text(json.dumps(dataclasses.asdict(dataclasses.replace(CONFIG, min_score=None))))
    (tmp_path / "scenes").mkdir()
    monkeypatch.chdir(tmp_path)
    return MonitorRunner(tmp_path, model_folder, capsys)
