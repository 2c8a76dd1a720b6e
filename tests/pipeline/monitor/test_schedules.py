"""The files for schedulers: their commands are valid, and they are what cron, systemd and Google Cloud take."""

import configparser
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud.dataflow_v1beta3 import types
from google.protobuf import json_format

from pipeline import flex_template
from pipeline.monitor.__main__ import _parser

FOLDER = Path("configs/monitor/schedule")
MODULE = ["python", "-m", "pipeline.monitor"]


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string((FOLDER / name).read_text(encoding="utf-8"))
    return parser


def cron_line() -> str:
    (line,) = [line for line in (FOLDER / "crontab").read_text().splitlines() if not line.startswith("#")]
    return line


def job_container() -> dict[str, Any]:
    job = yaml.safe_load((FOLDER / "cloud_run_job.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("run.googleapis.com/v1", "Job")
    execution = job["spec"]["template"]["spec"]
    assert (execution["parallelism"], execution["taskCount"]) == (1, 1)
    (container,) = execution["template"]["spec"]["containers"]
    return dict(container)


def cron_words() -> list[str]:
    return shlex.split(cron_line().partition("&&")[2].partition(">>")[0])


def systemd_words() -> list[str]:
    return shlex.split(unit("airplane-monitor.service")["Service"]["ExecStart"])


def cloud_words() -> list[str]:
    container = job_container()
    return [*container["command"], *container["args"]]


@pytest.mark.parametrize("words", [cron_words(), systemd_words(), cloud_words()], ids=["cron", "systemd", "cloud run"])
def test_each_schedule_runs_a_valid_command(words: list[str]) -> None:
    assert [Path(words[0]).name, *words[1:3]] == MODULE
    options, rest = _parser().parse_known_args(words[3:])
    assert (options.command, rest) == ("run", [])
    assert Path(options.airports).is_file()
    assert options.report == options.store


def test_the_cron_line_is_one_of_a_crontab() -> None:
    assert re.match(r"\d+ \* \* \* \* cd \S+ && ", cron_line())
    assert "%" not in cron_line()  # a line break for cron


def test_the_timer_starts_the_service() -> None:
    service, timer = unit("airplane-monitor.service"), unit("airplane-monitor.timer")
    assert service["Service"]["Type"] == "oneshot"
    assert set(timer["Timer"]) == {"OnCalendar", "RandomizedDelaySec", "Persistent"}
    assert "Unit" not in timer["Timer"]  # by its name
    assert timer["Install"]["WantedBy"] == "timers.target"


def test_the_body_that_cloud_scheduler_posts_starts_the_flex_template() -> None:
    body = json.loads((FOLDER / "flex_template_launch.json").read_text(encoding="utf-8"))
    message = types.LaunchFlexTemplateRequest.pb(types.LaunchFlexTemplateRequest())
    launch = types.LaunchFlexTemplateRequest(json_format.ParseDict(body, message)).launch_parameter
    assert launch.container_spec_gcs_path.startswith("gs://")
    known = {item["name"]: item for item in flex_template.make_metadata()["parameters"]}
    assert {name for name, item in known.items() if not item["isOptional"]} <= set(launch.parameters)
    for name, value in launch.parameters.items():
        filled = value.replace("$BUCKET", "bucket").replace("$PROJECT", "project").replace("$IMAGE", "image")
        assert all(re.fullmatch(pattern, filled) for pattern in known[name]["regexes"]), name
