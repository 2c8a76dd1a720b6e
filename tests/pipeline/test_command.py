"""The words of the command: what is refused (status 2, one line), what goes to Beam, and what is loaded for it."""

import argparse
import difflib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from model.datagen import beam_options
from pipeline import command
from tests.pipeline.command_runner import CommandRunner

# Invalid commands: status 2, one line, nothing written.


def test_inputs_that_match_nothing_are_refused(cli: CommandRunner) -> None:
    (cli.folder / "hollow").mkdir()
    assert "missing.tif: expected a raster file" in cli.usage_error(inputs=("missing.tif",))
    assert "*.jp2: expected a glob that matches rasters or STAC files" in cli.usage_error(inputs=("*.jp2",))
    assert "hollow: expected a folder with rasters" in cli.usage_error(inputs=("hollow",))
    assert "missing.tif" in cli.usage_error(inputs=("a.tif", "missing.tif"))
    assert "--input" in cli.usage_error(inputs=())
    assert "--input: expected a raster file, a folder, a glob" in cli.usage_error(inputs=("",))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows any bytes in names")
def test_a_name_that_is_not_utf8_fails_alone_as_an_input_and_is_refused_as_an_output(cli: CommandRunner) -> None:
    (cli.folder / os.fsdecode(b"b\xff.tif")).touch()
    status, lines = cli.run(inputs=(".",))
    assert (status, cli.summary["scenes"]) == (1, "2: 1 complete, 1 failed")
    assert lines == ["failed: 'b\\udcff.tif': expected a name in UTF-8, got other bytes: rename it"]
    assert "expected a name in UTF-8" in cli.usage_error(output=os.fsdecode(b"\xff.geojson"))


def test_an_unwritable_output_is_refused(cli: CommandRunner) -> None:
    (cli.folder / "folder.geojson").mkdir()
    line = cli.usage_error(output="a.tif/x.geojson")
    assert "a.tif/x.geojson: expected a writable path" in line
    assert "choose another folder" in line
    assert "folder.geojson: expected the name of a file" in cli.usage_error(output="folder.geojson")
    assert "a.tif/ledger.json: expected a writable path" in cli.usage_error("--report", "a.tif")
    assert "--report: expected a path, got an empty argument" in cli.usage_error("--report", "")
    assert "a.tif/y.geojson: expected a writable path" in cli.usage_error("--output", "a.tif/y.geojson")


def test_an_unknown_output_format_is_refused(cli: CommandRunner) -> None:
    for output in ("x.shp", "x", "x.json", ""):
        line = cli.usage_error(output=output)
        assert f"--output {output}: expected the suffix .geojson, .geojsonl, .parquet, .fgb, .gpkg or .coco" in line
        assert line.endswith(": name a file such as x.geojson")


def test_an_invalid_config_is_refused(cli: CommandRunner) -> None:
    good = json.loads((cli.folder / "settings.yaml").read_text())
    for change, expected in (
        ({"halo_px": 3}, "settings.yaml: unknown key halo_px; known here: tiling, suppression, model, min_score"),
        ({"batch_size": 0}, "settings.yaml: batch_size: expected a whole number from 1 to 1024, got 0"),
        ({"min_score": 1.5}, "settings.yaml: min_score: expected a number from 0 to 1, got 1.5"),
        ({"batch_size": "two"}, "settings.yaml"),
    ):
        (cli.folder / "settings.yaml").write_text(json.dumps({**good, **change}))
        assert expected in cli.usage_error()
    (cli.folder / "settings.yaml").unlink()
    assert "settings.yaml: expected a readable YAML config" in cli.usage_error()


def test_a_score_out_of_range_is_refused(cli: CommandRunner) -> None:
    for text in ("2", "-0.1", "nan", "much"):
        assert f"--min-score: expected a number from 0 to 1, got {text}" in cli.usage_error(f"--min-score={text}")


def test_damaged_weights_are_refused(cli: CommandRunner) -> None:
    weights = cli.model / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    line = cli.usage_error()
    assert f"{weights}: expected the weights with sha256" in line
    assert "restore" in line


def test_a_missing_model_is_refused(cli: CommandRunner) -> None:
    assert "model nowhere: expected a packaged model" in cli.usage_error("--model", "nowhere")


def test_an_unknown_option_is_refused(cli: CommandRunner) -> None:
    assert "got --min-scoer: did you mean --min-score?" in cli.usage_error("--min-scoer", "0.4")
    assert "got --runer=DirectRunner: did you mean --runner?" in cli.usage_error("--runer=DirectRunner")
    assert "got --no-such-thing: see --help" in cli.usage_error("--no-such-thing")


