"""The scenes that are measured: drawn ones, as COGs of each codec and as VRTs of any size."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import rasterio
from rasterio.shutil import copy
from rasterio.windows import Window

SEED = 7
RESOLUTION_M = 0.5
CODECS = ("jpeg", "deflate", "zstd")
#: Of the drawn scene that large ones are made of.
PART_PX = 5_000


def drawn(size: int, folder: Path, kind: str = "airport", seed: int = SEED) -> Path:
    """Return a sample scene; draws it where it is absent."""
    scene = folder / (f"scene-{size}.tif" if (kind, seed) == ("airport", SEED) else f"{kind}-{seed}-{size}.tif")
    if not scene.exists():
        folder.mkdir(parents=True, exist_ok=True)
        args = ["--scene", kind, "--size", size, "--seed", seed, "--resolution", RESOLUTION_M, "--output", scene]
        subprocess.run([sys.executable, "-m", "model.synthetic", *map(str, args)], check=True)
    return scene


def cog(scene: Path, codec: str) -> Path:
    """Return the scene as a cloud-optimised GeoTIFF; writes it where it is absent."""
    path = scene.with_name(f"{scene.stem}-{codec}.tif")
    if not path.exists():
        part = path.with_suffix(".part")
        copy(str(scene), str(part), driver="COG", COMPRESS=codec.upper(), OVERVIEW_RESAMPLING="AVERAGE")
        part.rename(path)
    return path


def cut(scene: Path, corners: Sequence[tuple[int, int]], side: int, folder: Path) -> list[Path]:
    """Return squares of a scene with the given left and top corners as GeoTIFFs; writes those that are absent."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{left}-{top}-{side}.tif" for left, top in corners]
    with rasterio.open(scene) as dataset:
        for path, (left, top) in zip(paths, corners, strict=True):
            if not path.exists():
                window = Window(left, top, side, side)
                profile = dataset.profile | {"width": side, "height": side, "compress": "deflate"}
                profile |= {"driver": "GTiff", "transform": dataset.window_transform(window), "BIGTIFF": "IF_SAFER"}
                with rasterio.open(path, "w", **profile) as part:
                    part.write(dataset.read(window=window))
    return paths


def repeated(scene: Path, times: int) -> Path:
    """Return a VRT in which the scene stands `times` times side by side, and as often one below the other."""
    return together([[scene] * times] * times, scene.with_name(f"{scene.stem}-{times}x{times}.vrt"))


def together(parts: Sequence[Sequence[Path]], path: Path) -> Path:
    """Return a VRT of rows of scenes of one size in one folder; it lies where the first one lies."""
    with rasterio.open(parts[0][0]) as dataset:
        width, height, wkt = dataset.width, dataset.height, dataset.crs.to_wkt()
        transform = ", ".join(repr(number) for number in dataset.transform.to_gdal())
    root = ElementTree.Element("VRTDataset")
    root.set("rasterXSize", str(width * len(parts[0])))
    root.set("rasterYSize", str(height * len(parts)))
    ElementTree.SubElement(root, "SRS").text = wkt
    ElementTree.SubElement(root, "GeoTransform").text = transform
    size = {"xSize": str(width), "ySize": str(height)}
    for number, colour in enumerate(("Red", "Green", "Blue"), start=1):
        band = ElementTree.SubElement(root, "VRTRasterBand", dataType="Byte", band=str(number))
        ElementTree.SubElement(band, "ColorInterp").text = colour
        for row, scenes in enumerate(parts):
            for col, scene in enumerate(scenes):
                source = ElementTree.SubElement(band, "SimpleSource")
                ElementTree.SubElement(source, "SourceFilename", relativeToVRT="1").text = scene.name
                ElementTree.SubElement(source, "SourceBand").text = str(number)
                ElementTree.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
                ElementTree.SubElement(source, "DstRect", {"xOff": str(col * width), "yOff": str(row * height), **size})
    ElementTree.ElementTree(root).write(path)
    return path
