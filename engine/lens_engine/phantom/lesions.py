"""Lesions and their look-alikes: where they sit, how they look and how they change from study to study."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from lens_engine.phantom.anatomy import Anatomy
from lens_engine.phantom.shapes import Canvas, Ellipsoid, Grown, Point, Ripple, Shape, depth_at
from lens_engine.phantom.tissues import Phase, Tissue, hu_of
from lens_engine.phantom.vessels import draw_points_inside

SMALLEST_MM, LARGEST_MM = 7.0, 40.0
"""Between these lies the longest diameter of every lesion."""
KEEP_APART_MM = 8.0
"""Least gap between the surfaces of two lesions."""
TRIES = 40
"""How many places are drawn for a lesion before it is given up."""


class LesionType(StrEnum):
    """Types that a data set may label."""

    LUNG = "lung"
    LIVER = "liver"
    LYMPH_NODE = "lymph node"
    BONE = "bone"
    KIDNEY = "kidney"
    SOFT_TISSUE = "soft tissue"


class Look(StrEnum):
    """How the inside of a lesion looks."""

    PLAIN = "plain"
    NECROTIC = "necrotic"
    GROUND_GLASS = "ground glass"


@dataclass(frozen=True, slots=True)
class LesionPlan:
    """One lesion of a patient in all studies; or a look-alike, where it is none.

    Attributes
    ----------
    key
        The same for this lesion in all studies of its patient.
    centre
        Its place in the body frame.
    diameters_mm
        Longest diameter in each study.
    proportions
        Radii relative to the longest; the largest is 1.
    ripple
        Surface irregularity of a lesion of 1 mm radius; scales with the lesion.
    """

    key: str
    lesion_type: LesionType
    centre: Point
    diameters_mm: tuple[float, ...]
    proportions: Point
    turn_degrees: float
    ripple: Ripple
    tissue: Tissue
    hu_offset: float
    look: Look = Look.PLAIN

    def shape(self, study: int, scale: float) -> Ellipsoid:
        """Return the body in study `study` (from 0) in the body frame of a patient of size `scale`."""
        radius = self.diameters_mm[study] / 2 / scale
        px, py, pz = self.proportions
        waves = tuple((fx / radius, fy / radius, fz / radius, a, b, c) for fx, fy, fz, a, b, c in self.ripple.waves)
        return Ellipsoid(
            self.centre,
            (px * radius, py * radius, pz * radius),
            self.turn_degrees,
            Ripple(waves, self.ripple.amplitude_mm * radius),
        )

    def paint(self, canvas: Canvas, study: int, scale: float, phase: Phase) -> None:
        """Paint the lesion with its partial volume in all directions."""
        shape = self.shape(study, scale)
        hu = hu_of(self.tissue, phase) + self.hu_offset
        if self.look is Look.GROUND_GLASS:
            canvas.paint(shape, -480 + 2 * self.hu_offset, SUBLEVELS)
            canvas.paint(Grown(shape, -0.55 * min(shape.radii)), hu - 60, SUBLEVELS)
        elif self.look is Look.NECROTIC:
            canvas.paint(shape, hu + 14, SUBLEVELS)
            canvas.paint(Grown(shape, -0.4 * min(shape.radii)), hu - 12, SUBLEVELS)
        else:
            canvas.paint(shape, hu, SUBLEVELS)


SUBLEVELS = 3
"""Heights inside a slice at which a lesion is evaluated."""

_NODE_STATIONS: tuple[tuple[Point, Point], ...] = (
    ((-26, 6, 66), (5, 6, 12)),  # right paratracheal
    ((-14, -34, 62), (8, 5, 10)),  # prevascular
    ((14, -26, 80), (6, 6, 8)),  # aortopulmonary
    ((2, 22, 116), (6, 4, 8)),  # subcarinal
    ((-37, 14, 124), (3, 6, 9)),  # right hilar
    ((38, 18, 126), (3, 6, 9)),  # left hilar
    ((-120, -14, 46), (5, 16, 20)),  # right axillary
    ((120, -14, 46), (5, 16, 20)),  # left axillary
    ((-6, 40, 270), (4, 5, 14)),  # retrocrural
    ((-10, -12, 312), (6, 6, 8)),  # coeliac
    ((26, 30, 372), (5, 6, 24)),  # left para-aortic
    ((-5, 32, 390), (3, 5, 26)),  # aortocaval
    ((28, 30, 420), (5, 5, 18)),  # left para-aortic, low
    ((10, -30, 396), (26, 12, 22)),  # mesenteric
    ((-30, -24, 420), (20, 14, 24)),  # mesenteric, right
)


def draw_lesion(
    rng: np.random.Generator,
    anatomy: Anatomy,
    lesion_type: LesionType,
    span: tuple[float, float],
    taken: list[LesionPlan],
    diameters_mm: tuple[float, ...],
) -> LesionPlan | None:
    """Draw one lesion of a type whose centre lies at a level in `span`, clear of all `taken`; None where none fits."""
    largest = max(diameters_mm) / anatomy.scale
    find = _SITES[lesion_type]
    for _ in range(TRIES):
        site = find(rng, anatomy, largest / 2, span)
        if site is not None and _is_free(site, largest / 2, taken):
            return _dress(rng, lesion_type, site, diameters_mm, key=f"{lesion_type.value}-{len(taken) + 1}")
    return None


def draw_diameters(rng: np.random.Generator, studies: int, lesion_type: LesionType) -> tuple[float, ...]:
    """Draw the longest diameter in every study: each patient's lesions grow or shrink by a constant share a study."""
    low, high = _SIZES_MM[lesion_type]
    first = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    change = float(np.exp(rng.normal(0.02, 0.22)))
    return tuple(float(np.clip(first * change**study, low, LARGEST_MM)) for study in range(studies))


