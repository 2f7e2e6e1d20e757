"""The healthy body of one patient, from the shoulders to the iliac crest, as smooth analytic shapes.

Body frame in mm: x to the patient's left, y to the back, z to the feet with 0 at the top of the lungs. All sizes are
those of an average adult; `Anatomy.scale` makes the patient larger or smaller.
"""

from dataclasses import dataclass

import numpy as np

from lens_engine.phantom.shapes import (
    EVERYWHERE,
    Bounds,
    Capsule,
    Ellipsoid,
    FloatArray,
    Grown,
    Overlay,
    Point,
    Ripple,
    Shape,
    Shell,
    Tube,
    Union,
)
from lens_engine.phantom.skeleton import Skeleton, draw_skeleton
from lens_engine.phantom.vessels import draw_points_inside, grow_tree

LOWEST_LEVEL_MM, HIGHEST_LEVEL_MM = 4.0, 478.0
"""Levels between which the anatomy is complete."""


@dataclass(frozen=True, slots=True)
class Diaphragm:
    """All that lies below the two domes."""

    right_top: float
    left_top: float

    @property
    def bounds(self) -> Bounds:
        """A box that contains the body."""
        return EVERYWHERE

    def distance(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Return the height above the domes, shortened for their slope."""
        back, front = np.maximum(y + 15, 0), np.minimum(y + 15, 0)
        depth = 62 * (back / 80) ** 2 + 34 * (front / 70) ** 2
        right = self.right_top + 46 * ((x + 60) / 70) ** 2
        left = self.left_top + 46 * ((x - 62) / 70) ** 2
        return np.asarray((np.minimum(right, left) + depth - z) * np.float32(0.75), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Mediastinum:
    """The space between the lungs."""

    centre_x: float
    half_width: float

    @property
    def bounds(self) -> Bounds:
        """A box that contains the body."""
        return EVERYWHERE

    def distance(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Return the distance to its side walls; narrow in front, wide at the hila and the spine."""
        width = 7 + (self.half_width - 7) * np.exp(-(((y - 12) / 42) ** 2)) * (1 + 0.12 * np.sin(z / 26))
        return np.asarray(np.abs(x - np.float32(self.centre_x)) - width, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Bowel:
    """One loop: wall and what it contains."""

    tube: Tube
    wall_mm: float
    content_hu: float
    has_gas: bool


@dataclass(frozen=True, slots=True)
class Anatomy:
    """All organs of one patient; see the module for the frame.

    Attributes
    ----------
    scale
        Millimetres of this patient per millimetre of the average adult.
    fat_mm
        Thickness of the subcutaneous fat.
    """

    scale: float
    fat_mm: float
    body: Shell
    muscle_wall: Shell
    cavity: Shell
    diaphragm: Diaphragm
    lungs: tuple[Overlay, Overlay]
    heart: Ellipsoid
    heart_chambers: tuple[Ellipsoid, ...]
    muscles: tuple[Shape, ...]
    fat_pads: tuple[Shape, ...]
    arteries: tuple[Tube, ...]
    veins: tuple[Tube, ...]
    pulmonary_trunks: tuple[Tube, ...]
    lung_vessels: tuple[Capsule, ...]
    airways: tuple[Tube, ...]
    oesophagus: Tube
    liver: Overlay
    liver_vessels: tuple[Capsule, ...]
    gallbladder: Ellipsoid
    spleen: Overlay
    stomach: Overlay
    kidneys: tuple[Ellipsoid, Ellipsoid]
    pancreas: Tube
    bowel: tuple[Bowel, ...]
    mesenteric_vessels: tuple[Capsule, ...]
    skeleton: Skeleton


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw one patient.

    The order in which the organs are drawn is a part of `patient.GENERATOR_VERSION`: with another order a seed would
    give another patient.
    """
    fat = float(rng.uniform(9, 24))
    scale = float(rng.uniform(0.95, 1.06) - 0.0015 * (fat - 9))
    jitter = _Jitter(rng)
    cavity = _cavity(jitter)
    diaphragm = Diaphragm(right_top=206 + jitter(5), left_top=220 + jitter(5))
    skeleton = draw_skeleton(rng, cavity)
    heart = _heart(jitter)
    arteries, veins, pulmonary = _great_vessels(jitter)
    mediastinum = Mediastinum(2 + jitter(2), 33 + jitter(2))
    beside_lungs = (mediastinum, heart, Grown(diaphragm, -2.8), skeleton.spine_hull, pulmonary[1], arteries[0])
    lungs = _lungs(cavity, beside_lungs)
    liver = _liver(jitter, cavity, diaphragm)
    spleen = _spleen(jitter, cavity, diaphragm)
    return Anatomy(
        scale=scale,
        fat_mm=fat,
        body=_body(fat),
        muscle_wall=_MUSCLE_WALL,
        cavity=cavity,
        diaphragm=diaphragm,
        lungs=lungs,
        heart=heart,
        heart_chambers=_HEART_CHAMBERS,
        muscles=_muscles(),
        arteries=arteries,
        veins=veins,
        pulmonary_trunks=pulmonary,
        oesophagus=_OESOPHAGUS,
        liver=liver,
        spleen=spleen,
        stomach=_stomach(jitter, cavity, diaphragm, (liver, spleen)),
        kidneys=_kidneys(jitter),
        pancreas=_PANCREAS,
        bowel=(*_colon(rng, jitter), _DUODENUM, *_small_bowel(rng)),
        fat_pads=_fat_pads(jitter),
        lung_vessels=_lung_vessels(rng, lungs),
        airways=_airways(rng, lungs),
        liver_vessels=_liver_vessels(rng, liver),
        gallbladder=Ellipsoid((-48 + jitter(4), -46 + jitter(4), 350), (13, 19, 24), 25),
        mesenteric_vessels=_mesenteric_vessels(rng),
        skeleton=skeleton,
    )


_MUSCLE_WALL = Shell(
    ((0, 156), (40, 152), (90, 145), (150, 141), (230, 140), (330, 144), (480, 141)),
    aspect=1.40,
    exponent=2.4,
    centre_y=1,
)
_HEART_CHAMBERS = (
    Ellipsoid((46, -28, 188), (30, 21, 33), 28),
    Ellipsoid((4, -46, 184), (30, 17, 34), 20),
    Ellipsoid((18, -2, 158), (28, 14, 20), 0),
    Ellipsoid((-22, -24, 172), (20, 22, 30), 0),
)
"""Left and right ventricle, left and right atrium."""
_OESOPHAGUS = Tube(((2, 27, -10), (4, 29, 120), (10, 24, 200), (26, 14, 250)), (7, 7, 8, 8))
_PANCREAS = Tube(((-32, -6, 362), (-22, -14, 340), (8, -20, 328), (40, 2, 318), (70, 14, 306)), (14, 12, 9, 9, 8))
_DUODENUM = Bowel(
    Tube(((-26, -34, 322), (-42, -14, 336), (-44, 2, 366), (-30, 10, 396), (8, 4, 400), (34, -8, 370)), (12,) * 6),
    wall_mm=3,
    content_hu=15,
    has_gas=False,
)


class _Jitter:
    """Draws of how one patient differs from the average."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def __call__(self, spread_mm: float) -> float:
        return float(np.clip(self._rng.normal(0, spread_mm), -2 * spread_mm, 2 * spread_mm))

    def ripple(self, amplitude_mm: float, wavelength_mm: float) -> Ripple:
        return Ripple.draw(self._rng, amplitude_mm, wavelength_mm)


def _body(fat_mm: float) -> Shell:
    """Return the skin: the muscle wall under a layer of fat, no wider than the table."""
    knots = tuple((z, min(width + fat_mm, 171.0)) for z, width in _MUSCLE_WALL.knots)
    return Shell(knots, aspect=1.38, exponent=2.4, centre_y=1)


def _cavity(jitter: _Jitter) -> Shell:
    chest, belly = 128 + jitter(2), 134 + jitter(3)
    dome = ((-6, 20), (0, 52), (8, 76), (20, 97), (38, 113), (62, 124))
    knots = (*dome, (95, chest), (230, chest), (330, belly), (480, belly - 6))
    return Shell(knots, aspect=1.42, exponent=2.3, centre_y=-6)


def _heart(jitter: _Jitter) -> Ellipsoid:
    centre, radii = (22 + jitter(3), -28, 178), (62 + jitter(4), 47 + jitter(3), 52)
    return Ellipsoid(centre, radii, turn_degrees=28, ripple=jitter.ripple(2, 90))


def _lungs(cavity: Shell, holes: tuple[Shape, ...]) -> tuple[Overlay, Overlay]:
    """Return the right and the left lung: the cavity beside everything that lies between them and below."""
    right: Bounds = ((-140.0, -110.0, 0.0), (0.0, 95.0, 330.0))
    left: Bounds = ((0.0, -110.0, 0.0), (140.0, 95.0, 330.0))
    return Overlay((cavity,), holes, 3.5, right), Overlay((cavity,), holes, 3.5, left)


def _great_vessels(jitter: _Jitter) -> tuple[tuple[Tube, ...], tuple[Tube, ...], tuple[Tube, ...]]:
    x = jitter(2)
    aorta = Tube(
        (
            (2, -20, 150),
            (-10, -30, 118),
            (-12, -28, 92),
            (-4, -14, 74),
            (12 + x, 10, 68),
            (22 + x, 34, 82),
            (24 + x, 40, 110),
            (22 + x, 40, 180),
            (16 + x, 38, 250),
            (10, 30, 300),
            (9, 28, 380),
            (8, 26, 440),
        ),
        (15, 15.5, 15, 14, 13.5, 13, 12.5, 12, 11.5, 11, 9.5, 9),
    )
    iliacs = tuple(Tube(((8, 26, 436), (side * 32, 30, 490)), (8, 6)) for side in (-1, 1))
    arch_branches = tuple(
        Tube(((ax, ay, 70), (bx, by, -10)), (r, r))
        for ax, ay, bx, by, r in ((-6, -14, -20, -12, 6), (4, -4, 14, 0, 4), (12, 8, 24, 10, 5))
    )
    abdominal = (
        Tube(((10, 22, 316), (10, 6, 322), (-10, 2, 318)), (4, 4, 3)),
        Tube(((9, 20, 332), (8, 4, 348), (6, -4, 400), (-4, -8, 440)), (4, 4, 3.5, 2.5)),
        Tube(((-4, 30, 350), (-42, 40, 362)), (3, 3)),
        Tube(((16, 30, 348), (42, 40, 352)), (3, 3)),
    )
    veins = (
        Tube(((-24, -18, -10), (-22, -18, 60), (-20, -16, 120)), (9, 10, 10)),
        Tube(((20, -24, -4), (2, -26, 40), (-20, -20, 58)), (7, 7, 7)),
        Tube(((-20, -8, 200), (-22, 12, 240), (-24, 22, 300), (-20, 26, 380), (-18, 28, 446)), (13, 14, 13, 11.5, 11)),
        Tube(((-14, 27, 352), (-44, 38, 364)), (5, 4.5)),
        Tube(((-14, 18, 346), (10, 14, 346), (44, 36, 350)), (5, 4.5, 4.5)),
        Tube(((2, -10, 342), (-14, -2, 322), (-32, 0, 300)), (7, 7, 7)),
        Tube(((2, -10, 342), (30, 4, 322), (72, 22, 304)), (5, 4.5, 4)),
        Tube(((2, -10, 342), (-4, -12, 380), (-12, -14, 440)), (5, 5, 4)),
        Tube(((-8, 38, 70), (-9, 42, 200), (-8, 38, 300)), (3, 3.5, 3)),
    )
    pulmonary = (
        Tube(((14, -36, 140), (14, -20, 112), (10, 0, 108)), (14, 13, 12)),
        Tube(((10, -2, 108), (-22, 6, 112), (-44, 12, 118)), (11, 10, 8)),
        Tube(((14, -8, 106), (34, 14, 104), (46, 20, 114)), (10, 9, 8)),
    )
    return (aorta, *iliacs, *arch_branches, *abdominal), veins, pulmonary


def _muscles() -> tuple[Shape, ...]:
    result: list[Shape] = []
    for side in (-1, 1):
        result += [
            Ellipsoid((side * 31, 82, 250), (25, 20, 330), -side * 8),
            Tube(((side * 24, 44, 330), (side * 38, 40, 420), (side * 50, 34, 500)), (8, 18, 22)),
            Tube(((side * 62, 70, 330), (side * 70, 66, 440)), (11, 12)),
        ]
    return tuple(result)


def _liver(jitter: _Jitter, cavity: Shell, diaphragm: Diaphragm) -> Overlay:
    return Overlay(
        (
            Union(
                (
                    Ellipsoid(
                        (-66 + jitter(3), 4, 276), (72 + jitter(3), 88, 92 + jitter(6)), 0, jitter.ripple(3, 120)
                    ),
                    Ellipsoid((8 + jitter(6), -46, 258), (72, 32, 46), 4, jitter.ripple(2, 90)),
                ),
                24,
            ),
            cavity,
            diaphragm,
        ),
        holes=(
            Tube(((-14, -30, 330), (-20, 20, 316), (-10, 40, 300)), (16, 12, 14)),
            Ellipsoid((-62, 50, 372), (42, 40, 66)),
            Ellipsoid((-4, 52, 280), (30, 34, 160)),
        ),
        gap_mm=3,
    )


def _spleen(jitter: _Jitter, cavity: Shell, diaphragm: Diaphragm) -> Overlay:
    spleen = Ellipsoid((92 + jitter(3), 36, 290 + jitter(6)), (27, 44, 50), 20, jitter.ripple(2, 60))
    return Overlay((spleen, cavity, diaphragm), gap_mm=4)


def _stomach(jitter: _Jitter, cavity: Shell, diaphragm: Diaphragm, neighbours: tuple[Shape, ...]) -> Overlay:
    fundus = Ellipsoid((58 + jitter(4), -12, 272), (36, 42, 42), 10, jitter.ripple(2, 60))
    antrum = Ellipsoid((30, -48, 318 + jitter(5)), (46, 26, 30), -10, jitter.ripple(2, 60))
    return Overlay((Union((fundus, antrum), 20), cavity, diaphragm), neighbours, gap_mm=3)


def _kidneys(jitter: _Jitter) -> tuple[Ellipsoid, Ellipsoid]:
    return (
        Ellipsoid((-62 + jitter(3), 44, 366 + jitter(6)), (28, 25, 54), 35, jitter.ripple(1.2, 40)),
        Ellipsoid((64 + jitter(3), 42, 354 + jitter(6)), (28, 25, 55), -35, jitter.ripple(1.2, 40)),
    )


def _fat_pads(jitter: _Jitter) -> tuple[Shape, ...]:
    """Return the fat of both armpits."""
    return (
        Ellipsoid((-122, -12, 44), (17, 36, 44), 0, jitter.ripple(3, 40)),
        Ellipsoid((122, -12, 44), (17, 36, 44), 0, jitter.ripple(3, 40)),
    )


def _lung_vessels(rng: np.random.Generator, lungs: tuple[Overlay, ...]) -> tuple[Capsule, ...]:
    trees: list[Capsule] = []
    for side, lung in zip((-1, 1), lungs, strict=True):
        for hilum, count in (((side * 40.0, 14.0, 116.0), 170), ((side * 36.0, 0.0, 140.0), 90)):
            trees += grow_tree(rng, hilum, draw_points_inside(rng, lung, count, 4), 0.95, 7)
    return tuple(trees)


def _airways(rng: np.random.Generator, lungs: tuple[Overlay, ...]) -> tuple[Tube, ...]:
    carina: Point = (2.0, 8.0, 96.0)
    tubes = [Tube(((0.0, 0.0, -20.0), carina), (9.0, 9.0))]
    for side, lung in zip((-1, 1), lungs, strict=True):
        hilum = (side * 38.0, 16.0, 116.0 if side < 0 else 122.0)
        tubes.append(Tube((carina, hilum), (7.5, 6.0)))
        targets = sorted(draw_points_inside(rng, lung, 7, 18), key=lambda point: point[2])
        for target in targets[::2]:
            middle = tuple((a + b) / 2 + float(rng.normal(0, 4)) for a, b in zip(hilum, target, strict=True))
            tubes.append(Tube((hilum, (middle[0], middle[1], middle[2]), target), (4.5, 2.8, 1.4)))
    return tuple(tubes)


def _liver_vessels(rng: np.random.Generator, liver: Overlay) -> tuple[Capsule, ...]:
    portal = grow_tree(rng, (-34.0, 0.0, 302.0), draw_points_inside(rng, liver, 30, 8), 1.5, 6)
    hepatic = grow_tree(rng, (-24.0, 16.0, 250.0), draw_points_inside(rng, liver, 26, 8), 1.5, 5)
    return (*portal, *hepatic)


def _mesenteric_vessels(rng: np.random.Generator) -> tuple[Capsule, ...]:
    space = Ellipsoid((0, -28, 410), (80, 40, 70))
    return grow_tree(rng, (2.0, -6.0, 380.0), draw_points_inside(rng, space, 44, 4), 1.0, 3.5)


def _colon(rng: np.random.Generator, jitter: _Jitter) -> tuple[Bowel, ...]:
    """Draw the ascending, the descending and the transverse colon."""

    def part(points: tuple[Point, ...], radius: float) -> Bowel:
        moved = tuple((x + jitter(3), y + jitter(3), z) for x, y, z in points)
        radii = tuple(float(radius * rng.uniform(0.8, 1.2)) for _ in moved)
        return Bowel(Tube(moved, radii), 2.5, float(rng.uniform(0, 60)), has_gas=True)

    return (
        part(((-98, 6, 372), (-102, 4, 400), (-100, 0, 430), (-98, -2, 460), (-96, -4, 500)), 21),
        part(((104, 26, 318), (108, 28, 360), (106, 26, 400), (106, 22, 440), (104, 14, 500)), 15),
        part(((-92, -30, 372), (-52, -62, 388), (0, -70, 398), (52, -62, 376), (98, -2, 316)), 18),
    )


def _small_bowel(rng: np.random.Generator) -> tuple[Bowel, ...]:
    has_contrast = bool(rng.random() < 0.4)
    return tuple(_loop(rng, has_contrast) for _ in range(22))


def _loop(rng: np.random.Generator, has_contrast: bool) -> Bowel:
    """Draw a winding piece of the small bowel; contrast medium that was drunk has reached most pieces."""
    centre = np.array([rng.uniform(-78, 82), rng.uniform(-64, -2), rng.uniform(374, 486)])
    steps = rng.normal(0, 1, (4, 3)) * (20, 12, 12)
    steps[:, 0] += rng.choice([-1, 1]) * 12
    path = np.clip(centre + np.cumsum(steps, axis=0), (-88, -74, 362), (90, 6, 500))
    radius = float(rng.uniform(9, 13))
    content = float(rng.uniform(140, 260)) if has_contrast and rng.random() < 0.7 else float(rng.uniform(5, 35))
    points = tuple((float(x), float(y), float(z)) for x, y, z in path)
    return Bowel(Tube(points, (radius,) * len(points)), 2.6, content, has_gas=bool(rng.random() < 0.15))
