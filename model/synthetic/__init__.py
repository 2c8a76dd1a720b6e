"""Sample scenes drawn from a seed, with their ground truth: airports, open countryside and towns.

`geometry`, `style` and `world` are the base. `aircraft` and `airframe` draw airplanes; `buildings` and `objects` draw
everything else that stands on the ground. `pavement`, `stands`, `aprons` and `airport` build airports; `land` divides
the ground into parcels, which `countryside`, `districts` and `town` fill. `paint` turns the result into pixels, and
`scene` is the entry point.
"""

from model.synthetic.scene import SCENES, SampleScene, paint_blocks, paint_window, render, truth, write

__all__ = ["SCENES", "SampleScene", "paint_blocks", "paint_window", "render", "truth", "write"]
