"""What is known of the ladder so far, in its folder: as JSON, as tables in Markdown, and as a picture."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from model.ablation import chart as picture
from model.ablation.config import LadderConfig
from model.ablation.results import Gain, Standing, gain, standings
from model.common.atomic import atomic_file, write_atomically
from model.evaluation.tables import Rows, number
from model.training.config import TrainConfig

# In the ladder's folder.
JSON, MARKDOWN, PICTURE = "ladder.json", "ladder.md", "ladder.png"
# Figures of which it is said what an idea has gained, and their titles.
GAINS = {"ap50": "AP50", "iou": "IOU"}
_NOT_YET = "not measured yet"
_HEAD = [
    *("rung", "idea", "IOU (spread)", "mistakes a tile", "AP50 (spread)", "AP50 on airbus", "best F1"),
    *("false a km2 on airbus", "weights", "GFLOP a Mpx", "training", "seeds"),
]


def write(config: LadderConfig, trainings: dict[str, TrainConfig]) -> list[Standing]:
    """Writes all of it, and returns how the rungs stand."""
    found = standings(config, trainings)
    write_atomically(config.run / JSON, json.dumps(plain(found), indent=2, allow_nan=False) + "\n")
    write_atomically(config.run / MARKDOWN, f"{markdown(rows(found))}\n\n{markdown(gain_rows(found))}\n")
    with atomic_file(config.run / PICTURE) as partial:
        picture.draw(found).save(partial, format="png")
    return found


def rows(found: Sequence[Standing]) -> Rows:
    """What each rung reaches; the first line names the columns."""
    return [_HEAD, *(_row(of) for of in found)]


def _row(of: Standing) -> list[str]:
    return [
        of.rung.name,
        of.rung.idea,
        _with_spread(of, "iou"),
        number(of.mean("mistakes"), 2),
        _with_spread(of, "ap50"),
        number(of.mean("unseen_ap50")),
        number(of.mean("best_f1")),
        number(of.mean("false_per_km2"), 2),
        f"{of.cost.weights:,}",
        number(of.cost.gflop_per_mpx, 1),
        _time(of.mean("seconds")),
        _seeds(of),
    ]


def gain_rows(found: Sequence[Standing]) -> Rows:
    """What each idea is worth; the first line names the columns."""
    by_name = {of.rung.name: of for of in found}
    lines = [
        [of.rung.name, of.rung.against, *(gain_words(gain(of, by_name[of.rung.against], name)) for name in GAINS)]
        for of in found
        if of.rung.against is not None
    ]
    return [["rung", "against", *(f"gain in {title}" for title in GAINS.values())], *lines]


def gain_words(of: Gain) -> str:
    """A gain as a table shows it."""
    if math.isnan(of.value):
        return _NOT_YET
    if math.isnan(of.spread):
        return f"{of.value:+.3f} (one seed)"
    return f"{'none: ' if of.is_none else ''}{of.value:+.3f} (spread {of.spread:.3f})"


def markdown(of: Rows) -> str:
    """A table in Markdown."""
    head, *lines = [[cell.replace("|", "\\|") for cell in line] for line in of]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])


def plain(found: Sequence[Standing]) -> dict[str, Any]:
    """All of it as JSON has it: NaN as None."""
    by_name = {of.rung.name: of for of in found}
    return {"rungs": [_finite(_plain(of, by_name)) for of in found]}


def _plain(of: Standing, by_name: dict[str, Standing]) -> dict[str, Any]:
    against = of.rung.against
    gains = {name: gain(of, by_name[against], name) for name in GAINS} if against is not None else {}
    return {
        "name": of.rung.name,
        "idea": of.rung.idea,
        "config": str(of.rung.config),
        "seeds": list(of.rung.seeds),
        "measured": [asdict(each) for each in of.measured],
        "mean": {name: of.mean(name) for name in GAINS},
        "spread": {name: of.spread(name) for name in GAINS},
        **asdict(of.cost),
        "against": against,
        "gain": {name: asdict(each) | {"none": each.is_none} for name, each in gains.items()},
    }


def _finite(of: Any) -> Any:
    if isinstance(of, dict):
        return {name: _finite(value) for name, value in of.items()}
    if isinstance(of, list):
        return [_finite(each) for each in of]
    return None if isinstance(of, float) and not math.isfinite(of) else of


def _with_spread(of: Standing, name: str) -> str:
    spread = of.spread(name)
    return number(of.mean(name)) + ("" if math.isnan(spread) else f" ({spread:.3f})")


def _time(seconds: float) -> str:
    if math.isnan(seconds):
        return "-"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _seeds(of: Standing) -> str:
    done, asked = len(of.measured), len(of.rung.seeds)
    if not done:
        return _NOT_YET
    return str(asked) if done == asked else f"{done} of {asked}"
