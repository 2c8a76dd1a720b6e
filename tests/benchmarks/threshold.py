"""What a threshold chosen on a few reviewed airplanes brings: `python -m tests.benchmarks.threshold`.

For each image of a sensor that the detector was not trained on: chooses the threshold with the best F1 on that image,
and on as many others as hold 20 airplanes together, and measures it on the rest, beside the model's own threshold.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from model.common import logs
from model.common.config import load_yaml
from model.evaluation.measure import EvaluateConfig, measure
from model.evaluation.metrics import Matches, at_threshold, best_f1

CONFIG = Path("configs/evaluate/default.yaml")
REVIEWED = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="airbus", metavar="NAME")
    parser.add_argument("--split", default="all")
    options = parser.parse_args()
    logs.silence()
    config = load_yaml(EvaluateConfig, CONFIG)
    config = dataclasses.replace(config, sets=(options.set,), split=options.split, rendered=())
    result = measure(config)
    images = [image.comparison.matches[0.5] for image in result.sets[options.set]]
    rng = np.random.default_rng(1)
    rows = []
    for first in range(len(images)):
        order = [first, *(int(other) for other in rng.permutation(len(images)) if other != first)]
        counts = np.cumsum([images[number].num_airplanes for number in order])
        reviewed = int(np.searchsorted(counts, REVIEWED)) + 1
        chosen = best_f1(Matches.concatenate([images[number] for number in order[:reviewed]])).min_score
        rest = Matches.concatenate([images[number] for number in order[reviewed:]])
        rows.append((counts[reviewed - 1], chosen, f1(rest, result.min_score), f1(rest, chosen), best_f1(rest).f1))
    airplanes, thresholds, own, after, best = np.array(rows).T
    print(f"{options.set} {options.split}: {len(images)} images, {airplanes.mean():.0f} airplanes reviewed")
    print(f"threshold {result.min_score:.3f} of the model: F1 {own.mean():.3f}")
    low, high = np.percentile(thresholds, [10, 90])
    worse = (after < own).mean()
    print(f"chosen, {np.median(thresholds):.3f} ({low:.3f} to {high:.3f}): F1 {after.mean():.3f}; worse in {worse:.0%}")
    print(f"best there is: F1 {best.mean():.3f}")
    return 0


def f1(matches: Matches, min_score: float) -> float:
    """Return the F1 at a threshold."""
    counts = at_threshold(matches, min_score)
    return 2 * counts.precision * counts.recall / (counts.precision + counts.recall)


if __name__ == "__main__":
    raise SystemExit(main())
