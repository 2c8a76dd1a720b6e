"""Layout of an airport that grows with the scene, of its landside, and of the country around it.

Airport frame: x along the main runway, y = 0 on its centre line, y towards the terminal. The centre of the scene lies
on the apron, so that even the smallest scene contains airplanes.
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
from model.synthetic.buildings import building, sample_plan_letter, wing_boxes, winged_building
from model.synthetic.countryside import choose_near_airport, spread_country
from model.synthetic.geometry import Frame, Size, centred_box, rectangle
from model.synthetic.land import car_park, grove, land_radius, road
from model.synthetic.objects import tower_crane, trees
from model.synthetic.pavement import (
    Runway,
    TaxiNet,
    close_taxiways,
    helipad,
    lay_apron,
    lay_runway,
    lay_taxiways,
    old_runway,
)
from model.synthetic.stands import apron_traffic, park_airplane, service_road
from model.synthetic.style import pick, stream
from model.synthetic.world import Material, Tier, World

APRON_Y = 235.0  # near edge of the aprons, metres from the runway's centre line
LANE_Y = 266.0  # the taxi lane along them
_APRON_CONTENT_Y = LANE_Y + 20
_MAX_PIERS = 7
_PIER_REACH_M = 210.0  # half length of the side per pier
_HANGAR_ROOM_M = 96.0  # depth reserved for buildings behind an apron
ApronBuilder = Callable[[World, Frame, Size, np.random.Generator], None]
_APRON_BUILDERS: tuple[ApronBuilder, ...] = (
    aprons.remote_stands,
    aprons.small_aircraft,
    aprons.cargo_apron,
    aprons.hangars,
    aprons.flying_club,
)
_SCENE_CENTRE_Y = 400.0  # centre of the scene in the airport's frame
_TAXIWAY_Y = 180.0
_SECOND_Y = -430.0  # the second runway's centre line
_HALF_RUNWAY_M = (380.0, 1800.0)
_TWO_RUNWAYS_M, _TWO_TERMINALS_M = 2400.0, 4200.0  # minimum extents of the scene
_MOVING_TYPES = tuple(shape for shape in TYPES if shape.kind in (NARROW, REGIONAL, WIDE))
_MAX_FRINGE_M = 4.0  # maximum shift between bands, on the runway
_MOVING_CLEARANCE_M = 6.0  # between moving and other airplanes


@dataclass(frozen=True, slots=True)
class Side:
    """The area available for aprons on one side of a runway.

    Attributes:
        frame: x along the runway, y = 0 on its centre line, y pointing away from it.
        half: half the length of the taxiway that serves them, metres.
        terminal: whether it has a passenger terminal in the middle.
    """

    frame: Frame
    half: float
    terminal: bool

    @property
    def reach(self) -> float:
        """Half the length along x that may be built on, metres."""
        return self.half + 60


def build_side(world: World, side: Side, net: TaxiNet, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Build the aprons of one side with their surroundings, from the middle outwards.

    Args:
        world: the scene's contents.
        side: the area to build on.
        net: receives the outlines of the aprons and the taxi lane along them.
        rng: source of all choices.

    Returns:
        The ground used: rings (4, 2) in the side's frame.
    """
    used_ground: list[NDArray[np.float64]] = []
    left, right, road_y = 0.0, 0.0, LANE_Y + 390
    if side.terminal:
        width, road_y, ring = _terminal(world, side, net, rng)
        used_ground.append(ring)
        left, right = -width / 2, width / 2
    order = rng.permutation(len(_APRON_BUILDERS))
    built = 0
    while min(right, -left) < side.reach:
        width = rng.uniform(230, 420)
        x = right + width / 2 if right <= -left else left - width / 2
        _build_apron(world, side, net, (x, width, road_y), _APRON_BUILDERS[order[built % len(order)]], rng)
        step = width + rng.choice((0.0, 46.0, 90.0))
        left, right = (left, right + step) if x > 0 else (left - step, right)
        built += 1
    net.add_lane(LANE_Y, max(left, -side.reach), min(right, side.reach), 30.0)
    road(world, side.frame, [(left - 200, road_y), (right + 200, road_y)], 13.0, rng, 2.0)
    return [*used_ground, rectangle(left - 40, APRON_Y, right + 40, road_y + 12)]


