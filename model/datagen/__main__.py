"""Cut training tiles into TFRecord files: `python -m model.datagen --config configs/datagen/default.yaml`.

Exit status: 0 everything is written; 1 the job failed; 2 the command itself is wrong, before any work starts.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geo.errors import FinderError
from model.common import logs
from model.common.command import Parser, command, print_error
from model.common.config import load_yaml


@command("model.datagen")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    options, beam_words = _parser().parse_known_args(arguments)
    logs.silence()
    # These import Beam and TensorFlow: only once they are silenced.
    from model.datagen import beam_options

    job = logs.import_quietly("model.datagen.job")
    overrides = vars(options)
    config = load_yaml(job.DatagenConfig, overrides.pop("config"), overrides)
    beam = beam_options.parse(beam_words)
    runner = beam_options.runner(beam)
    job.check_output(config)
    plans = job.plan_sets(config)
    try:
        manifest = job.run(config, plans, runner, beam)
    except FinderError as error:
        return print_error("model.datagen", error, 1)
    _summarize(manifest)
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m model.datagen",
        description="Cut tiles around the airplanes of annotated images, and as many without, into TFRecord files.",
        epilog="All other options go to Beam: --runner, --project, --region, --temp_location, ...",
    )
    parser.add_argument("--config", type=Path, required=True, help="a file of configs/datagen/")
    parser.add_argument("--data", help="folder of the data sets, local or gs://")
    parser.add_argument("--output", help="folder for the files, local or gs://")
    return parser


def _summarize(manifest: dict[str, Any]) -> None:
    for name, counts in [*manifest["sets"].items(), ("together", manifest["total"])]:
        print(
            f"{name}: {counts['images']} images, {counts['airplanes']} airplanes, {counts['tiles']} tiles: "
            f"{_format_count(counts, 'with')} with airplanes, {_format_count(counts, 'without')} without"
        )
    print(f"{len(manifest['files'])} files: {manifest['settings']['output']}")


def _format_count(counts: dict[str, int], kind: str) -> str:
    written, asked = counts[f"tiles_{kind}_airplanes"], counts[f"asked_{kind}_airplanes"]
    return str(written) if written == asked else f"{written} (asked: {asked})"


if __name__ == "__main__":
    sys.exit(main())
