"""Speed and memory of the main job: `make bench`; in short `python -m tests.benchmarks.bench --size 3000 --times 1`.

On one sample scene, as a COG of each codec: the rate of the model alone on pixels in memory,
before and after the jobs, and the rate of the whole job (reading, model's loading, suppression and writing included),
in processes of their own. Then the job on VRTs of growing size, and suppression alone. The table, beside that of the
run before, goes to the terminal, and with everything else to out/bench.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from geo.nms import Suppression, merge_levels
from geo.types import Detections
from model.common import logs
from tests.benchmarks import scenes

BOXES = (10_000, 100_000, 1_000_000)
BARE_SECONDS = 15.0
SAMPLE_S = 0.05

# Goals.
MIN_SHARE = 0.9
MIN_SCENE_MPX_PER_S = 6.0
MAX_FINEST = 1.3
MAX_MEMORY_GB = 3.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--size", type=int, default=10_000, metavar="PX", help="side of the scene (default: %(default)s)"
    )
    parser.add_argument(
        "--times", type=int, nargs="*", default=[1, 4, 12], metavar="N", help="parts of 5,000 px along a VRT's side"
    )
    parser.add_argument("--model", metavar="NAME|PATH", help="packaged model, or a model's folder")
    parser.add_argument("--output", type=Path, default=Path("out/bench.json"), metavar="FILE")
    parser.add_argument("--bare", type=Path, metavar="SCENE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        sys.stdout.write(json.dumps(bare_rate(str(options.bare), options.model)))
        return 0
    options.output.parent.mkdir(parents=True, exist_ok=True)
    previous = json.loads(options.output.read_text(encoding="utf-8")) if options.output.exists() else {}
    figures = measure(options.size, options.times, options.model, options.output.parent / "bench")
    options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(table(figures, previous if "jobs" in previous else {}))
    return 0


def measure(size: int, times: Sequence[int], model: str | None, folder: Path) -> dict[str, Any]:
    """Return every figure of one scene of `size` by `size` pixels, and of VRTs of so many parts side by side."""
    scene = scenes.drawn(size, folder)
    before = run_bare(scene, model)
    jobs = {codec: run_job(scenes.cog(scene, codec), model, folder) for codec in scenes.CODECS}
    after = run_bare(scene, model)
    bare = statistics.mean([before, after])
    for job in jobs.values():
        job["share_of_bare"] = job["mpx_per_s"] / bare
        job["gflop_per_scene_mpx"] = tile_gflop(model) * job["tiles"] / (size * size / 1e6)
    part = scenes.drawn(scenes.PART_PX, folder)
    growth = {str(number * scenes.PART_PX): run_job(scenes.repeated(part, number), model, folder) for number in times}
    return {
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        "scene": {"pixels": size * size, "bytes": scene.stat().st_size},
        "bare": {"mpx_per_s": bare, "before": before, "after": after},
        "jobs": jobs,
        "growth": growth,
        "suppression_s": {str(count): suppression_seconds(count) for count in BOXES},
    }


def run_bare(scene: Path, model: str | None) -> float:
    """Return the bare model's rate, Mpx/s, measured in a process of its own."""
    words = [sys.executable, "-m", "tests.benchmarks.bench", "--bare", str(scene), *_model(model)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout))


