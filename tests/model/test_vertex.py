"""The configs for Vertex AI: valid messages of the service, and valid settings of `model.train`."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud import aiplatform_v1
from google.protobuf import json_format

from model import train
from model.training import detector as training
from model.training.config import TrainConfig

FOLDER = Path("configs/vertex")


def content(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return read


def parsed(name: str, values: object) -> Any:
    """Parse a message of the service; json_format rejects unknown keys."""
    kind = getattr(aiplatform_v1, name)
    return kind(json_format.ParseDict(values, kind.pb(kind())))


CUSTOM, TUNING = content("custom-job.yaml"), content("tuning-job.yaml")


def keys(values: object) -> Iterator[str]:
    if isinstance(values, dict):
        yield from values
    if isinstance(values, dict | list):
        for value in values.values() if isinstance(values, dict) else values:
            yield from keys(value)


@pytest.mark.parametrize("values", [CUSTOM, TUNING], ids=["custom", "tuning"])
def test_keys_have_the_spelling_of_gcloud(values: dict[str, Any]) -> None:
    # The messages' own names, with underscores, would be taken here; gcloud refuses them.
    assert [key for key in keys(values) if "_" in key] == []


def test_the_custom_job_is_a_valid_message() -> None:
    job = parsed("CustomJobSpec", CUSTOM)
    (pool,) = job.worker_pool_specs
    assert (pool.machine_spec.accelerator_type.name, pool.replica_count) == ("NVIDIA_L4", 1)
    assert job.scheduling.timeout.total_seconds() == 4 * 3600


def test_the_tuning_job_is_a_valid_message() -> None:
    job = parsed("HyperparameterTuningJob", TUNING)
    assert job.display_name
    assert 0 < job.parallel_trial_count <= job.max_trial_count
    (metric,) = job.study_spec.metrics
    assert (metric.metric_id, metric.goal.name) == ("ap50", "MAXIMIZE")
    for parameter in job.study_spec.parameters:
        if parameter.scale_type.name == "UNIT_LOG_SCALE":
            assert 0 < parameter.double_value_spec.min_value < parameter.double_value_spec.max_value


@pytest.mark.parametrize("wrong", [{"workerPools": []}, {"workerPoolSpecs": [{"replicas": 1}]}])
def test_unknown_keys_are_rejected(wrong: dict[str, Any]) -> None:
    with pytest.raises(json_format.ParseError):
        parsed("CustomJobSpec", CUSTOM | wrong)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """What `model.train` would train."""
    configs: list[TrainConfig] = []

    def note(config: TrainConfig) -> Path:
        configs.append(config)
        return config.run

    monkeypatch.setattr(training, "train", note)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    return configs


def pool_of(spec: dict[str, Any]) -> dict[str, Any]:
    (pool,) = spec["workerPoolSpecs"]
    assert isinstance(pool, dict)
    return pool


def test_the_custom_job_trains_from_the_bucket_on_every_gpu_that_it_pays_for(settings: list[TrainConfig]) -> None:
    pool = pool_of(CUSTOM)
    container = pool["containerSpec"]
    assert container["command"] == ["python", "-m", "model.train"]
    assert train.main(container["args"]) == 0
    (config,) = settings
    assert {str(config.data.parent), str(config.run.parent.parent)} == {"/gcs/BUCKET"}
    assert (config.backend, config.distribution.device) == ("jax", "gpu")
    assert config.distribution.devices == pool["machineSpec"]["acceleratorCount"]


# Replaces the container's `python`: records its arguments and writes the files of a training.
STAND_IN = """#!{python}
import json, os, sys
if sys.argv[1:3] != ["-m", "model.train"]:
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
with open("command.json", "w") as file:
    json.dump(sys.argv[3:], file)
run = next(word for word in sys.argv if word.startswith("--run=")).removeprefix("--run=")
os.makedirs(run)
with open(run + "/val.csv", "w") as file:
    file.write("epoch,set,ap50\\n4,one,0.1\\n4,together,0.25\\n9,one,0.5\\n9,together,0.75\\n")
sys.exit({status})
"""
HYPERTUNE = """
class HyperTune:
    def report_hyperparameter_tuning_metric(self, hyperparameter_metric_tag, metric_value):
        print(hyperparameter_metric_tag, metric_value)
"""


def run_trial(folder: Path, flags: list[str], status: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs the script of a trial as the service would, with its mounted buckets in `folder`."""
    container = pool_of(TUNING["trialJobSpec"])["containerSpec"]
    command = [word.replace("/gcs/", f"{folder}/gcs/") for word in [*container["command"], *container["args"]]]
    (folder / "python").write_text(STAND_IN.format(python=sys.executable, status=status))
    (folder / "python").chmod(0o755)
    (folder / "hypertune.py").write_text(HYPERTUNE)
    environment = os.environ | {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
        "AIP_MODEL_DIR": "gs://BUCKET/tuning/airplanes/7/model/",
    }
    return subprocess.run([*command, *flags], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def of_the_service() -> list[dict[str, str]]:
    """Return both ends of every parameter's range, in the service's format of numbers."""
    ends = []
    for parameter in parsed("HyperparameterTuningJob", TUNING).study_spec.parameters:
        numbers = parameter.double_value_spec or parameter.integer_value_spec
        several = list(parameter.discrete_value_spec.values)
        both = (several[0], several[-1]) if several else (numbers.min_value, numbers.max_value)
        ends.append([(parameter.parameter_id, repr(end)) for end in both])
    return [dict(pairs) for pairs in itertools.product(*ends)]


def test_a_trial_trains_with_its_parameters_and_reports_its_metric(tmp_path: Path, settings: list[TrainConfig]) -> None:
    done = run_trial(tmp_path, ["--learning_rate=0.0002", "--frozen_blocks", "5"])
    assert (done.returncode, done.stdout) == (0, "ap50 0.75\n"), done.stderr
    command = json.loads((tmp_path / "command.json").read_text())
    assert train.main(command) == 0
    (config,) = settings
    assert config.run == tmp_path / "gcs/BUCKET/tuning/airplanes/7"
    assert (config.learning_rate, config.frozen_blocks, config.epochs) == (0.0002, 5, 10)
    assert config.callbacks is not None
    assert config.distribution.devices == pool_of(TUNING["trialJobSpec"])["machineSpec"]["acceleratorCount"]


def test_a_trial_that_fails_reports_nothing(tmp_path: Path) -> None:
    done = run_trial(tmp_path, [], status=2)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("equals", [True, False])
def test_every_value_in_the_ranges_is_a_valid_setting(settings: list[TrainConfig], equals: bool) -> None:
    for chosen in of_the_service():
        flags = [[f"--{key}={value}"] if equals else [f"--{key}", value] for key, value in chosen.items()]
        assert train.main(["--config", "configs/train/stage1.yaml", *itertools.chain(*flags)]) == 0
        for key, value in chosen.items():
            assert getattr(settings[-1], key) == float(value)
