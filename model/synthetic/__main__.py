"""Render a sample scene: `python -m model.synthetic --scene town --size 4000 --seed 7 --output out/x.tif`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from model.common.command import Parser, command
from model.synthetic.scene import SCENES, render, write


@command("python -m model.synthetic")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 2 if the arguments are wrong or the scene cannot be written."""
    options = _parser().parse_args(argv)
    scene = render(options.size, options.seed, options.resolution, options.scene)
    truth_path = write(scene, options.output)
    size = f"{scene.size_px} x {scene.size_px} px of {scene.resolution_m} m"
    print(f"{options.output}: {size}; {truth_path}: {len(scene.airplanes)} airplanes")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m model.synthetic",
        description="Render a sample scene, an airport, countryside or a town seen from above, with its ground truth.",
    )
    parser.add_argument(
        "--scene",
        choices=tuple(SCENES),
        default="airport",
        help="kind of scene (default airport); only airports contain airplanes",
    )
    parser.add_argument(
        "--size", type=int, default=4000, metavar="PX", help="width and height in pixels (default 4000)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="random seed; each one gives another scene (default 1)"
    )
    parser.add_argument("--resolution", type=float, default=0.5, metavar="M", help="metres per pixel (default 0.5)")
    parser.add_argument(
        "--output",
        type=_geotiff,
        required=True,
        metavar="FILE",
        help="output GeoTIFF, .tif; the truth is written next to it as .truth.geojson",
    )
    return parser


def _geotiff(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise argparse.ArgumentTypeError(f"expected a file name ending in .tif, got {text}")
    return path


if __name__ == "__main__":
    sys.exit(main())
