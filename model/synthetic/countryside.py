"""Open country: the layout of scenes without an airport, and what fills a parcel of country.

A patchwork of fields, woods, farms, villages and works, with roads between them. Its frame may have any angle to the
airport's; nothing is placed on the airport's own ground.
"""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from shapely import LineString, unary_union
from shapely.geometry.base import BaseGeometry

from model.synthetic.buildings import building, house, pitched_building, round_tank, vaulted_hall
from model.synthetic.districts import industry
from model.synthetic.geometry import (
    QUARTER_TURN,
    SCENE_FRAME,
    Frame,
    Size,
    centred_box,
    discs,
    grid_points,
    rectangle,
    rectangles,
    ribbon,
)
from model.synthetic.land import (
    FillerChoice,
    Parcel,
    ParcelFiller,
    car_park,
    fill_patchwork,
    land_radius,
    lay_pond,
    lay_water,
    river_polygon,
    road,
    sample_water_colour,
    split_into_zones,
    winding_paths,
)
from model.synthetic.objects import boats, cars, power_line, trees, trucks, wind_turbine
from model.synthetic.style import pick, stream
from model.synthetic.world import Level, Material, Tier, World

_PARCEL_M = (300.0, 240.0)
_STREET_M = 68.0  # between village streets
_WOOD_STEP_M = 6.4
_BARNS = np.array([(168, 164, 156), (134, 100, 88), (196, 194, 188), (120, 124, 128), (150, 128, 108)])
_PANELS = (54, 62, 84)
_TRAMLINES_M = 21.0  # between tractor tracks in a crop


def lay_out_countryside(world: World, seed: int) -> None:
    """Lay out fields, woods, farms, villages and waters in an empty world; it contains no airplanes."""
    rng = stream(seed, "countryside")
    paths = winding_paths(world, int(rng.integers(1, 4)), rng)
    waters: list[BaseGeometry] = []
    roads = []
    for path in paths:
        width = rng.uniform(6, 70) if rng.random() < 0.5 else 0.0
        if width:
            waters.append(river_polygon(path, width, rng))
        shore = 0.7 * width + 25 if width else 0.0
        roads.append(np.array(LineString(path).offset_curve(shore * rng.choice((-1, 1))).coords))
    for k, land in enumerate(
        split_into_zones(world, paths, [*waters, *(LineString(path).buffer(14) for path in roads)])
    ):
        frame = Frame(world.width_m / 2, world.height_m / 2, rng.uniform(0, 2 * math.pi))
        spread_country(world, frame, land_radius(world), land, stream(seed, "zone", k), choose_countryside)
    if waters:
        lay_water(world, unary_union(waters), sample_water_colour(rng), rng.uniform(2, 8))
    for path in roads:
        road(world, SCENE_FRAME, path, float(rng.choice((6.0, 8.0, 16.0))), rng)


def spread_country(
    world: World, frame: Frame, reach: float, land: BaseGeometry, rng: np.random.Generator, choose: FillerChoice
) -> None:
    """Cover the land within `reach` metres of a frame's origin with parcels, and lay roads between them.

    Args:
        world: the scene's contents.
        frame: the parcels are aligned with its axes.
        reach: metres.
        land: ground that may be used, scene metres.
        rng: source of all choices.
        choose: selects the filler of each parcel.
    """
    area = Parcel(world, frame, land)
    lines_x, lines_y = fill_patchwork(area, reach, _PARCEL_M, 10.0, choose, rng)
    _roads(area, lines_x, lines_y, rng)


