"""What a run on Dataflow would take and cost, before anything is submitted: `--plan` and `--max-cost`.

Rates and prices come from `configs/dataflow/workers.yaml` and `configs/prices/`.
"""

# No postponed annotations here: the loader resolves the fields' types to know which keys are allowed where.
import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from geo.errors import CommandError, ConfigError
from model.common.config import load_yaml
from pipeline.planning import Estimate
from pipeline.resources import Gpu

_CONFIGS = Path(__file__).resolve().parents[1] / "configs"
WORKERS_CONFIG = _CONFIGS / "dataflow" / "workers.yaml"
PRICES_FOLDER = _CONFIGS / "prices"

_RUNNERS = ("dataflowrunner", "dataflow")


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerType:
    """A kind of worker and what it is assumed to process.

    Attributes:
        machine_type: its name at Compute Engine.
        vcpus: virtual processors.
        memory_gib: memory, GiB.
        mpx_per_s: inferred pixels per second in the whole job, millions.
        basis: where that rate comes from.
        gpu: its accelerator, by Compute Engine's name; None: none.
        gpus: their number.

    Raises:
        ConfigError: a value is out of its range.
    """

    machine_type: str
    vcpus: int
    memory_gib: float
    mpx_per_s: float
    basis: str
    gpu: str | None = None
    gpus: int = 0

    def __post_init__(self) -> None:
        for name in ("vcpus", "memory_gib", "mpx_per_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name}: expected a number above 0, got {getattr(self, name)}")
        if (self.gpu is None) != (self.gpus == 0) or self.gpus < 0:
            raise ConfigError(f"gpus: expected a number above 0 with a gpu, else none, got {self.gpus}")

    @property
    def name(self) -> str:
        """Machine type and accelerators, in words."""
        return f"{self.machine_type} with {self.gpus} {self.gpu}" if self.gpu else self.machine_type


