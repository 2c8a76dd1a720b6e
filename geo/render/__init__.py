"""Sample scenes: airports drawn from a seed, with their truth.

`streams`, `place`, `layers`, `style` and `world` are what the rest stands on. `aircraft`, `fleet`, `livery` and
`airframe` make airplanes; `things` and `buildings` what else there is. `runway`, `pavement`, `service`, `stands`,
`terminal`, `outposts`, `landside`, `airside` and `country` put it together, and `layout` says where. `texture` and
`paint` make pixels of it, and `scene` is the whole.
"""

from geo.render.scene import SampleScene, paint_blocks, paint_window, render, truth, write

__all__ = ["SampleScene", "paint_blocks", "paint_window", "render", "truth", "write"]
