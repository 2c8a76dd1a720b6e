"""The aprons on one side of a runway: a terminal in the middle, other aprons outwards, landside behind."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.synthetic import outposts
from model.synthetic.decoys import apron_traffic
from model.synthetic.landside import blocks, forecourt, road
from model.synthetic.pavement import TaxiNet, lay_apron
from model.synthetic.place import Place, rectangle
from model.synthetic.service import service_road
from model.synthetic.terminal import Pier, build_terminal
from model.synthetic.world import Material, Tier, World

APRON_Y = 235.0  # near edge of the aprons, metres from the runway's centre line
LANE_Y = 266.0  # the taxi lane along them
_OUTPOST_Y = LANE_Y + 20
_MOST_PIERS = 7
_PIER_REACH_M = 210.0  # half a side for each pier
_HANGAR_ROOM_M = 96.0  # behind an apron, for what stands at its back

Outpost = Callable[[World, Place, tuple[float, float], np.random.Generator], None]
_OUTPOSTS: tuple[Outpost, ...] = (
    outposts.remote_stands,
    outposts.small_aircraft,
    outposts.cargo_apron,
    outposts.hangars,
    outposts.flying_club,
)


@dataclass(frozen=True, slots=True)
class Side:
    """What the aprons on one side of a runway may take up.

    Attributes:
        frame: x along the runway, y = 0 on its centre line, y pointing away from it.
        half: Half the length of the taxiway that serves them, metres.
        terminal: Whether a passenger terminal stands in the middle.
    """

    frame: Place
    half: float
    terminal: bool

    @property
    def reach(self) -> float:
        """Half the length along x that is built on, metres."""
        return self.half + 60


def build_side(world: World, side: Side, net: TaxiNet, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Build aprons and what belongs to them from the middle outwards.

    Args:
        world: The sheet.
        side: Where, and how much.
        net: Gets the aprons' outlines and the taxi lane along them.
        rng: Everything is drawn from it.

    Returns:
        The ground that they take: rings (4, 2) in the side's frame.
    """
    taken: list[NDArray[np.float64]] = []
    left, right, road_y = 0.0, 0.0, LANE_Y + 390
    if side.terminal:
        width, road_y, ring = _terminal(world, side, net, rng)
        taken.append(ring)
        left, right = -width / 2, width / 2
    order = rng.permutation(len(_OUTPOSTS))
    built = 0
    while min(right, -left) < side.reach:
        width = rng.uniform(230, 420)
        x = right + width / 2 if right <= -left else left - width / 2
        _outpost(world, side, net, (x, width, road_y), _OUTPOSTS[order[built % len(order)]], rng)
        step = width + rng.choice((0.0, 46.0, 90.0))
        left, right = (left, right + step) if x > 0 else (left - step, right)
        built += 1
    net.along(LANE_Y, max(left, -side.reach), min(right, side.reach), 30.0)
    road(world, side.frame, [(left - 200, road_y), (right + 200, road_y)], 13.0, rng, 2.0)
    return [*taken, rectangle(left - 40, APRON_Y, right + 40, road_y + 12)]


def _outpost(
    world: World,
    side: Side,
    net: TaxiNet,
    box: tuple[float, float, float],
    build: Outpost,
    rng: np.random.Generator,
) -> None:
    """One apron with its buildings: its middle along x, its width, and the y of the road behind."""
    x, width, road_y = box
    depth = min(rng.uniform(150, 250), road_y - LANE_Y - 150)
    rear = _OUTPOST_Y + depth
    outline = _chamfered(x - width / 2, x + width / 2, rear, rng.uniform(6, 30))
    if build is outposts.flying_club:
        outline = _chamfered(x - width / 2, x + width / 2, _OUTPOST_Y + 26, 6)
    concrete = rng.random() < (0.35 if build in (outposts.small_aircraft, outposts.flying_club) else 0.8)
    lay_apron(world, side.frame, outline, bool(concrete), rng)
    net.aprons.append(outline)
    build(world, side.frame.child(x, _OUTPOST_Y), (width - 16, depth), rng)
    apron_traffic(world, side.frame.child(x, _OUTPOST_Y), (width - 16, depth), rng)
    if rng.random() < 0.5 and build is not outposts.flying_club:
        service_road(world, side.frame, [(x - width / 2 + 8, rear - 5), (x + width / 2 - 8, rear - 5)], rng)
    behind = rear + _HANGAR_ROOM_M
    blocks(world, side.frame.child(x, behind), 0.9 * width, road_y - behind - 8, rng)


def _chamfered(x0: float, x1: float, y1: float, cut: float) -> NDArray[np.float64]:
    """An apron's outline (6, 2), its corners towards the taxiway cut."""
    near = APRON_Y
    return np.array([(x0 + cut, near), (x1 - cut, near), (x1, near + cut), (x1, y1), (x0, y1), (x0, near + cut)])


def _terminal(
    world: World, side: Side, net: TaxiNet, rng: np.random.Generator
) -> tuple[float, float, NDArray[np.float64]]:
    """The passenger terminal, its apron and forecourt: their width, the y of the road behind, the ground they take."""
    length = rng.uniform(190, 330) if side.reach > 500 else 150.0
    piers, width = _piers(side, length, rng)
    face, depth, behind = LANE_Y + 110 + length, rng.uniform(55, 85), rng.uniform(260, 420)
    outline = _chamfered(-width / 2 - 20, width / 2 + 20, face + 10, 24)
    net.aprons.append(outline)
    lay_apron(world, side.frame, outline, True, rng)
    if rng.random() < 0.5:  # airplanes are pushed out onto asphalt
        tone = np.array(world.palette.asphalt) * rng.uniform(0.95, 1.15)
        lane = rectangle(-width / 2 + 20, LANE_Y - 16, width / 2 - 20, LANE_Y + 26)
        world.pave(side.frame, lane, tone, Tier.JOINT, Material.ASPHALT)
    build_terminal(world, side.frame.child(0, face), width * 0.92, depth, piers, rng)
    service_road(world, side.frame, [(-width / 2, LANE_Y + 34), (width / 2, LANE_Y + 34)], rng)
    apron_traffic(world, side.frame.child(0, LANE_Y + 30), (width, length), rng)
    forecourt(world, side.frame.child(0, face + depth), width, behind, rng)
    ring = rectangle(-width / 2 - 60, APRON_Y, width / 2 + 60, face + depth + behind + 20)
    return width + 88, face + depth + 44, ring


def _piers(side: Side, length: float, rng: np.random.Generator) -> tuple[list[Pier], float]:
    """The piers of a terminal, none longer than `length`, and the width they need."""
    count, tilt = int(np.clip(side.reach / _PIER_REACH_M, 1, _MOST_PIERS)), float(rng.choice((0.0, 0.0, 0.22, -0.22)))
    large, heads = rng.random(count) < 0.3, rng.choice((0.0, 0.0, 0.0, 32.0), count)
    rooms = np.where(large, 290.0, 200.0) + np.where(heads > 0, 60.0, 0.0)
    middles = np.cumsum(rooms) - rooms / 2 - rooms.sum() / 2
    piers = [
        Pier(float(x), length * rng.uniform(0.85, 1.0), rng.uniform(22, 32), tilt, bool(wide), float(head))
        for x, wide, head in zip(middles, large, heads, strict=True)
    ]
    return piers, float(rooms.sum()) + 60
