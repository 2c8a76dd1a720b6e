"""Convert a model folder to a LiteRT flatbuffer: `python -m model.inference.convert FOLDER OUTPUT CALIBRATED`.

Called by `model.inference.litert` in a process of its own, and by `model.export`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.common import logs


def to_flatbuffer(graph: Any) -> bytes:
    """Convert a frozen graph, see `model.inference.frozen_graph.freeze`; the size of its images stays free."""
    import tensorflow as tf

    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([graph]).convert())


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    folder, output, calibrated = arguments
    logs.silence()
    frozen_graph = logs.import_quietly("model.inference.frozen_graph")
    Path(output).write_bytes(to_flatbuffer(frozen_graph.build(Path(folder), calibrated == "True", "float32")))


if __name__ == "__main__":
    main(sys.argv[1:])