def draw_look_alikes(
    rng: np.random.Generator, anatomy: Anatomy, span: tuple[float, float], taken: list[LesionPlan], studies: int
) -> tuple[LesionPlan, ...]:
    """Draw what looks like a lesion and is none: normal nodes, cysts, granulomas, bone islands."""
    found: list[LesionPlan] = []
    wanted = (
        [(_NORMAL_NODE, float(rng.uniform(5, 10))) for _ in range(int(rng.integers(4, 10)))]
        + [(_LIVER_CYST, float(rng.uniform(6, 22))) for _ in range(int(rng.integers(0, 4)))]
        + [(_KIDNEY_CYST, float(rng.uniform(8, 26))) for _ in range(int(rng.integers(0, 3)))]
        + [(_GRANULOMA, float(rng.uniform(3, 5))) for _ in range(int(rng.integers(0, 3)))]
        + [(_BONE_ISLAND, float(rng.uniform(4, 8))) for _ in range(int(rng.integers(0, 3)))]
    )
    for kind, diameter in wanted:
        radius = diameter / 2 / anatomy.scale
        for _ in range(TRIES):
            site = _SITES[kind.lesion_type](rng, anatomy, radius, span)
            if site is not None and _is_free(site, radius, taken + found):
                found.append(
                    LesionPlan(
                        key=f"{kind.name}-{len(found) + 1}",
                        lesion_type=kind.lesion_type,
                        centre=site,
                        diameters_mm=(diameter,) * studies,
                        proportions=kind.proportions,
                        turn_degrees=float(rng.uniform(0, 180)),
                        ripple=Ripple.draw(rng, 0.02, 3.0, 2),
                        tissue=kind.tissue,
                        hu_offset=kind.hu_offset + float(rng.normal(0, 4)),
                    )
                )
                break
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _LookAlike:
    name: str
    lesion_type: LesionType
    tissue: Tissue
    proportions: Point
    hu_offset: float = 0.0


