"""What a few reviewed airplanes tell of the threshold: `python -m tests.benchmarks.threshold`.

For each image of a set: takes that image, and as many others as hold 20 airplanes together, as reviewed, and measures
three thresholds on the rest: the model's own, the one that `model.evaluate` suggests, and that of the best F1.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from model.common import logs
from model.common.config import load_yaml
from model.evaluation.measure import EvaluateConfig, measure
from model.evaluation.metrics import Matches, at_threshold, best_f1, suggest_min_score

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
        count = int(np.searchsorted(counts, REVIEWED)) + 1
        reviewed = Matches.concatenate([images[number] for number in order[:count]])
        rest = Matches.concatenate([images[number] for number in order[count:]])
        suggested = suggest_min_score(reviewed, result.min_score)
        thresholds = (result.min_score, suggested, best_f1(reviewed).min_score, best_f1(rest).min_score)
        rows.append([reviewed.num_airplanes, suggested, *(f1(rest, threshold) for threshold in thresholds)])
    airplanes, suggested_scores, *f1s = np.array(rows).T
    low, high = np.percentile(suggested_scores, [10, 90])
    print(f"{options.set} {options.split}: {len(images)} times {airplanes.mean():.0f} airplanes reviewed")
    print(f"suggested {np.median(suggested_scores):.3f} ({low:.3f} to {high:.3f})")
    for name, values in zip(("own", "suggested", "best F1 on the reviewed", "best F1 there is"), f1s, strict=True):
        print(f"{name}: F1 {values.mean():.3f}, below that of the own threshold in {(values < f1s[0]).mean():.0%}")
    return 0


def f1(matches: Matches, min_score: float) -> float:
    """Return the F1 at a threshold."""
    counts = at_threshold(matches, min_score)
    return 2 * counts.precision * counts.recall / (counts.precision + counts.recall)


if __name__ == "__main__":
    raise SystemExit(main())
