"""The sinks as Beam transforms."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam

from model.common.atomic import write_atomically
from pipeline.ledger import RunInfo, SceneEntry, make_ledger, to_json
from pipeline.records import Airplane
from pipeline.sinks.geojson import write_geojson


@dataclasses.dataclass(eq=False)
class WriteGeoJson(beam.PTransform):  # type: ignore[misc]
    """Airplanes to one GeoJSON file, whole or not at all; gives the path once it is there, for what must come after."""

    path: Path

    def expand(self, airplanes: beam.PCollection[Airplane]) -> beam.PCollection[str]:
        """Builds the graph."""
        return airplanes | beam.combiners.ToList() | beam.Map(self._write)

    def _write(self, airplanes: Sequence[Airplane]) -> str:
        write_geojson(self.path, airplanes)
        return str(self.path)


@dataclasses.dataclass(eq=False)
class WriteLedger(beam.PTransform):  # type: ignore[misc]
    """(ledger lines, paths of what was written) to the ledger; it is written last, since it vouches for the rest."""

    path: Path
    run: RunInfo

    def expand(self, inputs: tuple[beam.PCollection[SceneEntry], beam.PCollection[str]]) -> beam.PCollection[str]:
        """Builds the graph."""
        lines, written = inputs
        return lines | beam.combiners.ToList() | beam.Map(self._write, beam.pvalue.AsList(written))

    def _write(self, lines: Sequence[SceneEntry], written: Sequence[str]) -> str:
        del written
        now = datetime.datetime.now(datetime.UTC)
        seconds = (now - datetime.datetime.fromisoformat(self.run.started_at)).total_seconds()
        write_atomically(self.path, [to_json(make_ledger(self.run, seconds, lines))])
        return str(self.path)
