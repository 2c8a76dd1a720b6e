"""Towns: their quarters, streets, railways and harbour, and what fills a block of houses."""

import math

import numpy as np
from numpy.typing import NDArray
from shapely import LineString, Polygon, unary_union
from shapely.geometry.base import BaseGeometry

from model.synthetic.buildings import (
    building,
    pitched_building,
    sample_colour,
    sample_plan_letter,
    spire,
    wing_boxes,
    winged_building,
)
from model.synthetic.countryside import houses, works
from model.synthetic.districts import (
    Harbour,
    build_harbour,
    industry,
    mall,
    park,
    plan_harbour,
    pool,
    sports_ground,
    stadium,
)
from model.synthetic.geometry import QUARTER_TURN, SCENE_FRAME, Frame, Size, arc, centred_box, discs, rectangle, ribbon
from model.synthetic.land import (
    FillerChoice,
    Parcel,
    ParcelFiller,
    car_park,
    fill_patchwork,
    grove,
    land_radius,
    lay_railway,
    lay_water,
    river_polygon,
    road,
    sample_water_colour,
    split_into_zones,
    winding_paths,
)
from model.synthetic.objects import cars, containers, tower_crane, trees, trucks
from model.synthetic.style import pick, stream
from model.synthetic.world import Material, Tier, World

Spots = NDArray[np.float64]
_CRESCENT_M = 62.0  # between curved streets
_STREET_M = 16.0  # between blocks
_HARBOUR_SHARE = 0.5  # of all towns


def sample_quarter(rng: np.random.Generator) -> tuple[Size, FillerChoice]:
    """Sample the character of a quarter: the size of its blocks, metres, and how their fillers are chosen."""
    shares, blocks = pick(_QUARTERS, rng)

    def choose(field: float, rng: np.random.Generator) -> ParcelFiller:
        if abs(field) > 1.35 and rng.random() < 0.4:
            return pick(_SPECIAL_FILLERS, rng)
        return _BLOCK_FILLERS[int(rng.choice(len(_BLOCK_FILLERS), p=np.array(shares) / sum(shares)))]

    return pick(blocks, rng), choose


