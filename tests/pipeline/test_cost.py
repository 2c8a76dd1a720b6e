"""What a run on Dataflow would cost: `--plan --runner DataflowRunner` and `--max-cost`."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from geo.errors import CommandError, ConfigError
from model.common.config import load_yaml
from pipeline import cost, dataflow, planning, run
from pipeline.cost import Prices, Workers, WorkersConfig, WorkerType
from pipeline.planning import Estimate
from pipeline.resources import find_gpu
from tests.pipeline.command_runner import CommandRunner

GPU = WorkerType("n1-standard-4", 4, 15.0, 50.0, "assumed", "nvidia-tesla-t4", 1)
PLANNED = Estimate(scenes=2, duplicates=0, errors=(), tiles={0.5: 30}, mpx={0.5: 360_000.0}, km2=500.0)
WORKERS = Workers(GPU, count=6, disk_gib=100, start_minutes=10.0, region="us-central1")
PRICES = Prices("us-central1", "https://example.org", "2025", 0.05, 0.004, 0.0001, {"nvidia-tesla-t4": 0.4})
DATAFLOW = ("--runner", "DataflowRunner", "--region", "us-central1", "--max_num_workers", "3")


def words(cli: CommandRunner, *options: str) -> list[str]:
    base = ["--input", "a.tif", "--output", "x.geojson", "--config", "settings.yaml", "--model", str(cli.model)]
    return [*base, *options]


def test_every_worker_starts_once_and_every_pixel_is_inferred() -> None:
    costs = cost.estimate_cost(PLANNED, WORKERS, PRICES)
    hours = 360_000 / 50 / 3600 + 6 * 10 / 60  # 2 + 1
    assert (costs.worker_hours, costs.gpu_hours, costs.vcpu_hours) == pytest.approx((hours, hours, 4 * hours))
    assert costs.usd == pytest.approx(3 * (4 * 0.05 + 15 * 0.004 + 100 * 0.0001 + 0.4))
    lines = list(cost.cost_lines(costs, WORKERS, PRICES, PLANNED.km2))
    assert lines == [
        "Dataflow in us-central1: at most 6 workers of n1-standard-4 with 1 nvidia-tesla-t4, 100 GiB of disk",
        "assumption: 50 Mpx/s per worker (assumed)",
        "assumption: a worker starts in 10 minutes, which are paid for",
        "at most 3.00 worker hours: 3.00 GPU hours, 12.00 vCPU hours",
        "at most 2.01 USD, 4.02 USD per 1000 km2, by list prices of 2025 (check before relying on them: https://example.org)",
    ]


def test_without_a_price_only_hours_are_shown() -> None:
    prices = dataclasses.replace(PRICES, usd_per_gpu_hour={})
    costs = cost.estimate_cost(PLANNED, WORKERS, prices)
    assert costs.usd is None
    last = list(cost.cost_lines(costs, WORKERS, prices, PLANNED.km2))[-1]
    assert last == "no money: usd_per_gpu_hour.nvidia-tesla-t4 not filled in, in prices/us-central1.yaml"
    with pytest.raises(
        CommandError, match=r"--max-cost 5: expected known prices, got none for usd_per_gpu_hour\.nvidia"
    ):
        cost.check_max_cost(costs, 5.0, prices)


def test_a_price_of_a_gpu_that_is_not_there_is_not_needed() -> None:
    prices = dataclasses.replace(PRICES, usd_per_gpu_hour={})
    workers = dataclasses.replace(WORKERS, kind=dataclasses.replace(GPU, gpu=None, gpus=0))
    costs = cost.estimate_cost(PLANNED, workers, prices)
    assert costs.usd == pytest.approx(3 * (4 * 0.05 + 15 * 0.004 + 100 * 0.0001))
    assert costs.gpu_hours == 0


def test_a_run_may_cost_as_much_as_is_allowed_and_no_more() -> None:
    costs = cost.estimate_cost(PLANNED, WORKERS, PRICES)
    assert costs.usd is not None
    cost.check_max_cost(costs, costs.usd, PRICES)
    with pytest.raises(
        CommandError, match=r"--max-cost 2: expected a run of at most 2\.00 USD, got an estimate of 2\.01 USD"
    ):
        cost.check_max_cost(costs, 2.0, PRICES)


def test_the_project_knows_workers_and_prices() -> None:
    config = load_yaml(WorkersConfig, cost.WORKERS_CONFIG)
    assert {kind.gpu for kind in config.workers} == {None, "nvidia-tesla-t4", "nvidia-l4"}
    keys = [(kind.machine_type, kind.gpu) for kind in config.workers]
    assert len(set(keys)) == len(keys)
    assert all(kind.basis.startswith("assumed") for kind in config.workers)
    files = sorted(cost.PRICES_FOLDER.glob("*.yaml"))
    assert {"us-central1.yaml", "europe-west4.yaml"} <= {path.name for path in files}
    for path in files:
        prices = cost.load_prices(path.stem)
        assert prices.source.startswith("https://")
        assert {kind.gpu for kind in config.workers if kind.gpu} == set(prices.usd_per_gpu_hour)
    assert cost.load_prices("us-central1").usd_per_vcpu_hour == 0.056


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"usd_per_vcpu_hour": -1.0}, "expected prices from 0 on, got -1"),
        ({"date": None}, "date: expected the date of the prices, got null"),
        ({"region": "europe-west4"}, "expected region: us-central1, got europe-west4"),
        ({"usd_per_gpu": 1}, "unknown key usd_per_gpu"),
    ],
)
def test_wrong_prices_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], message: str
) -> None:
    monkeypatch.setattr(cost, "PRICES_FOLDER", tmp_path)
    (tmp_path / "us-central1.yaml").write_text(yaml.safe_dump(dataclasses.asdict(PRICES) | change))
    with pytest.raises(ConfigError, match=message):
        cost.load_prices("us-central1")


def test_the_prices_of_another_region_are_unknown() -> None:
    costs = cost.estimate_cost(PLANNED, WORKERS, cost.load_prices("mars-north1"))
    assert len(costs.missing) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*DATAFLOW, "--machine_type", "n1-standard-9"), "got n1-standard-9 and no GPU: choose one, or add it to"),
        (DATAFLOW, "got no --machine_type and no GPU"),
        (DATAFLOW[:2], "expected --region with DataflowRunner, got none"),
        (DATAFLOW[:4], "expected --max_num_workers with DataflowRunner, got none"),
    ],
)
def test_workers_that_cannot_be_estimated_are_refused(options: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        cost.describe_workers(options)


@pytest.mark.parametrize(
    "option",
    [
        "--dataflow_service_options=worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver",
        "--resource_hint=accelerator=type:nvidia-l4;count:1;install-nvidia-driver",
    ],
)
def test_the_gpu_is_the_one_that_beam_asks_for(option: str) -> None:
    workers = cost.describe_workers((*DATAFLOW, "--machine_type", "g2-standard-8", option, "--disk_size_gb", "70"))
    assert workers is not None
    assert (workers.kind.gpu, workers.kind.gpus, workers.count, workers.disk_gib) == ("nvidia-l4", 1, 3, 70)
    with pytest.raises(CommandError, match="got g2-standard-8 and 2 nvidia-l4"):
        cost.describe_workers((*DATAFLOW, "--machine_type", "g2-standard-8", option.replace("count:1", "count:2")))


def test_only_dataflow_has_a_cost() -> None:
    assert cost.describe_workers(()) is None
    assert cost.describe_workers(("--runner", "DirectRunner")) is None


def test_plan_prints_the_cost_without_loading_a_model(cli: CommandRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*_: object) -> float:
        raise AssertionError("the rate of this machine says nothing about Dataflow")

    monkeypatch.setattr(planning, "measure_rate", measured)
    before = sorted(cli.folder.rglob("*"))
    assert run.main(words(cli, "--plan", *DATAFLOW, "--machine_type", "n2-standard-4")) == 0
    lines = cli.capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[1:3]] == ["0.5 m", "1 m"]
    assert lines[4].startswith("Dataflow in us-central1: at most 3 workers of n2-standard-4")
    assert lines[-1].startswith("at most 0.")
    assert "USD per 1000 km2" in lines[-1]
    assert sorted(cli.folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*DATAFLOW, "--machine_type", "n2-standard-4"), "--max-cost 0.01: expected a run of at most 0.01 USD"),
        ((), "--max-cost: expected --runner DataflowRunner, got a run elsewhere"),
    ],
)
def test_a_run_that_may_cost_too_much_does_not_start(
    cli: CommandRunner, options: tuple[str, ...], message: str
) -> None:
    assert message in cli.usage_error("--max-cost", "0.01", *options)


@pytest.fixture(autouse=True)
def local_scenes_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dataflow's workers would not reach the scenes of these tests; the estimate is the subject here."""
    monkeypatch.setattr(dataflow, "check_reachable", lambda *_: None)
    monkeypatch.setattr(dataflow, "check_options", lambda *_: None)


@pytest.mark.parametrize("text", ["-1", "nan", "much"])
def test_a_cost_is_a_number(cli: CommandRunner, text: str) -> None:
    assert f"expected a number of USD from 0 on, got {text}" in cli.usage_error("--max-cost", text)


def test_a_gpu_that_is_asked_for_has_a_rate() -> None:
    workers = cost.describe_workers(DATAFLOW, find_gpu("nvidia-l4"))
    assert workers is not None
    assert (workers.kind.gpu, workers.kind.gpus) == ("nvidia-l4", 1)