def _build_apron(
    world: World,
    side: Side,
    net: TaxiNet,
    box: tuple[float, float, float],
    build: ApronBuilder,
    rng: np.random.Generator,
) -> None:
    """Build one apron with its buildings; `box` holds its centre x, its width, and the y of the road behind it."""
    x, width, road_y = box
    depth = min(rng.uniform(150, 250), road_y - LANE_Y - 150)
    rear = _APRON_CONTENT_Y + depth
    outline = _chamfered(x - width / 2, x + width / 2, rear, rng.uniform(6, 30))
    if build is aprons.flying_club:
        outline = _chamfered(x - width / 2, x + width / 2, _APRON_CONTENT_Y + 26, 6)
    concrete = rng.random() < (0.35 if build in (aprons.small_aircraft, aprons.flying_club) else 0.8)
    lay_apron(world, side.frame, outline, bool(concrete), rng)
    net.aprons.append(outline)
    build(world, side.frame.child(x, _APRON_CONTENT_Y), (width - 16, depth), rng)
    apron_traffic(world, side.frame.child(x, _APRON_CONTENT_Y), (width - 16, depth), rng)
    if rng.random() < 0.5 and build is not aprons.flying_club:
        service_road(world, side.frame, [(x - width / 2 + 8, rear - 5), (x + width / 2 - 8, rear - 5)], rng)
    behind = rear + _HANGAR_ROOM_M
    blocks(world, side.frame.child(x, behind), 0.9 * width, road_y - behind - 8, rng)


def _chamfered(x0: float, x1: float, y1: float, cut: float) -> NDArray[np.float64]:
    """Return an apron's outline (6, 2), with chamfered corners towards the taxiway."""
    near = APRON_Y
    return np.array([(x0 + cut, near), (x1 - cut, near), (x1, near + cut), (x1, y1), (x0, y1), (x0, near + cut)])


def _terminal(
    world: World, side: Side, net: TaxiNet, rng: np.random.Generator
) -> tuple[float, float, NDArray[np.float64]]:
    """Build the terminal, its apron and forecourt; return width, y of the road behind, and the ground used."""
    length = rng.uniform(190, 330) if side.reach > 500 else 150.0
    piers, width = _piers(side, length, rng)
    face, depth, behind = LANE_Y + 110 + length, rng.uniform(55, 85), rng.uniform(260, 420)
    outline = _chamfered(-width / 2 - 20, width / 2 + 20, face + 10, 24)
    net.aprons.append(outline)
    lay_apron(world, side.frame, outline, True, rng)
    if rng.random() < 0.5:  # an asphalt push-back lane
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
    """Plan the piers of a terminal, at most `length` metres long; return them and the width they need."""
    count, tilt = int(np.clip(side.reach / _PIER_REACH_M, 1, _MAX_PIERS)), float(rng.choice((0.0, 0.0, 0.22, -0.22)))
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
    """The plan of an airport: its frame, its runways, and the aprons on one or both sides."""

    frame: Frame
    runways: tuple[Runway, ...]
    sides: tuple[Side, ...]

    @property
    def airfield(self) -> NDArray[np.float64]:
        """Ground (4, 2) of runways and taxiways, in the airport's frame."""
        end = self.runways[0].x1 + 240
        near = -170.0 if len(self.sides) == 1 else _SECOND_Y - APRON_Y - 10  # up to the aprons of the other side
        return rectangle(-end, near, end, APRON_Y + 40)