def test_words_without_an_option_are_refused(cli: CommandRunner) -> None:
    # What a shell makes of `--input *.tif`.
    line = cli.usage_error("b.tif", inputs=("a.tif",))
    assert line == "error: expected options, got b.tif: write --input before each input, and quote patterns: see --help"


def test_no_option_of_beam_counts_as_a_misspelled_one() -> None:
    beam = argparse.ArgumentParser(add_help=False)
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(beam)
    own = command.make_parser()._option_string_actions
    assert not [name for name in beam._option_string_actions if difflib.get_close_matches(name, own, 1, 0.8)]
    for name in beam._option_string_actions:
        command.check_unknown([name, "value"], [*own, "--runner"], "")


def test_an_invalid_beam_option_is_refused(cli: CommandRunner) -> None:
    assert "--direct_num_workers" in cli.usage_error("--direct_num_workers", "many")


def test_an_unknown_runner_is_refused(cli: CommandRunner) -> None:
    assert "--runner WalkingRunner: expected one of" in cli.usage_error("--runner", "WalkingRunner")
    assert "--runner no.such.Runner: expected one of" in cli.usage_error("--runner", "no.such.Runner")


@pytest.mark.parametrize("args", [[], ["--runner", "DirectRunner"], ["--runner=direct"], ["--runner", "FnApiRunner"]])
def test_direct_runner_is_the_in_process_runner(cli: CommandRunner, args: list[str]) -> None:
    parsed = command.parse(["--input", "a.tif", "--output", "x.geojson", *args])
    assert type(beam_options.runner(beam_options.parse(parsed.beam))) is FnApiRunner


def test_beam_options_are_passed_to_beam(cli: CommandRunner) -> None:
    parsed = command.parse(["--input", "a.tif", "--output", "x.geojson", "--temp_location", "somewhere"])
    assert beam_options.parse(parsed.beam).get_all_options()["temp_location"] == "somewhere"


def test_the_command_in_a_process_of_its_own(cli: CommandRunner) -> None:
    args = ["--input", "missing.tif", "--output", "x.geojson"]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.run", *args],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: missing.tif: expected a raster file")


# What a command loads: modules of seconds, none of which a mistake has to wait for.

SLOW = ("apache_beam", "geopandas", "keras", "matplotlib", "pandas", "pystac", "rasterio", "scipy", "tensorflow")
_MISTAKES = """
import sys
from pipeline import run

good = ["--input", "a.tif", "--output", "x.geojson", "--config", "settings.yaml"]
for args, expected in (
    (["--help"], 0),
    ([], 2),
    ([*good, "b.tif"], 2),
    ([*good, "--min-scor", "1"], 2),
    ([*good, "--min-score", "7"], 2),
    ([*good[:2], "--output", "x.shp"], 2),
    ([*good[:4], "--config", "wrong.yaml"], 2),
    ([*good, "--input", "missing.tif"], 2),
    ([*good, "--model", "nowhere"], 2),
):
    try:
        status = run.main(args)
    except SystemExit as end:
        status = end.code
    assert status == expected, args
"""
_GOOD_RUN = """
import sys
from model.inference import litert
from model.inference.predictor import FakePredictor
from pipeline import model_loading, run

model_loading.load_predictor = lambda *_, **__: FakePredictor()
sys.argv[1:] = ["--input", "a.tif", "--output", "x.geojson", "--config", "settings.yaml", "--model", "{model}"]
assert run.main() == 0
"""
# Beam loads the clients of clouds where they are installed, and pandas.
_NOT_FOR_A_RUN = (
    *("tensorflow", "keras", "matplotlib", "jinja2", "PIL", "pystac", "pipeline.report.page"),
    *("google.cloud.bigquery", "google.cloud.storage", "pandas", "pymongo"),
)


@pytest.mark.parametrize(
    ("program", "modules"),
    [
        (_MISTAKES, SLOW),
        (_GOOD_RUN, _NOT_FOR_A_RUN),
    ],
    ids=["mistakes", "good run"],
)
def test_nothing_is_loaded_that_is_not_needed(cli: CommandRunner, program: str, modules: tuple[str, ...]) -> None:
    (cli.folder / "wrong.yaml").write_text((cli.folder / "settings.yaml").read_text().replace('"force"', '"forced"'))
    settings = json.loads((cli.folder / "settings.yaml").read_text())
    (cli.folder / "settings.yaml").write_text(json.dumps({**settings, "min_score": 0.5}))
    program = program.replace("{model}", str(cli.model)) + f"print(*sorted(set(sys.modules) & set({modules})))"
    environment = {**os.environ, "PYTHONPATH": str(Path(command.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""
