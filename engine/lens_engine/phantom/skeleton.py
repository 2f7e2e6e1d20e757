"""Spine, ribs, breastbone, shoulder blades, collar bones and iliac wings."""

from dataclasses import dataclass

import numpy as np

from lens_engine.phantom.shapes import Capsule, Ellipsoid, FloatArray, Point, Shape, Shell, Tube

VERTEBRA_MM = 29.0
"""Height of one vertebra with its disc."""
SPINE_Y_MM = 54.0
CANAL_Y_MM = 79.0


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Bones of one patient.

    Attributes
    ----------
    spine
        Vertebral bodies and discs as one column.
    spine_hull
        A wider tube around vertebral bodies and arches; the lungs stay outside it.
    arches
        Pedicles, laminae, transverse and spinous processes.
    ribs, cartilages
        Bony and cartilaginous part of every rib.
    first_disc_mm
        Level z of the first disc; the others follow every `VERTEBRA_MM`.
    """

    spine: Tube
    spine_hull: Tube
    canal: Tube
    arches: tuple[Capsule, ...]
    ribs: tuple[Tube, ...]
    cartilages: tuple[Tube, ...]
    flat_bones: tuple[Shape, ...]
    first_disc_mm: float

    def disc_share(self, z: FloatArray) -> FloatArray:
        """Return 1 inside a disc, 0 inside a vertebra, with a soft step, for the levels `z`."""
        offset = np.abs((z - self.first_disc_mm + VERTEBRA_MM / 2) % VERTEBRA_MM - VERTEBRA_MM / 2)
        return np.asarray(np.clip((3.2 - offset) / 1.5 + 0.5, 0, 1), dtype=np.float32)

    def vertebra_centre(self, number: int) -> Point:
        """Return the centre of the body of the `number`-th vertebra below `first_disc_mm`."""
        z = self.first_disc_mm + VERTEBRA_MM * (number + 0.5)
        levels, depths = [point[2] for point in self.spine.points], [point[1] for point in self.spine.points]
        return 0.0, float(np.interp(z, levels, depths)), z


def draw_skeleton(rng: np.random.Generator, cavity: Shell) -> Skeleton:
    """Draw the bones around a chest cavity."""
    levels = np.arange(-60, 541, 20.0)
    bend = float(rng.uniform(3, 7))
    offsets = bend * np.sin((levels - 20) / 75) * 0.8
    first_disc = float(rng.uniform(-6, 6))
    spine_points = tuple((0.0, float(SPINE_Y_MM + dy), float(z)) for z, dy in zip(levels, offsets, strict=True))
    spine_radii = tuple(float(np.interp(z, (0, 200, 480), (15.5, 18, 22))) for z in levels)
    canal = Tube(tuple((0.0, y + CANAL_Y_MM - SPINE_Y_MM + 1.5, z) for _, y, z in spine_points), (8.0,) * len(levels))
    ribs, cartilages = [], []
    for number in range(12):
        for side in (-1, 1):
            rib, cartilage = _rib(number, side, first_disc, cavity)
            ribs.append(rib)
            cartilages += cartilage
    return Skeleton(
        spine=Tube(spine_points, spine_radii),
        spine_hull=Tube(tuple((x, y + 8, z) for x, y, z in spine_points), tuple(radius + 5 for radius in spine_radii)),
        canal=canal,
        arches=_arches(first_disc, spine_points),
        ribs=tuple(ribs),
        cartilages=tuple(cartilages),
        flat_bones=_flat_bones(),
        first_disc_mm=first_disc,
    )


def _rib(number: int, side: int, first_disc: float, cavity: Shell) -> tuple[Tube, list[Tube]]:
    """Return the bone of one rib, from the spine around the chest, and the cartilage that ends it."""
    start_z = first_disc + 3 + VERTEBRA_MM * number * 0.93
    reach = float(np.interp(number, (0, 1, 6, 9, 10, 11), (2.5, 2.55, 2.5, 2.15, 1.5, 1.0)))
    fall = float(np.interp(number, (0, 2, 6, 9, 11), (30, 45, 85, 95, 60)))
    points: list[Point] = [(side * 20.0, CANAL_Y_MM - 18, start_z - 3), (side * 36.0, CANAL_Y_MM + 4, start_z)]
    for angle in np.linspace(0.42, reach, 11):
        z = start_z + fall * (angle - 0.3) / 2.3
        width = float(cavity.half_width(np.float32(z)))  # type: ignore[arg-type] # a scalar broadcasts
        n = 2 / cavity.exponent
        across = (width + 5) * abs(np.sin(angle)) ** n
        deep = (width + 7) / cavity.aspect * np.sign(np.cos(angle)) * abs(np.cos(angle)) ** n
        points.append((float(side * across), float(cavity.centre_y + deep), float(z)))
    rib = Tube(tuple(points), (4.2,) * len(points))
    if number >= 10:
        return rib, []
    x, y, z = points[-1]
    sternum_z = float(min(z - 4, 186)) if number > 6 else z + 4
    end: Point = (side * 12.0, -103.0, sternum_z) if number <= 7 else (side * 45.0, -98.0, z - 16)
    middle: Point = ((x + end[0]) / 2, min((y + end[1]) / 2, y), (z + end[2]) / 2)
    return rib, [Tube((points[-1], middle, end), (4.5, 4.5, 4.0))]


def _arches(first_disc: float, spine_points: tuple[Point, ...]) -> tuple[Capsule, ...]:
    levels, depths = zip(*((z, y) for _, y, z in spine_points), strict=True)
    pieces: list[Capsule] = []
    for number in range(-1, 17):
        z = first_disc + VERTEBRA_MM * (number + 0.5) - 4
        y = float(np.interp(z, levels, depths)) - SPINE_Y_MM
        back = CANAL_Y_MM + y
        pieces.append(Capsule((0, back + 13, z + 4), (0, back + 34, z + 16), 3.6, 3.6))
        for side in (-1, 1):
            pieces += [
                Capsule((side * 12, back - 14, z), (side * 14, back + 3, z), 4.5, 4.0),
                Capsule((side * 14, back + 3, z + 2), (side * 2, back + 13, z + 8), 3.8, 3.8),
                Capsule((side * 14, back + 3, z), (side * 33, back + 8, z), 4.0, 3.4),
            ]
    return tuple(pieces)


def _flat_bones() -> tuple[Shape, ...]:
    bones: list[Shape] = [
        Ellipsoid((0, -104, 60), (24, 6, 26)),
        Ellipsoid((0, -105, 130), (17, 5.5, 62)),
    ]
    for side in (-1, 1):
        bones += [
            Ellipsoid((side * 92, 84, 72), (44, 4.0, 70), -side * 38),
            Tube(((side * 20, -92, 34), (side * 60, -86, 20), (side * 110, -50, 2)), (6.0, 5.0, 5.5)),
            Ellipsoid((side * 92, 34, 492), (40, 6.0, 56), -side * 58),
        ]
    return tuple(bones)