def lay_out_airport(world: World, seed: int) -> None:
    """Lay out an airport and its surroundings in an empty world."""
    rng = stream(seed, "layout")
    extent = max(world.width_m, world.height_m)
    middle = Frame(world.width_m / 2, world.height_m / 2, rng.uniform(0, 2 * math.pi))
    airport = _plan(middle.child(0, -_SCENE_CENTRE_Y), extent, rng)
    ground = _build(world, airport, seed)
    _perimeter(world, airport, stream(seed, "perimeter"))
    _decoys(world, airport, stream(seed, "decoys"))
    turn = rng.uniform(0, 0.5) - middle.angle if rng.random() < 0.5 else rng.normal(0, 0.06)
    reach = land_radius(world)
    land = Polygon(middle.points(rectangle(-2 * reach, -2 * reach, 2 * reach, 2 * reach))) - ground
    spread_country(world, middle.child(0, 0, turn), reach, land, stream(seed, "country"), choose_near_airport)
    _grass(world, airport.frame, ground, stream(seed, "grass"))


def _plan(frame: Frame, extent: float, rng: np.random.Generator) -> _Airport:
    half = float(np.clip(0.45 * extent, *_HALF_RUNWAY_M))
    first = Runway(0.0, -half, half, float(rng.choice((45.0, 60.0))), bool(rng.random() < 0.7))
    side = Side(frame, half, terminal=True)
    if extent < _TWO_RUNWAYS_M:
        return _Airport(frame, (first,), (side,))
    second = Runway(_SECOND_Y, -0.8 * half, 0.9 * half, 45.0, bool(rng.random() < 0.7))
    other = Side(frame.child(0, _SECOND_Y, math.pi), 0.76 * half, terminal=extent > _TWO_TERMINALS_M)
    return _Airport(frame, (first, second), (side, other))


def _build(world: World, airport: _Airport, seed: int) -> Polygon:
    """Build the airport and return its ground in scene metres."""
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
    """Add the parallel taxiway and its connectors to the runway and to the aprons."""
    net.add_lane(_TAXIWAY_Y, -half, half, 25.0)
    for end in (-1, 1):
        net.add_connector(end * (half - 12), 0, _TAXIWAY_Y, 28.0, turns=(-end,))
    for x in np.arange(-half + 320, half - 250, rng.uniform(420, 640)):
        net.add_connector(x, 0, _TAXIWAY_Y, 24.0, float(rng.choice((0.0, 0.0, 110.0, -110.0))))
    for x in np.arange(-half + rng.uniform(60, 140), half, rng.uniform(150, 240)):
        net.add_connector(x, _TAXIWAY_Y, LANE_Y, 24.0)


def _between_runways(world: World, airport: _Airport, asphalt: bool, rng: np.random.Generator) -> None:
    net, y, half = TaxiNet(), _SECOND_Y / 2, airport.runways[1].x1
    net.add_lane(y, -0.8 * half, half, 25.0)
    for x in np.arange(-0.7 * half, half, rng.uniform(500, 800)):
        net.add_connector(x, y, 0, 24.0)
        net.add_connector(x + 90, y, _SECOND_Y, 24.0)
    lay_taxiways(world, airport.frame, net, asphalt, rng)


def _moving_airplanes(world: World, side: Side, rng: np.random.Generator) -> None:
    """Add taxiing airplanes, airplanes holding short of the runway, and one on the runway."""
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
        shape, rims = (
            pick(_MOVING_TYPES, rng),
            _MAX_FRINGE_M if y == 0 else 0.4 * _MAX_FRINGE_M,
        )
        moving = rng.uniform(0.2, 1.0) * rims if rng.random() < 0.5 else 0.0
        park_airplane(world, shape, side.frame.child(x, y, turn), rng, _MOVING_CLEARANCE_M, moving)


def _decoys(world: World, airport: _Airport, rng: np.random.Generator) -> None:
    """Add a disused runway beside the first one, and helipads on the grass."""
    half = airport.runways[0].x1
    if rng.random() < 0.5:
        strip = airport.frame.child(rng.uniform(-0.3, 0.3) * half, -105, rng.normal(0, 0.02))
        old_runway(world, strip, rng.uniform(0.6, 1.2) * half, rng.uniform(20, 40), rng)
    for _ in range(int(rng.integers(0, 4))):
        spot = airport.frame.child(rng.uniform(-0.9, 0.9) * half, rng.uniform(70, 130), rng.uniform(0, math.pi))
        helipad(world, spot, rng.uniform(18, 34), rng)


