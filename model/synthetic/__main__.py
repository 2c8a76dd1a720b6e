"""Render a sample scene: `python -m model.synthetic --scene town --size 4000 --seed 7 --output out/x.tif`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from model.common.command import Parser, command
from model.synthetic.scene import SCENES, render, write


@command("python -m model.synthetic")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 when the command is wrong or the scene cannot be written."""
    options = _parser().parse_args(argv)
    scene = render(options.size, options.seed, options.resolution, options.scene)
    beside = write(scene, options.output)
    size = f"{scene.size_px} x {scene.size_px} px of {scene.resolution_m} m"
    print(f"{options.output}: {size}; {beside}: {len(scene.airplanes)} airplanes")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m model.synthetic",
        description="Render a sample scene: an airport or land without one, from above, with its truth beside it.",
    )
    parser.add_argument(
        "--scene",
        choices=tuple(SCENES),
        default="airport",
        help="what is drawn (default airport); no other has an airplane in it",
    )
    parser.add_argument("--size", type=int, default=4000, metavar="PX", help="columns, and as many rows (default 4000)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another seed is another scene (default 1)")
    parser.add_argument("--resolution", type=float, default=0.5, metavar="M", help="metres of a pixel (default 0.5)")
    parser.add_argument(
        "--output",
        type=_geotiff,
        required=True,
        metavar="FILE",
        help="the scene, .tif; the truth is FILE.truth.geojson",
    )
    return parser


def _geotiff(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise argparse.ArgumentTypeError(f"expected a name that ends in .tif, got {text}")
    return path


if __name__ == "__main__":
    sys.exit(main())
