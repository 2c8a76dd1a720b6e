"""The aprons on one side of a runway: a terminal in the middle, other aprons outwards, landside behind.

What stands where: an airport that grows with the scene, and the country around it.

The airport's frame: x along the main runway, y = 0 on its centre line, y growing towards the terminal; the scene's
middle lies on the apron, so that the smallest scene shows airplanes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from shapely import Polygon, unary_union

from model.synthetic import aprons
from model.synthetic.aircraft import NARROW, REGIONAL, TYPES, WIDE
from model.synthetic.aprons import Pier, build_terminal
from model.synthetic.countryside import near_airport, spread_country
from model.synthetic.decoys import apron_traffic, close_taxiways, helipad, old_runway
from model.synthetic.geometry import Place, rectangle
from model.synthetic.landside import blocks, forecourt, grove, road
from model.synthetic.pavement import Runway, TaxiNet, lay_apron, lay_runway, lay_taxiways
from model.synthetic.stands import park, service_road
from model.synthetic.streams import stream
from model.synthetic.world import Material, Tier, World

APRON_Y = 235.0  # near edge of the aprons, metres from the runway's centre line
LANE_Y = 266.0  # the taxi lane along them
_OUTPOST_Y = LANE_Y + 20
_MOST_PIERS = 7
_PIER_REACH_M = 210.0  # half a side for each pier
_HANGAR_ROOM_M = 96.0  # behind an apron, for what stands at its back
Outpost = Callable[[World, Place, tuple[float, float], np.random.Generator], None]
_OUTPOSTS: tuple[Outpost, ...] = (
    aprons.remote_stands,
    aprons.small_aircraft,
    aprons.cargo_apron,
    aprons.hangars,
    aprons.flying_club,
)
_MIDDLE_Y = 400.0  # where the scene's middle lies in the airport's frame
_TAXIWAY_Y = 180.0
_SECOND_Y = -430.0  # the second runway's centre line
_HALF_RUNWAY_M = (380.0, 1800.0)
_TWO_RUNWAYS_M, _TWO_TERMINALS_M = 2400.0, 4200.0  # scenes larger than this have them
_MOVING = tuple(shape for shape in TYPES if shape.kind in (NARROW, REGIONAL, WIDE))
_FASTEST_M = 4.0  # how far the bands of a sensor see an airplane apart on the runway
_ABREAST_M = 6.0  # moving airplanes keep this distance


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
    if build is aprons.flying_club:
        outline = _chamfered(x - width / 2, x + width / 2, _OUTPOST_Y + 26, 6)
    concrete = rng.random() < (0.35 if build in (aprons.small_aircraft, aprons.flying_club) else 0.8)
    lay_apron(world, side.frame, outline, bool(concrete), rng)
    net.aprons.append(outline)
    build(world, side.frame.child(x, _OUTPOST_Y), (width - 16, depth), rng)
    apron_traffic(world, side.frame.child(x, _OUTPOST_Y), (width - 16, depth), rng)
    if rng.random() < 0.5 and build is not aprons.flying_club:
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


@dataclass(frozen=True, slots=True)
class _Airport:
    """The plan of an airport: its frame, its runways, and the aprons on one side or both."""

    frame: Place
    runways: tuple[Runway, ...]
    sides: tuple[Side, ...]

    @property
    def airfield(self) -> NDArray[np.float64]:
        """The ground (4, 2) of runways and taxiways, the airport's frame."""
        end = self.runways[0].x1 + 240
        near = -170.0 if len(self.sides) == 1 else _SECOND_Y - APRON_Y - 10  # as far as the other side's aprons
        return rectangle(-end, near, end, APRON_Y + 40)


def lay_out(world: World, seed: int) -> None:
    """Put an airport and its surroundings on an empty sheet."""
    rng = stream(seed, "layout")
    extent = max(world.width_m, world.height_m)
    middle = Place(world.width_m / 2, world.height_m / 2, rng.uniform(0, 2 * math.pi))
    airport = _plan(middle.child(0, -_MIDDLE_Y), extent, rng)
    ground = _build(world, airport, seed)
    _perimeter(world, airport, stream(seed, "perimeter"))
    _decoys(world, airport, stream(seed, "decoys"))
    turn = rng.uniform(0, 0.5) - middle.angle if rng.random() < 0.5 else rng.normal(0, 0.06)
    reach = 0.72 * extent + 60
    land = Polygon(middle.points(rectangle(-2 * reach, -2 * reach, 2 * reach, 2 * reach))) - ground
    spread_country(world, middle.child(0, 0, turn), reach, land, stream(seed, "country"), near_airport)
    _grass(world, airport.frame, ground, stream(seed, "grass"))


def _plan(frame: Place, extent: float, rng: np.random.Generator) -> _Airport:
    half = float(np.clip(0.45 * extent, *_HALF_RUNWAY_M))
    first = Runway(0.0, -half, half, float(rng.choice((45.0, 60.0))), bool(rng.random() < 0.7))
    side = Side(frame, half, terminal=True)
    if extent < _TWO_RUNWAYS_M:
        return _Airport(frame, (first,), (side,))
    second = Runway(_SECOND_Y, -0.8 * half, 0.9 * half, 45.0, bool(rng.random() < 0.7))
    other = Side(frame.child(0, _SECOND_Y, math.pi), 0.76 * half, terminal=extent > _TWO_TERMINALS_M)
    return _Airport(frame, (first, second), (side, other))


