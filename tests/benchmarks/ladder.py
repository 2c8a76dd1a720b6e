"""The pictures of docs/ladder.md: `python -m tests.benchmarks.ladder --config configs/ablation/talk-short.yaml`.

Every experiment that is trained and measured detects airplanes on one rendered tile, at its own threshold. Prints how
many it detects and misses there, and how many of its detections are false.
"""

import argparse
import sys
from pathlib import Path

from model.common import logs
from model.training import backend

# The tile: an apron with eight airplanes. Every experiment is shown on the same one.
SEED, SIZE_PX, RESOLUTION_M = 5, 560, 0.5
QUALITY = 50


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="a file of configs/ablation/")
    parser.add_argument("--output", type=Path, default=Path("docs/pictures"), metavar="DIR")
    options = parser.parse_args()
    logs.silence()
    backend.choose("tensorflow")
    from PIL import Image

    from model.ablation.config import RENDERED, AblationConfig, experiment_folder
    from model.ablation.results import MODEL, TEST_FIGURES, read_figures
    from model.common.config import load_yaml
    from model.data.sources import RenderedSet, render_scenes
    from model.evaluation.images import draw
    from model.evaluation.metrics import find_mistakes
    from model.evaluation.predictions import predict
    from model.inference.predictor import load_predictor
    from model.inference.scan_config import read_scan_config

    config = load_yaml(AblationConfig, options.config)
    images = render_scenes(RenderedSet("airport", (SEED,), SIZE_PX, RESOLUTION_M), config.run / RENDERED)
    scan = read_scan_config(Path("configs/pipeline/default.yaml"))
    options.output.mkdir(parents=True, exist_ok=True)
    for experiment in config.experiments:
        folder = experiment_folder(config, experiment, experiment.seeds[0])
        if read_figures(folder / TEST_FIGURES, folder / MODEL) is None:
            print(f"{experiment.name}: not measured yet")
            continue
        predictor = load_predictor(str(folder / MODEL), 1, 0.01, precision="auto", engine="auto")
        predictions = predict(images, predictor, scan, 1)
        (compared,) = predictions.compare()
        score = predictor.default_min_score
        mistakes = find_mistakes(compared.detections(score), compared.comparison.airplanes)
        missed, false = int(mistakes.missed.sum()), int(mistakes.false.sum())
        detected = len(mistakes.missed) - missed
        print(f"{experiment.name}: detected {detected}, missed {missed}, false {false}, threshold {score:.2f}")
        picture = draw(compared, predictions.detections[0], score)
        Image.fromarray(picture).save(options.output / f"ladder-{experiment.name}.webp", quality=QUALITY, method=6)
    return 0


if __name__ == "__main__":
    sys.exit(main())
