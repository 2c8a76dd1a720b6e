"""Labels of the 3 m scenes for `model.evaluate`: `python -m tests.benchmarks.planet_scenes --output out/planet`.

What is known of these scenes are chips of 20 px, with or without an airplane in the centre, and not all airplanes. An
airplane becomes a box of 14 px (42 m) around the centre; one of 10 to 19 px around the same centre overlaps it by half.
Detections elsewhere count as false, though some may be airplanes that have no chip.
"""

import argparse
import json
import shutil
from pathlib import Path

import rasterio

SIDE_PX = 14


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="FOLDER")
    parser.add_argument("--output", type=Path, default=Path("out/planet"), metavar="FOLDER")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, scene in enumerate(sorted((options.data / "scenes").glob("*_3m.tif"))):
        shutil.copyfile(scene, options.output / scene.name)
        with rasterio.open(scene) as opened:
            images.append({"id": number, "file_name": scene.name, "width": opened.width, "height": opened.height})
        chips = json.loads((scene.parent / f"{scene.stem}_chips.json").read_text(encoding="utf-8"))
        for chip in chips:
            if chip["label"]:
                corner = [chip["x"] - SIDE_PX / 2, chip["y"] - SIDE_PX / 2]
                bbox = [*corner, SIDE_PX, SIDE_PX]
                annotations.append(
                    {"id": len(annotations), "image_id": number, "category_id": 1, "bbox": bbox, "area": SIDE_PX**2}
                )
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "airplane"}]}
    (options.output / "labels.json").write_text(json.dumps(coco), encoding="utf-8")
    names = ", ".join(str(image["file_name"]) for image in images)
    (options.output / "labels.yaml").write_text(f"val: [{names}]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
