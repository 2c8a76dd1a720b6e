"""Sample scenes drawn from a seed, with their truth: airports, and land without any.

`streams`, `place`, `layers`, `style` and `world` are what the rest stands on. `aircraft`, `fleet`, `livery` and
`airframe` make airplanes; `things`, `buildings`, `roofs`, `structures` and `water` what else there is. `runway`,
`pavement`, `service`, `stands`, `terminal`, `outposts`, `landside` and `airside` put airports together, and `layout`
says where. `parcel` divides land; `country`, `rural`, `urban`, `industry`, `leisure`, `harbour` and `railway` fill it,
and `outland` and `town` say where. `texture` and `paint` make pixels of it, and `scene` is the whole.
"""

from model.synthetic.scene import SCENES, SampleScene, paint_blocks, paint_window, render, truth, write

__all__ = ["SCENES", "SampleScene", "paint_blocks", "paint_window", "render", "truth", "write"]
