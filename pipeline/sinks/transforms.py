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
from pipeline.sinks.files import write_geojson


@dataclasses.dataclass(eq=False)
class WriteGeoJson(beam.PTransform):  # type: ignore[misc]
    """Write airplanes to one GeoJSON file, atomically; yields its path once it is written."""

    path: Path

    def expand(self, airplanes: beam.PCollection[Airplane]) -> beam.PCollection[str]:
        """Build the graph."""
        return airplanes | beam.combiners.ToList() | beam.Map(self._write)

    def _write(self, airplanes: Sequence[Airplane]) -> str:
        write_geojson(self.path, airplanes)
        return str(self.path)


@dataclasses.dataclass(eq=False)
class WriteLedger(beam.PTransform):  # type: ignore[misc]
    """Write the ledger from (scene entries, paths of the outputs); yields its path.

    It waits for the outputs: a ledger that exists vouches for complete outputs.
    """

    path: Path
    run: RunInfo

    def expand(self, inputs: tuple[beam.PCollection[SceneEntry], beam.PCollection[str]]) -> beam.PCollection[str]:
        """Build the graph."""
        entries, outputs = inputs
        return entries | beam.combiners.ToList() | beam.Map(self._write, beam.pvalue.AsList(outputs))

    def _write(self, entries: Sequence[SceneEntry], outputs: Sequence[str]) -> str:
        del outputs
        now = datetime.datetime.now(datetime.UTC)
        seconds = (now - datetime.datetime.fromisoformat(self.run.started_at)).total_seconds()
        write_atomically(self.path, to_json(make_ledger(self.run, seconds, entries)))
        return str(self.path)