@dataclasses.dataclass(frozen=True, slots=True)
class WorkersConfig:
    """The kinds of workers that can be estimated.

    Attributes:
        start_minutes: from asking for a worker to its first tile.
        disk_gib: a worker's disk where the command names none, GiB.
        workers: the kinds.
    """

    start_minutes: float
    disk_gib: int
    workers: tuple[WorkerType, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Prices:
    """List prices of a region, USD; None: not known.

    Attributes:
        region: the region.
        source: the public page.
        date: when the page said so.
        usd_per_vcpu_hour: a virtual processor.
        usd_per_memory_gib_hour: a GiB of memory.
        usd_per_disk_gib_hour: a GiB of disk.
        usd_per_gpu_hour: an accelerator, by name.

    Raises:
        ConfigError: a price below 0, or prices without a date.
    """

    region: str
    source: str
    date: str | None
    usd_per_vcpu_hour: float | None
    usd_per_memory_gib_hour: float | None
    usd_per_disk_gib_hour: float | None
    usd_per_gpu_hour: dict[str, float | None]

    def __post_init__(self) -> None:
        by_unit = (self.usd_per_vcpu_hour, self.usd_per_memory_gib_hour, self.usd_per_disk_gib_hour)
        known = [price for price in (*by_unit, *self.usd_per_gpu_hour.values()) if price is not None]
        if not all(0 <= price < math.inf for price in known):
            raise ConfigError(f"expected prices from 0 on, got {min(known)}")
        if known and self.date is None:
            raise ConfigError("date: expected the date of the prices, got null")


@dataclasses.dataclass(frozen=True, slots=True)
class Workers:
    """The workers that a command asks for.

    Attributes:
        kind: what each of them is.
        count: the most there are at a time.
        disk_gib: the disk of each, GiB.
        start_minutes: from asking for one to its first tile.
        region: where they are.
    """

    kind: WorkerType
    count: int
    disk_gib: int
    start_minutes: float
    region: str


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """What a run takes at most.

    Attributes:
        worker_hours: hours of all workers together.
        vcpu_hours: hours of their virtual processors.
        gpu_hours: hours of their accelerators.
        usd: money; None: a price is not known.
        missing: the prices that are not known, by key of the file.
    """

    worker_hours: float
    vcpu_hours: float
    gpu_hours: float
    usd: float | None
    missing: tuple[str, ...]


def describe_workers(beam_words: Sequence[str], gpu: Gpu | None = None) -> Workers | None:
    """Return the workers that Beam's options ask Dataflow for; None where the runner is another.

    Without `gpu` it is the GPU of Beam's options: `--dataflow_service_options worker_accelerator=...`, or
    `--resource_hint accelerator=...`.

    Args:
        beam_words: Beam's options.
        gpu: the GPU of each worker that detects; None: none.

    Raises:
        CommandError: no region, no limit to the workers, or no rate is known for the machine type.
        ConfigError: the config of the workers is invalid.
    """
    if not beam_words:
        return None
    from model.datagen import beam_options  # loads Beam

    options = beam_options.parse(beam_words).get_all_options()
    if (options["runner"] or "").lower() not in _RUNNERS:
        return None
    region, machine_type, count = options["region"], options["machine_type"], options["max_num_workers"]
    if not region:
        raise CommandError("expected --region with DataflowRunner, got none: name one, such as us-central1")
    if not count:
        raise CommandError("expected --max_num_workers with DataflowRunner, got none: limit what may be started")
    config = load_yaml(WorkersConfig, WORKERS_CONFIG)
    # The workers that detect take nearly all of the time.
    asked: tuple[str | None, str | None, int]
    if gpu:
        asked = (gpu.machine_type or machine_type, gpu.type, 1)
    else:
        words = [*(options["dataflow_service_options"] or ()), *options["resource_hints"]]
        asked = (machine_type, *_accelerator(words))
    kind = next((kind for kind in config.workers if (kind.machine_type, kind.gpu, kind.gpus) == asked), None)
    if kind is None:
        known = ", ".join(kind.name for kind in config.workers)
        raise CommandError(
            f"expected a worker whose rate is known ({known}), got {asked[0] or 'no --machine_type'} and "
            f"{f'{asked[2]} {asked[1]}' if asked[1] else 'no GPU'}: choose one, or add it to {WORKERS_CONFIG}"
        )
    return Workers(kind, count, options["disk_size_gb"] or config.disk_gib, config.start_minutes, region)


def _accelerator(words: Sequence[str]) -> tuple[str | None, int]:
    """Return name and number of the accelerators in Beam's options; (None, 0): none."""
    for word in words:
        name, _, value = word.partition("=")
        if name.rpartition("accelerator")[1]:
            parts = dict(part.split(":", 1) for part in value.split(";") if ":" in part)
            return parts.get("type"), int(parts.get("count", "1"))
    return None, 0


def load_prices(region: str) -> Prices:
    """Return the prices of a region; all of them are unknown where there is no file.

    Raises:
        ConfigError: the file is invalid, or is of another region.
    """
    path = PRICES_FOLDER / f"{region}.yaml"
    if not path.is_file():
        return Prices(region, "", None, None, None, None, {})
    prices = load_yaml(Prices, path)
    if prices.region != region:
        raise ConfigError(f"{path}: expected region: {region}, got {prices.region}: one file is one region")
    return prices


def estimate_cost(planned: Estimate, workers: Workers, prices: Prices) -> Cost:
    """Return what a run takes at most, where every planned pixel is inferred and every worker starts once."""
    kind = workers.kind
    hours = planned.total_mpx / kind.mpx_per_s / 3600 + workers.count * workers.start_minutes / 60
    units = {
        "usd_per_vcpu_hour": (kind.vcpus, prices.usd_per_vcpu_hour),
        "usd_per_memory_gib_hour": (kind.memory_gib, prices.usd_per_memory_gib_hour),
        "usd_per_disk_gib_hour": (workers.disk_gib, prices.usd_per_disk_gib_hour),
    }
    if kind.gpu:
        units[f"usd_per_gpu_hour.{kind.gpu}"] = (kind.gpus, prices.usd_per_gpu_hour.get(kind.gpu))
    missing = tuple(name for name, (_, price) in units.items() if price is None)
    usd = None if missing else hours * sum(number * price for number, price in units.values() if price is not None)
    return Cost(hours, hours * kind.vcpus, hours * kind.gpus, usd, missing)


def check_max_cost(cost: Cost, max_usd: float, prices: Prices) -> None:
    """Refuse a run that may cost more than is allowed.

    Raises:
        CommandError: it may, or a price is not known.
    """
    if cost.usd is None:
        raise CommandError(
            f"--max-cost {max_usd:g}: expected known prices, got none for {', '.join(cost.missing)}: "
            f"fill them in, in {PRICES_FOLDER / prices.region}.yaml"
        )
    if cost.usd > max_usd:
        raise CommandError(
            f"--max-cost {max_usd:g}: expected a run of at most {max_usd:,.2f} USD, got an estimate of "
            f"{cost.usd:,.2f} USD: process fewer scenes, an --aoi or fewer levels, or raise it (--plan shows the parts)"
        )


def cost_lines(cost: Cost, workers: Workers, prices: Prices, km2: float) -> Iterator[str]:
    """Yield the cost as text, line by line, with what it assumes.

    Args:
        cost: the cost.
        workers: the workers.
        prices: the prices of their region.
        km2: the ground of interest, square kilometres.
    """
    kind = workers.kind
    machines = f"{workers.count} workers of {kind.name}, {workers.disk_gib} GiB of disk"
    yield f"Dataflow in {workers.region}: at most {machines}"
    yield f"assumption: {kind.mpx_per_s:g} Mpx/s per worker ({kind.basis})"
    yield f"assumption: a worker starts in {workers.start_minutes:g} minutes, which are paid for"
    hours = f"{cost.gpu_hours:,.2f} GPU hours, {cost.vcpu_hours:,.2f} vCPU hours"
    yield f"at most {cost.worker_hours:,.2f} worker hours: {hours}"
    if cost.usd is None:
        yield f"no money: {', '.join(cost.missing)} not filled in, in {PRICES_FOLDER.name}/{prices.region}.yaml"
        return
    per_area = f", {cost.usd / km2 * 1000:,.2f} USD per 1000 km2" if km2 else ""
    yield (
        f"at most {cost.usd:,.2f} USD{per_area}, by list prices of {prices.date} (check before relying on them: "
        f"{prices.source})"
    )