_NORMAL_NODE = _LookAlike("normal node", LesionType.LYMPH_NODE, Tissue.LYMPH_NODE, (1.0, 0.6, 0.8))
_LIVER_CYST = _LookAlike("liver cyst", LesionType.LIVER, Tissue.FLUID, (1.0, 0.92, 0.95))
_KIDNEY_CYST = _LookAlike("kidney cyst", LesionType.KIDNEY, Tissue.FLUID, (1.0, 0.95, 0.95))
_GRANULOMA = _LookAlike("calcified granuloma", LesionType.LUNG, Tissue.COMPACT_BONE, (1.0, 0.9, 0.9))
_BONE_ISLAND = _LookAlike("bone island", LesionType.BONE, Tissue.COMPACT_BONE, (1.0, 0.6, 0.8), 200)

_SIZES_MM: dict[LesionType, tuple[float, float]] = {
    LesionType.LUNG: (SMALLEST_MM, 32),
    LesionType.LIVER: (9, LARGEST_MM),
    LesionType.LYMPH_NODE: (13, 34),
    LesionType.BONE: (10, 28),
    LesionType.KIDNEY: (12, LARGEST_MM),
    LesionType.SOFT_TISSUE: (10, 34),
}
_TISSUES: dict[LesionType, Tissue] = {
    LesionType.LUNG: Tissue.TUMOUR,
    LesionType.LIVER: Tissue.LIVER_TUMOUR,
    LesionType.LYMPH_NODE: Tissue.LYMPH_NODE,
    LesionType.BONE: Tissue.TUMOUR,
    LesionType.KIDNEY: Tissue.TUMOUR,
    LesionType.SOFT_TISSUE: Tissue.TUMOUR,
}


def _dress(
    rng: np.random.Generator, lesion_type: LesionType, site: Point, diameters_mm: tuple[float, ...], key: str
) -> LesionPlan:
    """Give a lesion its form and inside."""
    short = rng.uniform(0.78, 1.0) if lesion_type is LesionType.LYMPH_NODE else rng.uniform(0.66, 1.0)
    tissue, look = _TISSUES[lesion_type], Look.PLAIN
    chance = float(rng.random())
    if lesion_type is LesionType.BONE and chance < 0.4:
        tissue = Tissue.SCLEROTIC_TUMOUR
    elif lesion_type is LesionType.LUNG and chance < 0.12:
        look = Look.GROUND_GLASS
    elif lesion_type in (LesionType.LIVER, LesionType.KIDNEY) and chance < 0.4 and min(diameters_mm) > 14:
        look = Look.NECROTIC
    roughness = {LesionType.LUNG: 0.10, LesionType.LYMPH_NODE: 0.03}.get(lesion_type, 0.06)
    return LesionPlan(
        key=key,
        lesion_type=lesion_type,
        centre=site,
        diameters_mm=diameters_mm,
        proportions=(1.0, float(short), float(rng.uniform(0.8, 1.0))),
        turn_degrees=float(rng.uniform(0, 180)),
        ripple=Ripple.draw(rng, roughness, 2.4, 4),
        tissue=tissue,
        hu_offset=float(rng.normal(0, 6)),
        look=look,
    )


def _is_free(site: Point, radius: float, taken: list[LesionPlan]) -> bool:
    return all(
        float(np.linalg.norm(np.subtract(site, other.centre))) > radius + max(other.diameters_mm) / 2 + KEEP_APART_MM
        for other in taken
    )


Site = Callable[[np.random.Generator, Anatomy, float, tuple[float, float]], Point | None]


def _lung_site(rng: np.random.Generator, anatomy: Anatomy, radius: float, span: tuple[float, float]) -> Point | None:
    lung = anatomy.lungs[int(rng.integers(2))]
    return _first(draw_points_inside(rng, lung, 1, 0.7 * radius + 1, span))


