"""Speed and memory of the main job: `make bench`; in short `python -m tests.benchmarks.bench --size 3000 --chips 10`.

On one sample scene, as a COG of each codec: the rate of the model alone on pixels in memory, before and after each job,
and the rate of the whole job (reading, model's loading, suppression and writing included), in processes of their own.
Then where the time goes in one process, the start of the command on a small scene, a folder of chips beside one scene
of as many pixels, and suppression alone.
`--memory` measures the peak memory on VRTs of growing size instead; `--peer PYTHON` also runs SAHI and YOLO11n on the
same scene, with an interpreter that has them. The table, beside that of the run before, goes to the terminal, and with
everything else to out/bench.json. Ratios hold only where nothing else runs.
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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from unittest import mock

import numpy as np
import psutil
import rasterio

from geo.nms import Suppression, merge_levels
from geo.types import Detections
from model.common import logs
from tests.benchmarks import scenes

if TYPE_CHECKING:
    from pipeline.ledger import Ledger

BOXES = (10_000, 100_000, 1_000_000)
BARE_SECONDS = 10.0
SAMPLE_S = 0.2
CHIP_PX = 300
START_PX = 1000
START_RUNS = 3
#: Parts of 5,000 px along the sides of the VRTs for `--memory`.
MEMORY_TIMES = (1, 4, 12)

# Goals.
MIN_SHARE = 0.9
MAX_INFERRED = 1.35
MAX_CHIPS = 1.8
MAX_MEMORY_GB = 2.0
MAX_MEMORY_RATIO = 1.15
MIN_PEER = 2.5
MAX_START_S = 4.0

#: What the phases of `phase_seconds` are.
PHASES = {
    "load": "the model",
    "read": "tiles, beside the model",
    "wait": "the model for tiles",
    "model": "the engine",
    "boxes": "the engine for the boxes of the batch before",
    "rest": "header, planning, suppression, georeferencing",
}

# Random weights, since only the time counts. It prints the seconds of the prediction alone. A torchvision of another
# build than torch has no compiled suppression and does not load; then a plain one takes its place. It has little to do:
# random weights give no boxes.
PEER = """
import sys, tempfile, time
from pathlib import Path
import numpy as np
import torch
try:
    import torchvision
