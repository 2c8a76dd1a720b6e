"""The Flex Template: its metadata is the command line's, and its launcher stages the job."""

import json
import re
from pathlib import Path
from typing import Any

import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.dataflow_v1beta3 import types
from google.protobuf import json_format

from geo.errors import CommandError
from model.common.command import Parser
from pipeline import command, flex_template
from pipeline.sinks import SUFFIXES
from tests.pipeline.command_runner import CommandRunner

METADATA = Path("docker/template/metadata.json")
IMAGE = "europe-docker.pkg.dev/p/r/airplane-finder:1"


def parameter(name: str) -> dict[str, Any]:
    parameters: dict[str, dict[str, Any]] = {item["name"]: item for item in flex_template.make_metadata()["parameters"]}
    return parameters[name]


def fits(name: str, value: str) -> bool:
    return all(re.fullmatch(pattern, value) for pattern in parameter(name)["regexes"])


def test_the_metadata_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert flex_template.main([]) == 0
    assert capsys.readouterr().out == METADATA.read_text(encoding="utf-8"), "run `make template`"


def test_every_option_is_a_parameter_or_left_out_on_purpose() -> None:
    options = {action.dest: action for action in command.make_parser()._actions}
    names = {item["name"] for item in flex_template.make_metadata()["parameters"]}
    assert names - {"sdk_container_image"} == options.keys() - flex_template.NOT_IN_TEMPLATE
    assert options.keys() >= flex_template.NOT_IN_TEMPLATE
    for name in names - {"sdk_container_image"}:
        assert parameter(name)["isOptional"] != options[name].required
        assert str(options[name].help).partition(";")[0] in parameter(name)["helpText"]


def test_an_option_without_a_check_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_another() -> Parser:
        parser = command.make_parser()
        parser.add_argument("--another")
        return parser

    monkeypatch.setattr(flex_template, "make_parser", with_another)
    with pytest.raises(CommandError, match="--another: expected its check for the Flex Template"):
        flex_template.make_metadata()


def test_the_spec_is_what_the_service_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert flex_template.main(["--image", IMAGE]) == 0
    values = json.loads(capsys.readouterr().out)
    spec = types.ContainerSpec(json_format.ParseDict(values, types.ContainerSpec.pb(types.ContainerSpec())))
    assert spec.image == IMAGE
    assert spec.sdk_info.language.name == "PYTHON"
    kinds = {item.name: item.param_type.name for item in spec.metadata.parameters}
    assert (kinds["input"], kinds["force"], kinds["min_score"]) == ("TEXT", "BOOLEAN", "NUMBER")
    assert all(item.label and item.help_text and item.regexes for item in spec.metadata.parameters)
    required = {item.name for item in spec.metadata.parameters if not item.is_optional}
    assert required == {"input", "output", "sdk_container_image"}


def test_a_key_that_the_service_does_not_know_is_refused() -> None:
    values = flex_template.make_spec(IMAGE) | {"container": IMAGE}
    with pytest.raises(json_format.ParseError):
        json_format.ParseDict(values, types.ContainerSpec.pb(types.ContainerSpec()))


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        (
            "input",
            ["gs://b/a.tif", "gs://b/a.tif https://c.org/d.tif"],
            ["a.tif", "", "gs://b/a.tif c.tif", "file:///a"],
        ),
        ("output", [f"gs://b/a{suffix}" for suffix in SUFFIXES], ["a.geojson", "https://b/a.geojson"]),
        ("min_score", ["0", "0.5", "1", "1.0"], ["1.5", "-1", ".", "a"]),
        ("max_cost", ["0", "12.5", "100"], ["-1", "much", "1e3"]),
        ("force", ["true", "false"], ["yes", "True", ""]),
        ("config", ["gs://b/c.yaml", "configs/pipeline/default.yaml"], ["c.json", "a b.yaml"]),
    ],
)
def test_parameters_are_checked(name: str, right: list[str], wrong: list[str]) -> None:
    assert [value for value in right if not fits(name, value)] == []
    assert [value for value in wrong if fits(name, value)] == []


def test_parameters_become_options_of_the_command() -> None:
    words = [
        "--input=gs://b/a.tif gs://b/c.tif",
        "--output=gs://b/o.geojson",
        "--min_score=0.5",
        "--force=true",
        "--trust_model=false",
        "--runner=DataflowRunner",
        "--max_num_workers=3",
        "--streaming",
    ]
    assert list(flex_template.command_words(words)) == [
        "--input=gs://b/a.tif",
        "--input=gs://b/c.tif",
        "--output=gs://b/o.geojson",
        "--min-score=0.5",
        "--force",
        "--runner=DataflowRunner",
        "--max_num_workers=3",
        "--streaming",
    ]


def test_a_flag_is_true_or_false(capsys: pytest.CaptureFixture[str]) -> None:
    assert flex_template.launch(["--force=perhaps"]) == 2
    assert (
        capsys.readouterr().err
        == "error: --force: expected true or false, got 'perhaps': see the template's metadata\n"
    )


def test_the_launcher_stages_the_job_and_does_not_wait(
    cli: CommandRunner, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google.auth, "default", lambda **_: (AnonymousCredentials(), "some-project"))
    words = [
        *("--input=gs://maps/a.tif gs://maps/b.tif", "--output=gs://maps/out/x.geojsonl", "--force=false"),
        *("--config=settings.yaml", f"--model={cli.model}", f"--sdk_container_image={IMAGE}"),
        *("--runner=DataflowRunner", "--project=some-project", "--region=us-central1", "--job_name=airplanes"),
        *("--staging_location=gs://maps/staging", "--temp_location=gs://maps/tmp", "--max_num_workers=3"),
        *("--template_location=gs://maps/staging/job_object", "--no_auth"),
    ]
    assert flex_template.launch(words) == 0
    assert "airplanes  " not in cli.capsys.readouterr().err
    job = json.loads(bucket.blob("staging/job_object").download_as_text())
    (pool,) = job["environment"]["workerPools"]
    assert {image["containerImage"] for image in pool["sdkHarnessContainerImages"]} == {IMAGE}
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 3
    assert [blob.name for blob in bucket.list_blobs(prefix="out/")] == []
