"""The web service under load: 50 clients at once with small JPEGs.

`python -m tests.benchmarks.serve_load` starts the service with the packaged model, and prints one line for each figure.
"""

import argparse
import asyncio
import base64
import io
import statistics
import subprocess
import sys
import time
from collections import Counter

import httpx
import numpy as np
import psutil
from PIL import Image

PREDICT = "/v1/models/airplanes-lite0:predict"
SIDE_PX = 256
BATCHES = 5


def jpeg(seed: int) -> str:
    """A JPEG of rough ground, in base64."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(60, 190, (16, 16, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return base64.b64encode(file.getvalue()).decode()


async def batch_seconds(address: str, clients: int, images: list[str]) -> float:
    """The time of one batch of as many images as there are clients, with nothing beside it; the median of some."""
    async with httpx.AsyncClient(base_url=address, timeout=120) as client:
        seconds = []
        for _ in range(BATCHES + 1):
            body = {"instances": [{"b64": images[number % len(images)]} for number in range(clients)]}
            started = time.perf_counter()
            (await client.post(PREDICT, json=body)).raise_for_status()
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


async def load(
    address: str, clients: int, requests: int, images: list[str], process: psutil.Process
) -> tuple[list[float], Counter[int], list[int]]:
    """Send requests from clients that each wait for their answer.

    Returns:
        Seconds of each answer of 200, the number of each status, and the memory of the process ten times, bytes.
    """
    seconds: list[float] = []
    codes: Counter[int] = Counter()
    memory: list[int] = []
    numbers = iter(range(requests))

    async def work(client: httpx.AsyncClient) -> None:
        for number in numbers:
            started = time.perf_counter()
            answer = await client.post(PREDICT, json={"instances": [{"b64": images[number % len(images)]}]})
            codes[answer.status_code] += 1
            if answer.status_code == 200:
                seconds.append(time.perf_counter() - started)
            if number % max(1, requests // 10) == 0:
                memory.append(process.memory_info().rss)

    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=120, limits=limits) as client:
        await asyncio.gather(*(work(client) for _ in range(clients)))
    return seconds, codes, memory


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=5000)
    options = parser.parse_args()
    images = [jpeg(seed) for seed in range(20)]
    command = [sys.executable, "-m", "pipeline.serve", "--port", "0"]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout
        address = service.stdout.readline().split()[2]
        print(f"start: {time.perf_counter() - started:.1f} s")
        try:
            while httpx.get(f"{address}/readyz").status_code != 200:
                time.sleep(0.05)
            print(f"model loaded: {time.perf_counter() - started:.1f} s")
            process = psutil.Process(service.pid)
            batch = asyncio.run(batch_seconds(address, options.clients, images))
            begun = time.perf_counter()
            seconds, codes, memory = asyncio.run(load(address, options.clients, options.requests, images, process))
            total = time.perf_counter() - begun
        finally:
            service.terminate()
    p50, p95 = np.percentile(seconds, [50, 95])
    rate = options.requests / total
    print(f"{options.requests} requests of {options.clients} clients: {dict(codes)}, {rate:.1f} a second")
    print(f"a batch of {options.clients} images alone: {batch:.2f} s")
    print(f"p50 {p50:.2f} s, p95 {p95:.2f} s: {p95 / batch:.2f} times the batch's own time")
    print("memory, MB:", ", ".join(f"{size / 1e6:.0f}" for size in memory))
    print(f"exit status after SIGTERM: {service.returncode}")


if __name__ == "__main__":
    main()
