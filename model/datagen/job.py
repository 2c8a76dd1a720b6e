"""The job as a Beam graph, thin.

Where the tiles lie is planned before the graph starts. Each file is then cut and written by one worker: pixels go
through no shuffle, and the same settings give the same bytes on any runner.
"""

from collections.abc import Mapping
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineRunner

from model.datagen import steps
from model.datagen.config import DatagenConfig
from model.datagen.tiles import SetPlan


def run(
    config: DatagenConfig, plans: Mapping[str, SetPlan], runner: PipelineRunner, options: PipelineOptions
) -> dict[str, Any]:
    """Runs the job to its end and returns the manifest that it wrote.

    Args:
        config: the settings.
        plans: what `steps.plan` has made of them.
        runner: Beam's runner.
        options: Beam's options.

    Raises:
        RasterError: a photo that cannot be read.
    """
    with beam.Pipeline(runner=runner, options=options) as pipeline:
        _ = (
            pipeline
            | "Files" >> beam.Create(steps.share(plans, config.shards))
            | "Share" >> beam.Reshuffle()
            | "Write" >> beam.Map(steps.write_shard, config)
            | "Together" >> beam.combiners.ToList()
            | "Sum" >> beam.Map(steps.manifest, steps.expected(plans), config)
            | "Manifest" >> beam.Map(steps.write_manifest, config)
        )
    return steps.read_manifest(config)