def _liver_site(rng: np.random.Generator, anatomy: Anatomy, radius: float, span: tuple[float, float]) -> Point | None:
    site = _first(draw_points_inside(rng, anatomy.liver, 1, 0.8 * radius, span))
    return None if site is None or depth_at(anatomy.gallbladder, site) > -radius - 3 else site


def _node_site(rng: np.random.Generator, anatomy: Anatomy, radius: float, span: tuple[float, float]) -> Point | None:
    stations = [station for station in _NODE_STATIONS if span[0] <= station[0][2] <= span[1]]
    if not stations:
        return None
    centre, spread = stations[int(rng.integers(len(stations)))]
    offset = np.clip(rng.normal(0, 1, 3), -1.5, 1.5) * spread
    site = (centre[0] + float(offset[0]), centre[1] + float(offset[1]), centre[2] + float(offset[2]))
    # A node displaces fat, not the lumen of a large vessel.
    crowded = any(depth_at(tube, site) > -0.6 * radius for tube in (*anatomy.arteries[:3], *anatomy.veins[:3]))
    return None if crowded else site


def _bone_site(rng: np.random.Generator, anatomy: Anatomy, radius: float, span: tuple[float, float]) -> Point | None:
    skeleton = anatomy.skeleton
    if rng.random() < 0.6:
        if radius > 13:
            return None
        x, y, z = skeleton.vertebra_centre(int(rng.integers(0, 17)))
        x, y, z = x + float(rng.uniform(-7, 7)), y + float(rng.uniform(-6, 6)), z + float(rng.uniform(-3, 3))
    else:
        rib = skeleton.ribs[int(rng.integers(len(skeleton.ribs)))]
        x, y, z = rib.points[int(rng.integers(3, len(rib.points) - 1))]
    return (x, y, z) if span[0] <= z <= span[1] else None


def _kidney_site(rng: np.random.Generator, anatomy: Anatomy, radius: float, span: tuple[float, float]) -> Point | None:
    kidney = anatomy.kidneys[int(rng.integers(2))]
    points = draw_points_inside(rng, kidney, 4, 1, span)
    return next((point for point in points if depth_at(kidney, point) < 7 + 0.2 * radius), None)


def _soft_tissue_site(
    rng: np.random.Generator, anatomy: Anatomy, radius: float, span: tuple[float, float]
) -> Point | None:
    """Choose a place under the skin."""
    angle, z = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(*span))
    width = float(anatomy.body.half_width(np.float32(z)))  # type: ignore[arg-type] # a scalar broadcasts
    depth = anatomy.fat_mm * 0.5 + float(rng.uniform(0, 3))
    n = 2 / anatomy.body.exponent
    across = (width - depth - 1) * np.sign(np.sin(angle)) * abs(np.sin(angle)) ** n
    deep = (width / anatomy.body.aspect - depth - 1) * np.sign(np.cos(angle)) * abs(np.cos(angle)) ** n
    site = (float(across), float(anatomy.body.centre_y + deep), z)
    return None if depth_at(anatomy.cavity, site) > -2 else site


_SITES: dict[LesionType, Site] = {
    LesionType.LUNG: _lung_site,
    LesionType.LIVER: _liver_site,
    LesionType.LYMPH_NODE: _node_site,
    LesionType.BONE: _bone_site,
    LesionType.KIDNEY: _kidney_site,
    LesionType.SOFT_TISSUE: _soft_tissue_site,
}


def _first(points: list[Point]) -> Point | None:
    return points[0] if points else None


def filled_voxels(canvas: Canvas, shape: Shape) -> tuple[tuple[slice, slice, slice], NDArray[np.bool_]] | None:
    """Return the window of a body and the voxels it fills by more than half, or None where it fills none."""
    filled = canvas.fill(shape, SUBLEVELS)
    if filled is None or not (filled[1] > 0.5).any():
        return None
    return filled[0], filled[1] > 0.5