def bare_rate(uri: str, model: str | None) -> float:
    """Returns the rate, Mpx/s, at which the model looks at tiles of the scene's middle that lie in memory."""
    logs.silence()
    from pipeline import planning, steps
    from pipeline.config import load_config
    from pipeline.model_loading import describe_model, load_model
    from pipeline.values import SceneSource, TileImage

    spec = describe_model(load_config(overrides={"model": model}))
    config = spec.config
    blocks = list(
        planning.plan_blocks(
            planning.open_scene(SceneSource(uri), config), dataclasses.replace(config, block_tiles=config.batch_size)
        )
    )
    middle = blocks[len(blocks) // 3 : len(blocks) // 3 + 8]
    batches = [[item for item in steps.read_tiles(block) if isinstance(item, TileImage)] for block in middle]
    batches = [batch for batch in batches if len(batch) == config.batch_size] or batches
    predictor = load_model(spec)
    steps.detect_tiles(predictor, batches[0], config)
    tiles = 0
    started = time.perf_counter()
    while (seconds := time.perf_counter() - started) < BARE_SECONDS:
        for batch in batches:
            steps.detect_tiles(predictor, batch, config)
            tiles += len(batch)
    return tiles * config.tiling.tile_px**2 / 1e6 / seconds


def tile_gflop(model: str | None) -> float:
    """Returns the operations, thousand million, of the model's look at one tile."""
    logs.silence()
    from model.detectors import flops
    from model.inference import model_folder, weights_io
    from pipeline.config import load_config

    config = load_config(overrides={"model": model})
    network, _ = weights_io.load(model_folder.resolve(config.model))
    return flops.count_flops(network, config.tiling.tile_px, config.tiling.tile_px) / 1e9


def run_job(scene: Path, model: str | None, folder: Path) -> dict[str, Any]:
    """Run the job in a process of its own and returns its figures."""
    from pipeline.ledger import read_ledger

    output = folder / "airplanes.geojson"
    words = ["-m", "pipeline.run", "--input", str(scene), "--output", str(output), *_model(model)]
    started = time.perf_counter()
    process = psutil.Popen([sys.executable, *words])
    peak = peak_memory(process)
    if status := process.wait():
        raise SystemExit(f"expected the job to end with status 0, got {status}: {' '.join(words)}")
    ledger = read_ledger(output.with_name(f"{output.name}.ledger.json"))
    scene_mpx = sum((one.width_px or 0) * (one.height_px or 0) for one in ledger.scenes) / 1e6
    tile_mpx = ledger.run.settings["tiling"]["tile_px"] ** 2 / 1e6
    return {
        "mpx_per_s": ledger.totals.parts_done * tile_mpx / ledger.seconds,
        "scene_mpx_per_s": scene_mpx / ledger.seconds,
        "seconds": ledger.seconds,
        "command_seconds": time.perf_counter() - started,
        "tiles": ledger.totals.parts_done,
        "airplanes": ledger.totals.airplanes,
        "finest_pixels_per_scene_pixel": finest_share(scene),
        "peak_memory_gb": peak / 1e9,
        "model": ledger.run.model,
        "precision": ledger.run.settings["precision"],
    }


def suppression_seconds(count: int) -> float:
    """Return how long one pass over boxes takes, of which four of three levels show each airplane."""
    rng = np.random.default_rng(1)
    middles = rng.uniform(0, 40 * np.sqrt(count), (count // 4, 2)).repeat(4, axis=0) + rng.normal(0, 2, (count, 2))
    halves = rng.uniform(5, 20, (count // 4, 2)).repeat(4, axis=0) + rng.normal(0, 0.5, (count, 2))
    boxes = np.concatenate([middles - halves, middles + halves], axis=1)
    found = Detections(boxes, rng.random(count), rng.choice([0.5, 1.0, 2.0], count))
    started = time.perf_counter()
    merge_levels(found, Suppression(0.5, 0.8))
    return time.perf_counter() - started


def peak_memory(process: psutil.Popen) -> int:
    """Return the largest resident size, bytes, of a process and its children while it runs."""
    peak = 0
    while process.poll() is None:
        try:
            family = [process, *process.children(recursive=True)]
            peak = max(peak, sum(one.memory_info().rss for one in family))
        except psutil.NoSuchProcess:
            continue
        time.sleep(SAMPLE_S)
    return peak


def finest_share(scene: Path) -> float:
    """Return how many pixels the finest level's tiles hold for each pixel of the scene."""
    from geo.grid import plan_tiles
    from pipeline import planning
    from pipeline.config import load_config
    from pipeline.values import SceneSource

    config = load_config()
    opened = planning.open_scene(SceneSource(str(scene)), config)
    tiles = len(list(plan_tiles(opened.levels[0], config.tiling)))
    return tiles * config.tiling.tile_px**2 / (opened.header.width * opened.header.height)


def table(figures: dict[str, Any], previous: dict[str, Any]) -> str:
    """Return the figures for people, each beside that of the run before, where there is one."""
    before = {name: value for name, value, _ in rows(previous)} if previous else {}
    return "".join(f"{name:40}{value:>14}{before.get(name, '-'):>14}  {note}\n" for name, value, note in rows(figures))


def rows(figures: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield name, figure and note."""
    yield "bare model", f"{figures['bare']['mpx_per_s']:.2f} Mpx/s", next(iter(figures["jobs"].values()))["precision"]
    for codec, job in figures["jobs"].items():
        scene, share = job["scene_mpx_per_s"], job["share_of_bare"]
        finest = job["finest_pixels_per_scene_pixel"]
        note = f"{job['seconds']:.0f} s, {job['gflop_per_scene_mpx']:.1f} GFLOP a Mpx, {job['airplanes']} airplanes"
        yield f"{codec}: pixels inferred", f"{job['mpx_per_s']:.2f} Mpx/s", f"{job['tiles']} tiles"
        yield f"{codec}: pixels of the scene", f"{scene:.2f} Mpx/s", f"{_goal(scene, MIN_SCENE_MPX_PER_S)}; {note}"
        yield f"{codec}: ground at 0.5 m", f"{scene / 4:.2f} km2/s", ""
        yield f"{codec}: share of the bare rate", f"{share:.2f}", _goal(share, MIN_SHARE)
        yield f"{codec}: finest level / scene, pixels", f"{finest:.2f}", _goal(-finest, -MAX_FINEST)
    for size, job in figures["growth"].items():
        memory = job["peak_memory_gb"]
        yield (
            f"{int(size):,} px: seconds",
            f"{job['seconds']:.0f} s",
            f"{job['scene_mpx_per_s']:.2f} Mpx/s of the scene",
        )
        yield f"{int(size):,} px: peak memory", f"{memory:.2f} GB", _goal(-memory, -MAX_MEMORY_GB)
    for count, seconds in figures["suppression_s"].items():
        yield f"suppression, {int(count):,} boxes", f"{seconds:.2f} s", ""


def _goal(figure: float, minimum: float) -> str:
    """Say whether a goal is reached; where a small figure is the goal, both arguments are negative."""
    goal = f"at least {minimum:g}" if minimum >= 0 else f"at most {-minimum:g}"
    return f"{'ok' if figure >= minimum else 'MISSED'}, {goal}"


def _model(model: str | None) -> list[str]:
    return ["--model", model] if model else []


if __name__ == "__main__":
    sys.exit(main())