def _build(world: World, airport: _Airport, seed: int) -> Polygon:
    """Build the airport; return its ground in scene metres."""
    rng = stream(seed, "airfield")
    asphalt = bool(rng.random() < 0.5)
    ground = [airport.frame.points(airport.airfield)]
    for runway in airport.runways:
        lay_runway(world, airport.frame, runway, rng)
    for k, side in enumerate(airport.sides):
        net = TaxiNet()
        ground += [side.frame.points(ring) for ring in build_side(world, side, net, stream(seed, "aprons", k))]
        _taxiways(net, side.half, stream(seed, "taxiways", k))
        close_taxiways(world, side.frame, net, 0.15, stream(seed, "closed", k))
        lay_taxiways(world, side.frame, net, asphalt, stream(seed, "pavement", k))
        _moving_airplanes(world, side, stream(seed, "moving", k))
    if len(airport.runways) > 1:
        _between_runways(world, airport, asphalt, rng)
    return unary_union([Polygon(ring).buffer(6) for ring in ground])


def _taxiways(net: TaxiNet, half: float, rng: np.random.Generator) -> None:
    """The parallel taxiway, its ways to the runway and to the aprons."""
    net.along(_TAXIWAY_Y, -half, half, 25.0)
    for end in (-1, 1):
        net.link(end * (half - 12), 0, _TAXIWAY_Y, 28.0, turns=(-end,))
    for x in np.arange(-half + 320, half - 250, rng.uniform(420, 640)):
        net.link(x, 0, _TAXIWAY_Y, 24.0, float(rng.choice((0.0, 0.0, 110.0, -110.0))))
    for x in np.arange(-half + rng.uniform(60, 140), half, rng.uniform(150, 240)):
        net.link(x, _TAXIWAY_Y, LANE_Y, 24.0)


def _between_runways(world: World, airport: _Airport, asphalt: bool, rng: np.random.Generator) -> None:
    net, y, half = TaxiNet(), _SECOND_Y / 2, airport.runways[1].x1
    net.along(y, -0.8 * half, half, 25.0)
    for x in np.arange(-0.7 * half, half, rng.uniform(500, 800)):
        net.link(x, y, 0, 24.0)
        net.link(x + 90, y, _SECOND_Y, 24.0)
    lay_taxiways(world, airport.frame, net, asphalt, rng)


def _moving_airplanes(world: World, side: Side, rng: np.random.Generator) -> None:
    """Airplanes on their way: along the taxiways, in line for the runway, on the runway."""
    half, heading = side.half, float(rng.choice((0.0, math.pi)))
    spots = [
        (x + rng.uniform(-60, 60), y, heading)
        for x in np.arange(-half + 100, half - 60, 330.0)
        for y, share in ((_TAXIWAY_Y, 0.3), (LANE_Y, 0.2))
        if rng.random() < share
    ]
    end = half - 12 if heading == 0 else -half + 12
    spots += [(end, 110 + 75.0 * k, -math.pi / 2) for k in range(int(rng.integers(0, 2)))]
    spots.append((rng.uniform(-0.7, 0.7) * half, 0.0, heading + math.pi))
    for x, y, turn in spots:
        shape, rims = _MOVING[int(rng.integers(len(_MOVING)))], _FASTEST_M if y == 0 else 0.4 * _FASTEST_M
        moving = rng.uniform(0.2, 1.0) * rims if rng.random() < 0.5 else 0.0
        park(world, shape, side.frame.child(x, y, turn), rng, _ABREAST_M, moving)


def _decoys(world: World, airport: _Airport, rng: np.random.Generator) -> None:
    """A disused runway beside the first one, landing places for helicopters on the grass."""
    half = airport.runways[0].x1
    if rng.random() < 0.5:
        strip = airport.frame.child(rng.uniform(-0.3, 0.3) * half, -105, rng.normal(0, 0.02))
        old_runway(world, strip, rng.uniform(0.6, 1.2) * half, rng.uniform(20, 40), rng)
    for _ in range(int(rng.integers(0, 4))):
        spot = airport.frame.child(rng.uniform(-0.9, 0.9) * half, rng.uniform(70, 130), rng.uniform(0, math.pi))
        helipad(world, spot, rng.uniform(18, 34), rng)


def _perimeter(world: World, airport: _Airport, rng: np.random.Generator) -> None:
    """A gravel road inside the fence, and thickets along it."""
    (x0, y0), (x1, _) = airport.airfield.min(axis=0), airport.airfield.max(axis=0)
    road(world, airport.frame, [(x0, y0 + 14), (x1, y0 + 14)], 4.5, rng, 0.2)
    for x in (x0 + 14, x1 - 14):
        road(world, airport.frame, [(x, y0 + 14), (x, APRON_Y)], 4.5, rng, 0.2)
    for x in rng.uniform(x0, x1, 6):
        grove(world, airport.frame.child(x, y0 - 4), (rng.uniform(40, 160), 10), rng, 0.5)


def _grass(world: World, frame: Place, ground: Polygon, rng: np.random.Generator) -> None:
    """Mown strips over the airport's ground, greener and drier ones."""
    area = Polygon(frame.local(np.array(ground.exterior.coords)))
    x0, y0, x1, y1 = area.bounds
    green, dry = np.array(world.palette.grass), np.array(world.palette.dry_grass)
    world.pave_area(frame, area, green, Tier.LAND, Material.GRASS)
    step = rng.uniform(6, 12)
    for k, y in enumerate(np.arange(y0, y1, step)):
        mix = 0.15 + 0.5 * rng.random() ** 2
        tone = (green * (1 - mix) + dry * mix) * (1 + 0.02 * (k % 2))
        strip = area.intersection(Polygon(rectangle(x0, y, x1, y + step)))
        world.pave_area(frame, strip, tone, Tier.LAND, Material.KEEP)