except RuntimeError:
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    def nms(boxes, scores, iou):
        kept, remaining = [], torch.argsort(scores, descending=True).tolist()
        while remaining:
            kept.append(remaining.pop(0))
            best, others = boxes[kept[-1]], boxes[remaining]
            sides = torch.minimum(others[:, 2:], best[2:]) - torch.maximum(others[:, :2], best[:2])
            shared = sides.clamp(min=0).prod(1)
            areas = (others[:, 2:] - others[:, :2]).prod(1) + (best[2:] - best[:2]).prod()
            remaining = [remaining[i] for i in torch.nonzero(shared <= iou * (areas - shared)).flatten().tolist()]
        return torch.tensor(kept, dtype=torch.int64)
    for operator in ("torchvision::nms", "torchvision::qnms"):
        torch.library.define(operator, "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision
    torchvision.ops.nms = nms
from PIL import Image
from sahi import AutoDetectionModel
from sahi.predict import get_sliced_prediction
from ultralytics import YOLO
Image.MAX_IMAGE_PIXELS = None
with tempfile.TemporaryDirectory() as folder:
    weights = str(Path(folder) / "yolo11n.pt")
    YOLO("yolo11n.yaml").save(weights)
    model = AutoDetectionModel.from_pretrained("ultralytics", weights, confidence_threshold=0.3, device="cpu")
    started = time.perf_counter()
    sides = dict(slice_height=640, slice_width=640, overlap_height_ratio=0.1, overlap_width_ratio=0.1)
    get_sliced_prediction(np.asarray(Image.open(sys.argv[1]).convert("RGB")), model, **sides, verbose=0)
    print(time.perf_counter() - started)
"""

# The command, which prints the seconds from its call to the first tiles of the model.
START = """
import sys, time
from model.inference import cells
from pipeline import run
infer, started = cells.CellPredictor.__call__, float(sys.argv.pop(1))
def first(predictor, images):
    detections = infer(predictor, images)
    print(time.time() - started)
    cells.CellPredictor.__call__ = infer
    return detections
cells.CellPredictor.__call__ = first
sys.exit(run.main())
"""

T = TypeVar("T")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--size", type=int, default=10_000, metavar="PX", help="side of the scene (default: %(default)s)"
    )
    parser.add_argument(
        "--chips", type=int, nargs="*", default=[60], metavar="N", help=f"folders of so many chips of {CHIP_PX} px"
    )
    parser.add_argument("--memory", action="store_true", help="measure nothing but peak memory by scene size")
    parser.add_argument("--peer", metavar="PYTHON", help="interpreter that has sahi and ultralytics")
    parser.add_argument("--model", metavar="NAME|PATH", help="packaged model, or a model's folder")
    parser.add_argument("--output", type=Path, default=Path("out/bench.json"), metavar="FILE")
    for internal in ("--bare", "--phases"):
        parser.add_argument(internal, metavar="SCENE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for scene, measured in ((options.bare, bare_rate), (options.phases, phase_seconds)):
        if scene:
            sys.stdout.write(json.dumps(measured(scene, options.model)))
            return 0
    options.output.parent.mkdir(parents=True, exist_ok=True)
    previous = json.loads(options.output.read_text(encoding="utf-8")) if options.output.exists() else {}
    folder = options.output.parent / "bench"
    if options.memory:
        figures = previous | {"memory": measure_memory(options.model, folder)}
    else:
        figures = previous | measure(options.size, options.chips, options.model, options.peer, folder)
    options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(table(figures, previous))
    return 0


def measure(size: int, chips: Sequence[int], model: str | None, peer: str | None, folder: Path) -> dict[str, Any]:
    """Return the figures of one scene of `size` by `size` pixels, of folders of chips, and of suppression."""
    scene = scenes.drawn(size, folder)
    bare = [run_bare(scene, model)]
    jobs = {}
    for codec in scenes.CODECS:
        jobs[codec] = run_job([scenes.cog(scene, codec)], model, folder)
        bare.append(run_bare(scene, model))
        # By the runs of the model just before and just after the job: the machine may be faster or slower later.
        jobs[codec]["share_of_bare"] = jobs[codec]["mpx_per_s"] / statistics.mean(bare[-2:])
        jobs[codec]["gflop_per_scene_mpx"] = gflop_per_mpx(model) * jobs[codec]["inferred_per_scene_pixel"]
    figures: dict[str, Any] = {
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        "scene": {"pixels": size * size, "bytes": scene.stat().st_size},
        "bare": {"mpx_per_s": statistics.mean(bare), "rates": bare},
        "jobs": jobs,
        "phases": json.loads(_run_self("--phases", str(scenes.cog(scene, scenes.CODECS[0])), *_model(model))),
        "start": start_seconds(scene, model, folder),
        "chips": {str(count): chips_ratio(scene, count, model, folder) for count in chips},
        "suppression_s": {str(count): suppression_seconds(count) for count in BOXES},
    }
    if peer:
        figures["peer"] = compare_with_peer(peer, scenes.cog(scene, "deflate"), model, folder)
    return figures


def measure_memory(model: str | None, folder: Path) -> dict[str, Any]:
    """Return the figures of jobs on VRTs of growing size, by their side in pixels."""
    part = scenes.drawn(scenes.PART_PX, folder)
    vrts = {number * scenes.PART_PX: scenes.repeated(part, number) for number in MEMORY_TIMES}
    return {str(side): run_job([vrt], model, folder) for side, vrt in vrts.items()}


def start_seconds(scene: Path, model: str | None, folder: Path) -> dict[str, float]:
    """Return the seconds from the command to the first tile of a small scene, and to its end; medians."""
    (small,) = scenes.cut(scene, [(0, 0)], START_PX, folder / "single")
    args = ["--input", str(small), "--output", str(folder / "airplanes.geojson"), *_model(model)]
    first, full = [], []
    for _ in range(START_RUNS):
        started = time.time()
        command = [sys.executable, "-c", START, str(started), *args]
        first.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        full.append(time.time() - started)
    return {"first_tile_s": statistics.median(first), "command_s": statistics.median(full)}


def chips_ratio(scene: Path, count: int, model: str | None, folder: Path) -> dict[str, float]:
    """Return the seconds of a job on chips cut from a scene, and of one on a scene of as many pixels.

    Where the scene is too small, it is repeated. Few chips are measured twice; the faster run counts.
    """
    across = int(np.ceil(count**0.5))
    with rasterio.open(scene) as dataset:
        times = int(np.ceil(CHIP_PX * across / dataset.width))
        side = times * dataset.width
    source = scene if times == 1 else scenes.repeated(scene, times)
    square = round(CHIP_PX * count**0.5)
    single = [source] if square == side else scenes.cut(source, [(0, 0)], square, folder / "single")
    corners = [(CHIP_PX * (number % across), CHIP_PX * (number // across)) for number in range(count)]
    chips = scenes.cut(source, corners, CHIP_PX, folder / f"chips-{count}")
    runs = (single, chips) * (2 if count <= 1000 else 1)
    seconds = [run_command(paths, model, folder)[0].seconds for paths in runs]
    scene_s, chips_s = min(seconds[0::2]), min(seconds[1::2])
    more_s = (chips_s - scene_s) / count
    return {"one_scene_s": scene_s, "chips_s": chips_s, "ratio": chips_s / scene_s, "more_per_chip_s": more_s}


def compare_with_peer(python: str, scene: Path, model: str | None, folder: Path) -> dict[str, float]:
    """Return the seconds of a whole process of SAHI with YOLO11n on a scene, and of ours just before and just after."""
    before = run_job([scene], model, folder)["command_seconds"]
    started = time.perf_counter()
    done = subprocess.run([python, "-c", PEER, str(scene)], check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        error = (done.stderr.splitlines() or [f"exit status {done.returncode}"])[-1]
        raise SystemExit(f"--peer {python}: expected an interpreter that runs SAHI and YOLO11n, got: {error}")
    ours = statistics.mean([before, run_job([scene], model, folder)["command_seconds"]])
    predicting = float(done.stdout.split()[-1])
    return {"seconds": seconds, "predicting_s": predicting, "our_seconds": ours, "ratio": seconds / ours}


def run_bare(scene: Path, model: str | None) -> float:
    """Return the bare model's rate, Mpx/s, measured in a process of its own."""
    return float(json.loads(_run_self("--bare", str(scene), *_model(model))))


def bare_rate(uri: str, model: str | None) -> float:
    """Return the rate, Mpx/s, of the model on tiles of the scene's centre that lie in memory."""
    logs.silence()
    from model.inference import scan
    from pipeline import planning, steps
    from pipeline.config import load_config
    from pipeline.model_loading import describe_model, load_model
    from pipeline.values import SceneSource, TileImage

    spec = describe_model(load_config(overrides={"model": model}))
    per_call = spec.config.batch_size * scan.BATCHES_PER_CALL
    scene = planning.open_scene(SceneSource(uri), spec.config)
    blocks = list(planning.plan_blocks(scene, dataclasses.replace(spec.config, block_tiles=per_call)))
    tiles = [item for item in steps.read_tiles(blocks[len(blocks) // 3]) if isinstance(item, TileImage)]
    images = np.stack([tile.pixels for tile in tiles if tile.pixels.shape == tiles[0].pixels.shape])
    predictor = load_model(spec)
    predictor(images)
    pixels = 0
    started = time.perf_counter()
    while (seconds := time.perf_counter() - started) < BARE_SECONDS:
        predictor(images)
        pixels += images[..., 0].size
    return pixels / 1e6 / seconds


def phase_seconds(uri: str, model: str | None) -> dict[str, float]:
    """Return where the time goes in one process, seconds.

    `load`: the model; `read`: tiles, in a thread beside the model; `wait`: the model for tiles; `model`: the engine;
    `boxes`: what else the predictor does while the engine waits; `rest`: planning, suppression, georeferencing.
    """
    logs.silence()
    from model.inference import scan
    from pipeline import local, planning, steps
    from pipeline.config import load_config
    from pipeline.model_loading import describe_model, load_model
    from pipeline.values import SceneSource

    seconds = dict.fromkeys(("load", "read", "wait", "model", "boxes", "rest"), 0.0)

    def timed(name: str, function: Callable[..., T]) -> Callable[..., T]:
        def call(*arguments: Any) -> T:
            started = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                seconds[name] += time.perf_counter() - started

        return call

    def timed_items(name: str, items: Iterator[T]) -> Iterator[T]:
        following, end = timed(name, next), object()
        while (item := following(items, end)) is not end:
            yield item

    spec = describe_model(load_config(overrides={"model": model}))
    predictor: Any = timed("load", load_model)(spec)
    predictor.engine = timed("model", predictor.engine)
    detector: Any = timed("boxes", predictor)
    read_tiles = steps.read_tiles
    with (
        mock.patch.object(steps, "read_tiles", lambda block: timed_items("read", read_tiles(block))),
        mock.patch.object(local, "prefetch", lambda items, depth: timed_items("wait", scan.prefetch(items, depth))),
    ):
        started = time.perf_counter()
        scene = planning.open_scene(SceneSource(uri), spec.config)
        local.detect_scene(scene, spec.config, detector, spec.identity)
        total = time.perf_counter() - started
    seconds["boxes"] -= seconds["model"]
    seconds["rest"] = total - sum(seconds[name] for name in ("wait", "model", "boxes"))
    return seconds


def gflop_per_mpx(model: str | None) -> float:
    """Return the operations of the model, thousand million per million pixels of tiles."""
    logs.silence()
    logs.import_quietly("model.inference.frozen_graph")
    from model.ablation.results import count_flops
    from model.inference import model_folder, weights_io
    from pipeline.config import load_config

    config = load_config(overrides={"model": model})
    network, _ = weights_io.load(model_folder.resolve(config.model))
    side = config.tiling.tile_px
    return float(count_flops(network, side, side) / 1e9 / (side**2 / 1e6))


def run_command(inputs: Sequence[Path], model: str | None, folder: Path) -> tuple[Ledger, float, int]:
    """Run the job in a process of its own; return its ledger, its seconds with start and end, and its peak memory."""
    from pipeline.ledger import read_ledger

    output = folder / "airplanes.geojson"
    named = [word for path in inputs for word in ("--input", str(path))]
    args = ["-m", "pipeline.run", *named, "--output", str(output), *_model(model)]
    started = time.perf_counter()
    process = psutil.Popen([sys.executable, *args])
    peak = peak_memory(process)
    if status := process.wait():
        raise SystemExit(f"expected the job to end with status 0, got {status}: {' '.join(args)[:1000]}")
    seconds = time.perf_counter() - started
    return read_ledger(output.with_name(f"{output.name}.ledger.json")), seconds, peak


def run_job(inputs: Sequence[Path], model: str | None, folder: Path) -> dict[str, Any]:
    """Run the job in a process of its own and return its figures."""
    ledger, command_seconds, peak = run_command(inputs, model, folder)
    scene_mpx = sum((scene.width_px or 0) * (scene.height_px or 0) for scene in ledger.scenes) / 1e6
    inferred_mpx, finest_mpx = planned_mpx(inputs)
    return {
        "mpx_per_s": inferred_mpx / ledger.seconds,
        "scene_mpx_per_s": scene_mpx / ledger.seconds,
        "seconds": ledger.seconds,
        "command_seconds": command_seconds,
        "tiles": ledger.totals.parts_done,
        "airplanes": ledger.totals.airplanes,
        "inferred_per_scene_pixel": inferred_mpx / scene_mpx,
        "finest_pixels_per_scene_pixel": finest_mpx / scene_mpx,
        "peak_memory_gb": peak / 1e9,
        "model": ledger.run.model,
        "precision": ledger.run.settings["precision"],
    }


def planned_mpx(inputs: Sequence[Path]) -> tuple[float, float]:
    """Return the pixels of all tiles and those of the finest level's, millions, of scenes without nodata."""
    from pipeline import planning
    from pipeline.config import load_config
    from pipeline.values import SceneSource

    config = load_config()
    plan = planning.estimate(planning.describe_scenes([SceneSource(str(path)) for path in inputs], config), config)
    return plan.total_mpx, next(iter(plan.mpx.values()))


def suppression_seconds(count: int) -> float:
    """Return how long one pass over boxes takes, of which four of three levels show each airplane."""
    rng = np.random.default_rng(1)
    centres = rng.uniform(0, 40 * np.sqrt(count), (count // 4, 2)).repeat(4, axis=0) + rng.normal(0, 2, (count, 2))
    halves = rng.uniform(5, 20, (count // 4, 2)).repeat(4, axis=0) + rng.normal(0, 0.5, (count, 2))
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    detections = Detections(boxes, rng.random(count), rng.choice([0.5, 1.0, 2.0], count))
    started = time.perf_counter()
    merge_levels(detections, Suppression(0.5, 0.8))
    return time.perf_counter() - started


def peak_memory(process: psutil.Popen) -> int:
    """Return the largest resident size, bytes, of a process and its children while it runs."""
    peak = 0
    while process.poll() is None:
        try:
            family = [process, *process.children(recursive=True)]
            peak = max(peak, sum(member.memory_info().rss for member in family))
        except psutil.NoSuchProcess:
            continue
        time.sleep(SAMPLE_S)
    return peak


def table(figures: dict[str, Any], previous: dict[str, Any]) -> str:
    """Return the figures for people, each beside that of the run before, where there is one."""
    before = {name: value for name, value, _ in rows(previous)} if previous else {}
    return "".join(f"{name:40}{value:>14}{before.get(name, '-'):>14}  {note}\n" for name, value, note in rows(figures))


def rows(figures: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield name, figure and note."""
    if "bare" in figures:
        precision = next(iter(figures["jobs"].values()))["precision"]
        yield "bare model", f"{figures['bare']['mpx_per_s']:.2f} Mpx/s", precision
    for codec, job in figures.get("jobs", {}).items():
        fraction, inferred = job["share_of_bare"], job["inferred_per_scene_pixel"]
        note = f"{job['seconds']:.0f} s, {job['gflop_per_scene_mpx']:.1f} GFLOP a Mpx, {job['airplanes']} airplanes"
        yield f"{codec}: pixels inferred", f"{job['mpx_per_s']:.2f} Mpx/s", f"{job['tiles']} tiles"
        yield f"{codec}: pixels of the scene", f"{job['scene_mpx_per_s']:.2f} Mpx/s", note
        yield f"{codec}: ground at 0.5 m", f"{job['scene_mpx_per_s'] / 4:.2f} km2/s", ""
        yield f"{codec}: share of the bare rate", f"{fraction:.2f}", _goal(fraction, MIN_SHARE)
        yield f"{codec}: inferred / scene, pixels", f"{inferred:.2f}", _goal(-inferred, -MAX_INFERRED)
        yield f"{codec}: finest level / scene, pixels", f"{job['finest_pixels_per_scene_pixel']:.2f}", ""
    for phase, seconds in figures.get("phases", {}).items():
        yield f"one process: {phase}", f"{seconds:.2f} s", PHASES[phase]
    if "start" in figures:
        first, command = figures["start"]["first_tile_s"], figures["start"]["command_s"]
        note = f"{_goal(-first, -MAX_START_S)}; whole command {command:.1f} s"
        yield f"command to first tile, {START_PX:,} px", f"{first:.1f} s", note
    for count, chips in figures.get("chips", {}).items():
        note = f"{chips['more_per_chip_s'] * 1e3:.0f} ms more per chip; {_goal(-chips['ratio'], -MAX_CHIPS)}"
        yield f"{int(count):,} chips / one scene", f"{chips['ratio']:.2f}", note
    if "peer" in figures:
        peer = figures["peer"]
        note = f"{peer['seconds']:.1f} s / {peer['our_seconds']:.1f} s, {_goal(peer['ratio'], MIN_PEER)}"
        yield "SAHI and YOLO11n / ours", f"{peer['ratio']:.2f}", note
    for size, job in figures.get("memory", {}).items():
        memory, smallest = job["peak_memory_gb"], next(iter(figures["memory"].values()))["peak_memory_gb"]
        note = f"{job['seconds']:.0f} s, {job['scene_mpx_per_s']:.2f} Mpx/s of the scene"
        yield f"{int(size):,} px: peak memory", f"{memory:.2f} GB", f"{_goal(-memory, -MAX_MEMORY_GB)}; {note}"
        ratio = memory / smallest
        yield f"{int(size):,} px: memory / that of the smallest", f"{ratio:.2f}", _goal(-ratio, -MAX_MEMORY_RATIO)
    for count, seconds in figures.get("suppression_s", {}).items():
        yield f"suppression, {int(count):,} boxes", f"{seconds:.2f} s", ""


def _goal(figure: float, minimum: float) -> str:
    """Say whether a goal is reached; where a small figure is the goal, both arguments are negative."""
    goal = f"at least {minimum:g}" if minimum >= 0 else f"at most {-minimum:g}"
    return f"{'ok' if figure >= minimum else 'MISSED'}, {goal}"


def _run_self(*args: str) -> str:
    """Return what this module prints with other arguments, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.bench", *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _model(model: str | None) -> list[str]:
    return ["--model", model] if model else []


if __name__ == "__main__":
    sys.exit(main())