def _perimeter(world: World, airport: _Airport, rng: np.random.Generator) -> None:
    """Add a gravel road inside the fence, with thickets along it."""
    (x0, y0), (x1, _) = airport.airfield.min(axis=0), airport.airfield.max(axis=0)
    road(world, airport.frame, [(x0, y0 + 14), (x1, y0 + 14)], 4.5, rng, 0.2)
    for x in (x0 + 14, x1 - 14):
        road(world, airport.frame, [(x, y0 + 14), (x, APRON_Y)], 4.5, rng, 0.2)
    for x in rng.uniform(x0, x1, 6):
        grove(world, airport.frame.child(x, y0 - 4), (rng.uniform(40, 160), 10), rng, 0.5)


def _grass(world: World, frame: Frame, ground: Polygon, rng: np.random.Generator) -> None:
    """Cover the airport's ground with mown strips of different greenness."""
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


def forecourt(world: World, frame: Frame, width: float, depth: float, rng: np.random.Generator) -> None:
    """Add roads, car parks, garages and office blocks behind a terminal.

    Args:
        world: the scene's contents.
        frame: x along the terminal, y away from it, the origin in the middle of the hall's rear wall.
        width: metres along x.
        depth: metres along y.
        rng: source of all choices.
    """
    half = width / 2
    drop_off = rectangle(-half - 20, 4, half + 20, 34)
    world.pave(frame, drop_off, np.array(world.palette.road) * 1.08, Tier.ROAD, Material.ASPHALT)
    for x in (-half - 12, half + 12):
        road(world, frame, [(x, 24.0), (x, depth)], 12.0, rng, 3.0)
    blocks(world, frame.child(0, 46), width, depth - 46, rng)


def blocks(world: World, frame: Frame, width: float, depth: float, rng: np.random.Generator) -> None:
    """Fill a rectangle with plots and the roads between them; the origin is the middle of its near side."""
    half, y = width / 2, 0.0
    while y + 60 < depth:
        tall = min(rng.uniform(80, 150), depth - y)
        x = -half
        while x + 50 < half:
            wide = min(rng.uniform(90, 210), half - x)
            _plot(world, frame.child(x + wide / 2, y + tall / 2), (wide - 20, tall - 20), rng)
            x += wide
        y += tall
        road(world, frame, [(-half - 12, y), (half + 12, y)], 8.0, rng, 1.5)


def _plot(world: World, frame: Frame, size: Size, rng: np.random.Generator) -> None:
    choice = rng.random()
    if choice < 0.48:
        car_park(world, frame, size, rng)
    elif choice < 0.60:  # a parking garage
        red, green, blue = np.array(world.palette.concrete) * rng.uniform(0.95, 1.08)
        building(world, frame, (0.9 * size[0], 0.85 * size[1]), 15.0, (red, green, blue), rng)
    elif choice < 0.86:
        _offices(world, frame, size, rng)
    else:
        grove(world, frame, size, rng, 0.25)


def _offices(world: World, frame: Frame, size: Size, rng: np.random.Generator) -> None:
    world.pave(frame, centred_box(size), world.palette.road, Tier.ROAD, Material.ASPHALT)
    block = (rng.uniform(0.45, 0.8) * size[0], rng.uniform(0.35, 0.7) * size[1])
    height, roof = rng.uniform(10, 32), world.palette.sample_roof(rng)
    if rng.random() < 0.5:
        building(world, frame, block, height, roof, rng)
    else:
        winged_building(
            world,
            frame,
            wing_boxes(sample_plan_letter(rng), block, rng.uniform(0.24, 0.4) * min(block)),
            height,
            roof,
            rng,
        )
    if rng.random() < 0.12:
        tower_crane(world, frame.child(0.3 * block[0], 0.3 * block[1], rng.uniform(0, 6)), height + 18, rng)
    spots = rng.uniform(-0.5, 0.5, (int(rng.integers(4, 24)), 2)) * size
    spots = spots[(np.abs(spots) > np.array(block) / 2 + 4).any(axis=1)]
    trees(world, frame, spots, rng.uniform(2, 4, len(spots)), rng)