def _terraces(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add terraced houses along the sides of the block, and a courtyard with sheds and trees."""
    world, (width, depth) = parcel.world, size
    parcel.pave(centred_box(size), np.array(world.palette.road) * 1.1, Tier.LAND, Material.CONCRETE)
    parcel.pave(centred_box((width - 24, depth - 24)), np.array(world.palette.soil) * 0.95, Tier.TRACK, Material.SOIL)
    storeys, flat = rng.uniform(7, 17), rng.random() < 0.25
    for side, far, turn in ((width, depth, 0.0), (depth - 24, width, QUARTER_TURN)):
        for sign in (-1, 1):
            at = -side / 2
            while at < side / 2 - 6:
                long = min(rng.uniform(9, 20), side / 2 - at)
                row = parcel.frame.child(0, 0, turn).child(at + long / 2, sign * (far / 2 - 7))
                if parcel.fits(row, (long, 12)):
                    _town_house(parcel, row, (long - 0.2, rng.uniform(10, 13)), storeys + rng.normal(0, 1), flat, rng)
                at += long
    spots = rng.uniform(-0.5, 0.5, (int(width * depth / 260), 2)) * (width - 34, depth - 34)
    spots = spots[parcel.usable(spots)]
    _sheds(parcel, spots[::2], rng)
    trees(world, parcel.frame, spots[1::2], rng.uniform(1.6, 4, len(spots[1::2])), rng)


def _town_house(parcel: Parcel, frame: Frame, size: Size, eaves: float, flat: bool, rng: np.random.Generator) -> None:
    if flat or rng.random() < 0.1:
        building(parcel.world, frame, size, eaves + 2, parcel.world.palette.sample_roof(rng), rng)
    else:
        pitched_building(
            parcel.world, frame, size, (eaves, eaves + 4), sample_colour(parcel.world.palette.house_roofs, rng)
        )


def _sheds(parcel: Parcel, spots: Spots, rng: np.random.Generator) -> None:
    for x, y in spots:
        spot, size = parcel.frame.child(x, y), (rng.uniform(3, 9), rng.uniform(3, 6))
        parcel.world.extrude(spot, centred_box(size), 3.0, sample_colour(parcel.world.palette.roofs, rng))


def _villas(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add detached houses of many plans in gardens, with drives, hedges and pools."""
    world = parcel.world
    parcel.pave(centred_box(size), np.array(world.palette.grass) * rng.uniform(0.9, 1.05), Tier.LAND, Material.GRASS)
    lot = rng.uniform(19, 32)
    for x in np.arange(-size[0] / 2 + lot / 2, size[0] / 2 - lot / 3, lot):
        for side in (-1, 1):
            spot = parcel.frame.child(
                x, side * (size[1] / 2 - 15), rng.choice((0.0, QUARTER_TURN)) + rng.normal(0, 0.03)
            )
            if parcel.fits(spot, (lot, lot)):
                _villa(parcel, spot, rng)
                drive = rectangle(x + 0.3 * lot, side * (size[1] / 2 - 14), x + 0.3 * lot + 3.2, side * size[1] / 2)
                parcel.pave(drive, np.array(world.palette.concrete), Tier.TRACK, Material.CONCRETE)
                cars(world, parcel.frame, [(x + 0.3 * lot + 1.6, side * (size[1] / 2 - 5))], QUARTER_TURN, rng)
    spots = rng.uniform(-0.5, 0.5, (int(size[0] * size[1] / 190), 2)) * size
    spots = spots[parcel.usable(spots) & (np.abs(np.abs(spots[:, 1]) - size[1] / 2 + 15) > 8)]
    trees(world, parcel.frame, spots, rng.uniform(1.2, 4.4, len(spots)), rng)


def _villa(parcel: Parcel, spot: Frame, rng: np.random.Generator) -> None:
    world, roof, hip = parcel.world, sample_colour(parcel.world.palette.house_roofs, rng), bool(rng.random() < 0.5)
    long, wide, eaves = rng.uniform(10, 16), rng.uniform(8, 11), rng.uniform(3, 6)
    pitched_building(world, spot, (long, wide), (eaves, eaves + 0.3 * wide), roof, hip)
    if rng.random() < 0.4:  # a perpendicular wing
        side = rng.choice((-1, 1))
        pitched_building(
            world,
            spot.child(rng.uniform(-0.2, 0.2) * long, side * 0.5 * wide, QUARTER_TURN),
            (0.9 * wide, 0.7 * wide),
            (eaves, eaves + 0.28 * wide),
            roof,
            hip,
        )
    if rng.random() < 0.3:
        pool(world, spot.child(rng.uniform(-3, 3), rng.choice((-1, 1)) * (wide + 3)), rng.uniform(6, 11), rng)


def _crescents(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add houses along streets that curve around one corner of the block."""
    world, frame = parcel.world, parcel.frame
    parcel.pave(centred_box(size), np.array(world.palette.grass) * 0.98, Tier.LAND, Material.GRASS)
    corner = np.array(size) / 2 * rng.choice((-1, 1), 2)
    start = math.atan2(-corner[1], -corner[0]) - math.pi / 4
    for radius in np.arange(40, max(size) * 1.1, _CRESCENT_M):
        street = arc(float(corner[0]), float(corner[1]), radius, start, start + math.pi / 2, 4 / radius)
        inside = street[(np.abs(street) < np.array(size) / 2 + 6).all(axis=1)]
        for piece in parcel.usable_stretches(inside) if len(inside) > 3 else ():
            world.pave(frame, ribbon(piece, 9), np.array(world.palette.concrete), Tier.TRACK, Material.CONCRETE)
            world.pave(frame, ribbon(piece, 6), world.palette.road, Tier.ROAD, Material.ASPHALT)
        for out in (-15, 15):
            angles = np.arange(start, start + math.pi / 2, rng.uniform(15, 20) / radius)
            directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
            _curved_row(parcel, size, corner + (radius + out) * directions, angles + QUARTER_TURN, rng)
    spots = rng.uniform(-0.5, 0.5, (int(size[0] * size[1] / 300), 2)) * size
    away = np.abs((np.hypot(*(spots - corner).T) - 40 + _CRESCENT_M / 2) % _CRESCENT_M - _CRESCENT_M / 2)
    spots = spots[parcel.usable(spots) & (away > 24)]
    trees(world, frame, spots, rng.uniform(1.2, 3.6, len(spots)), rng)


def _curved_row(parcel: Parcel, size: Size, spots: Spots, angles: Spots, rng: np.random.Generator) -> None:
    """Add houses at local points (N, 2) of a block, turned by angles (N,)."""
    roof = sample_colour(parcel.world.palette.house_roofs, rng)
    for (x, y), angle in zip(spots, angles, strict=True):
        spot = parcel.frame.child(float(x), float(y), float(angle))
        if max(abs(x) - size[0] / 2, abs(y) - size[1] / 2) < -8 and parcel.fits(spot, (16, 16)):
            pitched_building(parcel.world, spot, (rng.uniform(9, 13), rng.uniform(7, 9)), (4, 7), roof)


def _estate(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add tall slabs and blocks of many plans on lawns, with car parks between."""
    world, (width, depth) = parcel.world, size
    parcel.pave(centred_box(size), np.array(world.palette.grass) * rng.uniform(0.9, 1.05), Tier.LAND, Material.GRASS)
    columns, turn, kind = max(1, int(width / 75)), rng.choice((0.0, 0.0, 0.5)), rng.random()
    for x in (np.arange(columns) + 0.5) * width / columns - width / 2:
        for y in (-depth / 4, depth / 4):
            spot = parcel.frame.child(x, y, turn)
            if not parcel.fits(spot, (62, 0.42 * depth)):
                continue
            if rng.random() < 0.2:
                car_park(world, spot, (46, 0.3 * depth), rng)
            elif kind < 0.5:
                building(
                    world, spot, (rng.uniform(36, 58), 13), rng.uniform(12, 40), world.palette.sample_roof(rng), rng
                )
            else:
                _plan_building(parcel, spot, (rng.uniform(26, 44), rng.uniform(26, 40)), rng.uniform(12, 48), rng)
    spots = rng.uniform(-0.5, 0.5, (int(width * depth / 260), 2)) * size
    spots = spots[parcel.usable(spots)]
    trees(world, parcel.frame, spots, rng.uniform(1.6, 4.4, len(spots)), rng)


def _plan_building(parcel: Parcel, spot: Frame, size: Size, height: float, rng: np.random.Generator) -> None:
    shape, breadth = sample_plan_letter(rng), rng.uniform(0.26, 0.4) * min(size)
    turned = spot.child(0, 0, rng.choice((0.0, QUARTER_TURN, math.pi, math.pi / 4)))
    winged_building(
        parcel.world, turned, wing_boxes(shape, size, breadth), height, parcel.world.palette.sample_roof(rng), rng
    )


def _offices(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add large buildings of many plans and towers on paved ground."""
    world, (width, depth) = parcel.world, size
    parcel.pave(
        centred_box(size), np.array(world.palette.concrete) * rng.uniform(0.85, 1), Tier.LAND, Material.CONCRETE
    )
    for x in (-width / 4, width / 4):
        spot, room = parcel.frame.child(x, 0), (0.44 * width, 0.8 * depth)
        if not parcel.fits(spot, room):
            continue
        choice = rng.random()
        if choice < 0.55:
            _plan_building(parcel, spot, (0.8 * min(room), 0.8 * min(room)), rng.uniform(10, 40), rng)
        elif choice < 0.8:
            roof = world.palette.sample_roof(rng)
            building(world, spot, (0.9 * room[0], 0.8 * room[1]), rng.uniform(8, 20), roof, rng)
            building(world, spot.child(0, 0.1 * depth), (0.4 * room[0], 0.36 * room[0]), rng.uniform(30, 90), roof, rng)
        else:
            car_park(world, spot, (0.85 * room[0], 0.85 * room[1]), rng)
    edge = np.linspace(-width / 2 + 4, width / 2 - 4, int(width / 11))
    spots = np.concatenate([np.stack([edge, np.full(len(edge), y)], axis=1) for y in (-depth / 2 + 3, depth / 2 - 3)])
    spots = spots[parcel.usable(spots) & (rng.random(len(spots)) < 0.7)]
    trees(world, parcel.frame, spots, rng.uniform(1.5, 3, len(spots)), rng)


def _church(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add a cross-shaped church on a square with trees."""
    world, frame = parcel.world, parcel.frame.child(0, 0, rng.uniform(0, math.pi))
    if not parcel.fits(frame, (84, 84)):
        _terraces(parcel, size, rng)
        return
    parcel.pave(centred_box(size), np.array(world.palette.concrete) * 0.96, Tier.LAND, Material.CONCRETE)
    spots = rng.uniform(-0.48, 0.48, (40, 2)) * size
    spots = spots[parcel.usable(spots) & (np.hypot(*spots.T) > 40)]
    trees(world, parcel.frame, spots, rng.uniform(2, 4.5, len(spots)), rng)
    roof, long, wide = sample_colour(world.palette.house_roofs, rng), rng.uniform(34, 62), rng.uniform(11, 17)
    pitched_building(world, frame, (long, wide), (13, 13 + 0.6 * wide), roof)
    pitched_building(
        world, frame.child(0.16 * long, 0, QUARTER_TURN), (0.62 * long, 0.9 * wide), (13, 13 + 0.55 * wide), roof
    )
    tower = frame.child(0.16 * long if rng.random() < 0.3 else -0.5 * long, 0)
    spire(world, tower, 0.5 * wide, (22, 44), roof if rng.random() < 0.5 else (112, 136, 124), 8)


def _building_site(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add bare earth, foundations, unfinished floors and cranes."""
    world = parcel.world
    parcel.pave(centred_box(size), np.array(world.palette.soil) * 1.04, Tier.LAND, Material.SOIL)
    for x in (-size[0] / 4, size[0] / 4):
        spot = parcel.frame.child(x, rng.uniform(-0.1, 0.1) * size[1])
        if parcel.fits(spot, (0.46 * size[0], 0.7 * size[1])):
            _plan_building(parcel, spot, (0.36 * size[0], 0.5 * size[1]), rng.uniform(2, 22), rng)
            tower_crane(world, spot.child(8, 0.3 * size[1], rng.uniform(0, 6)), rng.uniform(26, 60), rng)
    spots = rng.uniform(-0.46, 0.46, (16, 2)) * size
    spots = spots[parcel.usable(spots)]
    containers(world, parcel.frame, spots[:5], 0.0, rng, 1)
    trucks(world, parcel.frame, spots[5:11], rng.uniform(0, 6, len(spots[5:11])), rng)


def _green(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add a patch of waste land."""
    parcel.pave(centred_box(size), np.array(parcel.world.palette.dry_grass), Tier.LAND, Material.GRASS)
    if parcel.fits(parcel.frame, size):
        grove(parcel.world, parcel.frame, size, rng, rng.uniform(0.03, 0.4))
    for _ in range(3):
        ring = discs(rng.uniform(-0.3, 0.3, 2) * size, rng.uniform(6, 18), 9)[0]
        parcel.pave(ring, np.array(parcel.world.palette.soil), Tier.TRACK, Material.SOIL)


_BLOCK_FILLERS: tuple[ParcelFiller, ...] = (
    _terraces,
    _villas,
    _crescents,
    houses,
    _estate,
    _offices,
    industry,
    works,
    _green,
)

_SPECIAL_FILLERS: tuple[ParcelFiller, ...] = (park, stadium, sports_ground, _church, _building_site, mall, mall)

_SMALL, _MEDIUM, _LARGE = (105.0, 80.0), (150.0, 100.0), (210.0, 150.0)

_QUARTERS: tuple[tuple[tuple[int, ...], tuple[Size, ...]], ...] = (  # shares of _BLOCK_FILLERS, block sizes
    ((8, 0, 0, 0, 1, 2, 0, 0, 0), (_SMALL, _MEDIUM)),
    ((0, 5, 3, 2, 0, 0, 0, 0, 1), (_SMALL, _MEDIUM, _LARGE)),
    ((0, 0, 1, 0, 6, 2, 0, 0, 1), (_MEDIUM, _LARGE)),
    ((0, 0, 0, 0, 0, 1, 7, 2, 1), (_MEDIUM, _LARGE, (280.0, 200.0))),
    ((2, 1, 0, 0, 2, 6, 0, 0, 0), (_SMALL, _MEDIUM)),
)


def lay_out_town(world: World, seed: int) -> None:
    """Lay out a town in an empty world; it contains no airplanes."""
    rng = stream(seed, "town")
    paths = winding_paths(world, int(rng.integers(2, 5)), rng)
    kinds = [str(rng.choice(("road", "rail", "river"), p=(0.5, 0.25, 0.25))) for _ in paths]
    waters: list[BaseGeometry] = [
        river_polygon(path, rng.uniform(16, 110), rng)
        for path, kind in zip(paths, kinds, strict=True)
        if kind == "river"
    ]
    harbour = plan_harbour(world, rng) if rng.random() < _HARBOUR_SHARE else None
    taken = [*waters, *(LineString(path).buffer(16) for path in paths)]
    for k, land in enumerate(split_into_zones(world, paths, [*taken, *([harbour.ground] if harbour else [])])):
        _quarter(world, land, stream(seed, "quarter", k))
    if waters:
        lay_water(world, unary_union(waters), sample_water_colour(rng), rng.uniform(2, 6))
    if harbour:
        build_harbour(world, harbour, stream(seed, "harbour"))
    for path, kind in zip(paths, kinds, strict=True):
        clear = _outside_harbour(world, path, harbour)
        for piece in clear:
            if kind == "rail":
                lay_railway(world, piece, rng)
            elif kind == "road":
                road(world, SCENE_FRAME, piece, float(rng.choice((9.0, 14.0, 22.0))), rng, 4.0)


def _outside_harbour(world: World, path: NDArray[np.float64], harbour: Harbour | None) -> list[NDArray[np.float64]]:
    """Return the parts of a path outside the harbour."""
    if harbour is None:
        return [path]
    outside = Polygon([(-2e4, -2e4), (2e5, -2e4), (2e5, 2e5), (-2e4, 2e5)]) - harbour.ground
    return Parcel(world, SCENE_FRAME, outside).usable_stretches(path)


def _quarter(world: World, land: Polygon, rng: np.random.Generator) -> None:
    """Add one quarter of the town: its blocks and streets, in its own frame."""
    middle = Frame(world.width_m / 2, world.height_m / 2, rng.uniform(0, 2 * math.pi))
    area = Parcel(world, middle, land)
    ground = np.array(world.palette.concrete) * rng.uniform(0.84, 0.98)
    world.pave_area(SCENE_FRAME, land, ground, Tier.LAND, Material.CONCRETE)
    step, choose = sample_quarter(rng)
    lines_x, lines_y = fill_patchwork(area, land_radius(world), step, _STREET_M, choose, rng)
    down, across = (np.linspace(line[0], line[-1], 300) for line in (lines_y, lines_x))
    paths = [np.stack([np.full(300, x), down], axis=1) for x in lines_x]
    paths += [np.stack([across, np.full(300, y)], axis=1) for y in lines_y]
    width, planted = rng.uniform(6.5, 9.5), rng.choice((0.0, 0.25, 0.7))
    for path in paths:
        _street(area, path, width, planted, rng)


def _street(area: Parcel, path: NDArray[np.float64], width: float, planted: float, rng: np.random.Generator) -> None:
    """Add a straight street with parked and moving cars and trees."""
    world, frame = area.world, area.frame
    tone, ahead = np.array(world.palette.road) * rng.uniform(0.86, 1.0), path[-1] - path[0]
    angle = math.atan2(ahead[1], ahead[0])
    across = np.array((-math.sin(angle), math.cos(angle)))
    for piece in area.usable_stretches(path):
        world.pave(frame, ribbon(piece, width), tone, Tier.ROAD, Material.ASPHALT)
        length = float(np.hypot(*(piece[-1] - piece[0])))
        for out, share in ((-width / 2 + 1, 0.45), (width / 2 - 1, 0.45), (-1.7, 0.06), (1.7, 0.06)):
            at = np.arange(4, length - 4, 6.2)
            at = at[rng.random(len(at)) < share]
            spots = piece[0] + at[:, None] * (ahead / np.hypot(*ahead)) + out * across
            cars(world, frame, spots, angle + (math.pi if out < 0 else 0), rng)
        for out in (-width / 2 - 2, width / 2 + 2):
            at = np.arange(3, length, 9.0)
            at = at[rng.random(len(at)) < planted]
            spots = piece[0] + at[:, None] * (ahead / np.hypot(*ahead)) + out * across
            trees(world, frame, spots, rng.uniform(1.4, 3.0, len(spots)), rng)