def fields(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add one to three fields side by side, sometimes with a hedge."""
    width, depth = size
    cuts = rng.uniform(-0.4, 0.4, int(rng.integers(0, 3))) * width
    for x0, x1 in pairwise(np.sort([-width / 2, *cuts, width / 2])):
        _crop(parcel, (x0 + 2, x1 - 2), depth, rng)
    if rng.random() < 0.5:
        count = int(rng.integers(8, 50))
        spots = np.stack([rng.uniform(-width / 2, width / 2, count), rng.normal(depth / 2, 1.2, count)], axis=1)
        spots = spots[parcel.usable(spots)]
        trees(parcel.world, parcel.frame, spots, rng.uniform(1.4, 4.0, len(spots)), rng)


def _crop(parcel: Parcel, sides: Size, depth: float, rng: np.random.Generator) -> None:
    """Add one field between two x, in rows of alternating tone."""
    (x0, x1), crops = sides, parcel.world.palette.crops
    base = np.array(pick(crops, rng)) * rng.uniform(0.92, 1.08)
    field = rectangle(x0, -depth / 2, x1, depth / 2)
    parcel.pave(field, base, Tier.LAND, Material.FIELD)
    step, lengthwise = rng.uniform(3, 14), rng.random() < 0.5
    starts = np.arange(x0, x1 - step, step) if lengthwise else np.arange(-depth / 2, depth / 2 - step, step)
    if lengthwise:
        boxes = [(at, -depth / 2, at + step / 2, depth / 2) for at in starts]
    else:
        boxes = [(x0, at, x1, at + step / 2) for at in starts]
    tones = base * (1 + rng.normal(0, 0.028, (len(boxes), 1)) + rng.choice((-0.03, 0.03)))
    parcel.pave(rectangles(boxes), tones, Tier.LAND)


def wood(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add trees so dense that no ground is visible."""
    world, frame = parcel.world, parcel.frame
    parcel.pave(centred_box(size), np.array(world.palette.tree) * 0.9, Tier.LAND, Material.GRASS)
    x = np.arange(-size[0] / 2, size[0] / 2, _WOOD_STEP_M)
    y = np.arange(-size[1] / 2, size[1] / 2, _WOOD_STEP_M)
    spots = grid_points(x, y)
    spots = spots + rng.normal(0, 1.8, spots.shape)
    spots = spots[parcel.usable(spots) & (rng.random(len(spots)) < 0.93)]
    trees(world, frame, spots, rng.uniform(2.8, 5.2, len(spots)), rng)


def houses(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add streets with houses, gardens and trees."""
    world, frame, (width, depth) = parcel.world, parcel.frame, size
    parcel.pave(centred_box(size), np.array(world.palette.grass) * 0.95, Tier.LAND, Material.SOIL)
    for y in np.arange(-depth / 2 + 34, depth / 2 - 20, _STREET_M):
        street = np.stack([np.linspace(-width / 2, width / 2, 40), np.full(40, y)], axis=1)
        for piece in parcel.usable_stretches(street):
            road(world, frame, piece, 6.0, rng, 1.2)
        for side in (-1, 1):
            _row_of_houses(parcel, y + 16 * side, width, rng)
        x = rng.uniform(-width / 2, width / 2, int(width / 7))
        behind = y + rng.choice((-1, 1), len(x)) * rng.uniform(24, 33, len(x))
        spots = np.stack([x, behind], axis=1)
        spots = spots[parcel.usable(spots)]
        trees(world, frame, spots, rng.uniform(1.5, 3.8, len(spots)), rng)


def _row_of_houses(parcel: Parcel, y: float, width: float, rng: np.random.Generator) -> None:
    roofs = parcel.world.palette.house_roofs
    for x in np.arange(-width / 2 + 12, width / 2 - 8, rng.uniform(16, 22)):
        spot = parcel.frame.child(x + rng.normal(0, 1), y + rng.normal(0, 1.5), rng.choice((0, QUARTER_TURN)))
        size, roof = (rng.uniform(9, 14), rng.uniform(7, 10)), pick(roofs, rng)
        if rng.random() < 0.9 and parcel.fits(spot, (18, 18)):
            house(parcel.world, spot, size, roof)


def works(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add warehouses, yards and car parks."""
    world, frame, (width, depth) = parcel.world, parcel.frame, size
    yard = np.array(world.palette.road) * rng.uniform(0.95, 1.15)
    parcel.pave(centred_box(size), yard, Tier.LAND, Material.ASPHALT)
    for x in (-width / 4, width / 4):
        for y in (-depth / 4, depth / 4):
            spot = frame.child(x, y)
            if not parcel.fits(spot, (width / 2, depth / 2)):
                continue
            if rng.random() < 0.75:
                _warehouse(world, spot, (rng.uniform(0.26, 0.42) * width, rng.uniform(0.2, 0.36) * depth), rng)
            else:
                car_park(world, spot, (0.44 * width, 0.42 * depth), rng)
    along = np.arange(-width / 2 + 6, width / 2 - 6, 3.0)
    lane = np.stack([along, np.zeros(len(along))], axis=1)
    cars(world, frame, lane[parcel.usable(lane) & (rng.random(len(lane)) < 0.4)], QUARTER_TURN, rng)


def _warehouse(world: World, frame: Frame, size: Size, rng: np.random.Generator) -> None:
    building(world, frame, size, rng.uniform(7, 14), world.palette.sample_roof(rng), rng)
    docks = np.arange(-size[0] / 2 + 4, size[0] / 2 - 3, 4.4)
    docks = docks[rng.random(len(docks)) < 0.35]
    trucks(world, frame, np.stack([docks, np.full(len(docks), size[1] / 2 + 9)], axis=1), QUARTER_TURN, rng, 14.0)


def _roads(land: Parcel, lines_x: NDArray[np.float64], lines_y: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Add roads along some of the parcel edges, cut where the land ends."""
    down, across = (np.linspace(line[0], line[-1], 200) for line in (lines_y, lines_x))
    paths = [np.stack([np.full(200, x), down], axis=1) for x in lines_x[1::3]]
    paths += [np.stack([across, np.full(200, y)], axis=1) for y in lines_y[::3]]
    for path in paths:
        width = float(rng.choice((5.5, 7.0, 7.0, 15.0)))
        for piece in land.usable_stretches(path):
            road(land.world, land.frame, piece, width, rng)


def choose_countryside(town: float, rng: np.random.Generator) -> ParcelFiller:
    """Choose what fills a parcel of open country: villages where `town` (-3.2..3.2) is high, woods where it is low."""
    if town > 1.3 and rng.random() < 0.5:
        return houses
    if town < -1.1 and rng.random() < 0.75:
        return wood
    shares = [share for _, share in _COUNTRYSIDE_FILLERS]
    return _COUNTRYSIDE_FILLERS[int(rng.choice(len(shares), p=shares))][0]


def choose_near_airport(town: float, rng: np.random.Generator) -> ParcelFiller:
    """Choose what fills a parcel near an airport: towns and works where `town` (-3.2..3.2) is high."""
    if town > 0.9:
        return (houses, works, industry)[int(rng.choice(3, p=(0.6, 0.2, 0.2)))]
    return choose_countryside(town, rng)


def _tilled(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add fields with tractor tracks, sometimes with a farm track along them."""
    fields(parcel, size, rng)
    (width, depth), lengthwise = size, rng.random() < 0.5
    tone = np.array(parcel.world.palette.soil) * rng.uniform(0.86, 1.05)
    across = np.arange(-0.5, 0.5, _TRAMLINES_M / (width if lengthwise else depth))
    for at in across if rng.random() < 0.6 else ():
        for side in (-0.9, 0.9):
            if lengthwise:
                line = rectangle(at * width + side, -depth / 2, at * width + side + 0.45, depth / 2)
            else:
                line = rectangle(-width / 2, at * depth + side, width / 2, at * depth + side + 0.45)
            parcel.pave(line, tone, Tier.LAND)
    if rng.random() < 0.5:
        _farm_track(parcel, size, rng)


def _farm_track(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add a slightly winding gravel track across the parcel."""
    x = np.linspace(-size[0] / 2, size[0] / 2, 50)
    y = rng.uniform(-0.3, 0.3) * size[1] + rng.uniform(0, 9) * np.sin(x / rng.uniform(30, 60))
    path = np.stack([x, y], axis=1)
    tone = np.array(parcel.world.palette.soil) * rng.uniform(1.0, 1.15)
    for piece in parcel.usable_stretches(path):
        for side in (-0.9, 0.9):
            parcel.world.pave(parcel.frame, ribbon(piece + np.array((0.0, side)), 0.9), tone, Tier.TRACK, Material.SOIL)
    roadside = path + np.array((0.0, rng.choice((-5.0, 5.0)))) + rng.normal(0, 0.8, path.shape)
    roadside = roadside[parcel.usable(roadside) & (rng.random(len(roadside)) < rng.choice((0.0, 0.3, 0.9)))]
    trees(parcel.world, parcel.frame, roadside, rng.uniform(1.2, 3.6, len(roadside)), rng)


def _strips(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add narrow fields side by side, each with its own crop."""
    (width, depth), crops = size, parcel.world.palette.crops
    x = -width / 2
    while x < width / 2 - 6:
        wide = min(rng.uniform(9, 38), width / 2 - x)
        tone = np.array(pick(crops, rng)) * rng.uniform(0.9, 1.1)
        parcel.pave(rectangle(x, -depth / 2, x + wide - 0.8, depth / 2), tone, Tier.LAND, Material.FIELD)
        rows = np.arange(x, x + wide - 2, rng.uniform(2.2, 5))
        lines = rectangles([(at, -depth / 2, at + 0.8, depth / 2) for at in rows])
        parcel.pave(lines, tone * rng.uniform(0.9, 1.07), Tier.LAND)
        x += wide


def _pivot(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add a round field and its irrigation arm."""
    fields(parcel, size, rng)
    world, radius = parcel.world, 0.47 * min(size)
    tone = np.array(pick(world.palette.crops, rng)) * rng.uniform(0.8, 1.0)
    for k, part in enumerate(np.arange(1.0, 0.1, -0.08)):
        parcel.pave(discs((0.0, 0.0), radius * part, 48)[0], tone * (1 + 0.03 * (k % 2)), Tier.LAND, Material.FIELD)
    angle = rng.uniform(0, 2 * math.pi)
    end = radius * np.array((math.cos(angle), math.sin(angle)))
    if parcel.fits(parcel.frame, (2 * radius, 2 * radius)):
        arm = ribbon([(0, 0), tuple(end)], 0.7)
        world.cast_shadow(parcel.frame, arm, 3.5)
        world.draw(parcel.frame, arm, (206, 206, 202), Level.VEHICLE, 3.5)


def _orchard(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add trees in rows, or vines."""
    (width, depth), vines = size, rng.random() < 0.4
    ground = np.array(parcel.world.palette.dry_grass if rng.random() < 0.5 else parcel.world.palette.soil)
    parcel.pave(centred_box(size), ground, Tier.LAND, Material.SOIL)
    if vines:
        rows = np.arange(-depth / 2 + 3, depth / 2 - 3, rng.uniform(2.4, 3.4))
        lines = rectangles([(-width / 2 + 3, y, width / 2 - 3, y + 1.1) for y in rows])
        parcel.pave(lines, np.array(parcel.world.palette.tree) * 1.35, Tier.LAND, Material.GRASS)
        return
    step = rng.uniform(5.5, 9)
    x, y = (np.arange(-side / 2 + 5, side / 2 - 4, step) for side in size)
    spots = grid_points(x, y)
    spots = spots[parcel.usable(spots) & (rng.random(len(spots)) < 0.96)]
    trees(parcel.world, parcel.frame, spots, rng.normal(0.3 * step, 0.25, len(spots)).clip(1), rng)


def _meadow(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add grass with some trees, bales or cattle."""
    world = parcel.world
    parcel.pave(centred_box(size), np.array(world.palette.grass) * rng.uniform(0.92, 1.1), Tier.LAND, Material.GRASS)
    spots = rng.uniform(-0.5, 0.5, (int(rng.integers(4, 60)), 2)) * size
    spots = spots[parcel.usable(spots)]
    if rng.random() < 0.5:
        paint = np.array((206, 188, 140) if rng.random() < 0.6 else (232, 232, 228))
        bales = discs(spots, 0.8, 8)
        world.cast_shadow(parcel.frame, bales, 1.2)
        world.draw(parcel.frame, bales, paint, Level.VEHICLE)
    grown = rng.normal(0, 0.12, (int(rng.integers(0, 40)), 2)) * size
    grown = grown[parcel.usable(grown)]
    trees(world, parcel.frame, grown, rng.uniform(1.8, 4.8, len(grown)), rng)


def _farm(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add a farmyard among fields: house, barns, silos, vehicles."""
    fields(parcel, size, rng)
    world, yard = parcel.world, parcel.random_frame(size, 0.2, rng, rng.choice((0.0, 0.3, QUARTER_TURN)))
    if not parcel.fits(yard, (110, 110)):
        return
    world.pave(yard, centred_box((86, 72)), np.array(world.palette.soil) * 1.05, Tier.TRACK, Material.SOIL)
    world.pave(yard, centred_box((60, 40)), np.array(world.palette.concrete) * 0.9, Tier.ROAD, Material.CONCRETE)
    roofs = world.palette.house_roofs
    roof, hip = pick(roofs, rng), bool(rng.random() < 0.5)
    pitched_building(world, yard.child(-30, 24), (15, 10), (5, 9), roof, hip)
    for x, y, turn in ((-22, -24, 0.0), (20, -26, 0.0), (38, 6, QUARTER_TURN), (-42, -4, QUARTER_TURN)):
        if rng.random() < 0.75:
            barn = (rng.uniform(22, 40), rng.uniform(11, 19))
            draw = vaulted_hall if rng.random() < 0.25 else pitched_building
            draw(world, yard.child(x, y, turn), barn, (4.5, 8.5), tuple(_BARNS[int(rng.integers(len(_BARNS)))]))
    for k in range(int(rng.integers(0, 5))):
        silo = yard.child(4 + 8 * k, 26 + rng.normal(0, 1))
        round_tank(world, silo, rng.uniform(2.2, 3.8), rng.uniform(7, 16), (190, 192, 194))
    spots = rng.uniform(-1, 1, (int(rng.integers(2, 12)), 2)) * (30, 16)
    cars(world, yard, spots[::2], rng.uniform(0, 3, len(spots[::2])), rng)
    trucks(world, yard, spots[1::2], rng.uniform(0, 3, len(spots[1::2])), rng, rng.uniform(5, 9))
    around = rng.uniform(-1, 1, (40, 2)) * (56, 48)
    around = around[(np.abs(around) > (48, 40)).any(axis=1)]
    trees(world, yard, around, rng.uniform(2, 4.5, len(around)), rng)


def _greenhouses(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add rows of glass or plastic greenhouses."""
    world, (width, depth) = parcel.world, (0.94 * size[0], 0.9 * size[1])
    parcel.pave(centred_box(size), np.array(world.palette.soil) * 1.02, Tier.LAND, Material.SOIL)
    plastic, span, block = rng.random() < 0.5, rng.uniform(6, 10), rng.uniform(40, 90)
    tone = np.array((222, 224, 220) if plastic else (176, 190, 190)) * rng.uniform(0.9, 1.05)
    for x in np.arange(-width / 2, width / 2 - block, block + 8):
        for y in np.arange(-depth / 2, depth / 2 - span, span if rng.random() < 0.6 else span + 2):
            spot = parcel.frame.child(x + block / 2, y + span / 2)
            if parcel.fits(spot, (block, span)) and rng.random() < 0.95:
                paint = tuple(tone * rng.uniform(0.88, 1.06))
                if plastic:
                    vaulted_hall(world, spot, (block, span), (1.5, 4.0), paint, 4)
                else:
                    pitched_building(world, spot, (block, span), (3.5, 5.0), paint, wall=paint)


def _solar_park(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add rows of solar panels."""
    world, (width, depth) = parcel.world, (0.95 * size[0], 0.92 * size[1])
    parcel.pave(centred_box(size), np.array(world.palette.dry_grass), Tier.LAND, Material.GRASS)
    pitch, tone, gaps = rng.uniform(5.5, 9), np.array(_PANELS) * rng.uniform(0.8, 1.3), rng.uniform(30, 80)
    for y in np.arange(-depth / 2, depth / 2 - 3, pitch):
        starts = np.arange(-width / 2, width / 2 - gaps, gaps)
        rings = rectangles([(x, y, x + gaps - 3, y + 0.55 * pitch) for x in starts])
        inside = parcel.usable(rings.reshape(-1, 2), 90.0).reshape(-1, 4).all(axis=1)
        rings = rings[inside & (rng.random(len(rings)) < 0.97)]
        world.cast_shadow(parcel.frame, rings, 1.6)
        world.draw(parcel.frame, rings, tone * rng.uniform(0.95, 1.08, (len(rings), 1)), Level.VEHICLE, 1.6)


def _turbines(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add fields with a wind turbine, its access road and its hardstand."""
    _tilled(parcel, size, rng)
    world, foot = parcel.world, parcel.random_frame(size, 0.25, rng)
    if not parcel.fits(foot, (60, 60)):
        return
    gravel = np.array(world.palette.soil) * 1.12
    world.pave(foot, rectangle(-12, -10, 26, 12), gravel, Tier.TRACK, Material.SOIL)
    path = np.stack([np.linspace(20, 0.5 * size[0], 20), np.linspace(0, 0.1 * size[1], 20)], axis=1)
    for piece in Parcel(world, foot, parcel.land).usable_stretches(path):
        world.pave(foot, ribbon(piece, 4.5), gravel, Tier.TRACK, Material.SOIL)
    wind_turbine(world, foot, rng.uniform(60, 120), rng)


def _pond(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add a pond in a meadow, with trees on its bank and sometimes rowing boats."""
    _meadow(parcel, size, rng)
    middle, radius = parcel.random_frame(size, 0.25, rng), rng.uniform(12, 0.28 * min(size))
    if parcel.fits(middle, (2.8 * radius, 2.8 * radius)):
        bank = lay_pond(parcel.world, middle, radius, rng)
        spots = bank[rng.random(len(bank)) < rng.choice((0.2, 0.8))]
        trees(parcel.world, SCENE_FRAME, spots, rng.uniform(1.5, 4, len(spots)), rng)
        rowing = rng.normal(0, 0.3 * radius, (int(rng.integers(0, 3)), 2))
        boats(parcel.world, middle, rowing, rng.uniform(0, 6), rng)


def _pylons(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add fields under a power line."""
    _tilled(parcel, size, rng)
    x = np.arange(-size[0] / 2, size[0] / 2 + 1, size[0])
    path = np.stack([x, np.full(len(x), rng.uniform(-0.4, 0.4) * size[1])], axis=1)
    if parcel.usable(path, 200.0).all():
        power_line(parcel.world, parcel.frame, path, rng.uniform(28, 48))


def _gravel_pit(parcel: Parcel, size: Size, rng: np.random.Generator) -> None:
    """Add a gravel pit: heaps of earth and trucks."""
    world = parcel.world
    parcel.pave(centred_box(size), np.array(world.palette.soil) * 1.08, Tier.LAND, Material.SOIL)
    for _ in range(int(rng.integers(6, 18))):
        spot = rng.uniform(-0.42, 0.42, 2) * size
        for part, light in ((1.0, 0.88), (0.7, 1.04), (0.4, 1.14)):
            ring = discs(spot + np.array(world.light.sun[:2]) * 6 * (1 - part), rng.uniform(6, 20) * part, 11)[0]
            parcel.pave(ring, np.array(world.palette.soil) * light, Tier.TRACK, Material.SOIL)
    spots = rng.uniform(-0.4, 0.4, (8, 2)) * size
    spots = spots[parcel.usable(spots)]
    trucks(world, parcel.frame, spots, rng.uniform(0, 6, len(spots)), rng, 8.0)


_COUNTRYSIDE_FILLERS: tuple[tuple[ParcelFiller, float], ...] = (  # and their shares
    (_tilled, 0.28),
    (_strips, 0.08),
    (_meadow, 0.10),
    (_orchard, 0.08),
    (_farm, 0.11),
    (_greenhouses, 0.05),
    (_solar_park, 0.03),
    (_turbines, 0.10),
    (_pond, 0.06),
    (_pylons, 0.05),
    (_pivot, 0.04),
    (_gravel_pit, 0.02),
)
