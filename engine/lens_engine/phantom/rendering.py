"""Paints a healthy anatomy, tissue over tissue, onto a canvas."""

from dataclasses import dataclass

import numpy as np

from lens_engine.phantom.anatomy import Anatomy, Bowel
from lens_engine.phantom.shapes import Bounds, Canvas, Capsule, Ellipsoid, FloatArray, Grown, Shape, Tube
from lens_engine.phantom.tissues import Phase, Tissue, hu_of

SKIN_MM = 2.0
TABLE_HU = -250.0


@dataclass(frozen=True, slots=True)
class Table:
    """The thin curved shell of the scanner's table, `top_mm` behind the patient's middle."""

    top_mm: float

    @property
    def bounds(self) -> Bounds:
        """A box that contains the body."""
        return (-175.0, self.top_mm - 25, -1e6), (175.0, self.top_mm + 8, 1e6)

    def distance(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Return the distance to the shell."""
        curve = np.abs(y - np.float32(self.top_mm + 6) + x * x / 1300) - 1.2 + 0 * z
        return np.asarray(np.maximum(curve, np.abs(x) - 170), dtype=np.float32)


def paint_anatomy(canvas: Canvas, anatomy: Anatomy, phase: Phase) -> None:
    """Paint everything that is neither a lesion nor a look-alike."""
    hu = {tissue: hu_of(tissue, phase) for tissue in Tissue}
    _paint_wall(canvas, anatomy, hu)
    for lung in anatomy.lungs:
        canvas.paint(lung, _lung_hu(canvas, lung, hu[Tissue.LUNG]))
    canvas.paint_all(anatomy.lung_vessels, hu[Tissue.PULMONARY_VESSEL])
    _paint_heart(canvas, anatomy, hu)
    _paint_abdomen(canvas, anatomy, hu)
    for tube in anatomy.veins:
        canvas.paint_tube(tube, hu[Tissue.VEIN])
    for tube in anatomy.arteries:
        canvas.paint_tube(tube, hu[Tissue.ARTERY])
    for tube in anatomy.airways:
        canvas.paint_tube(tube, hu[Tissue.MUSCLE] - 30)
    for tube in anatomy.airways:
        canvas.paint_tube(tube.thinned(1.6), hu[Tissue.AIR])
    canvas.paint_tube(anatomy.oesophagus, hu[Tissue.MUSCLE])
    canvas.paint_tube(anatomy.oesophagus.thinned(4.5), -300)
    _paint_skeleton(canvas, anatomy, hu)


def _paint_wall(canvas: Canvas, anatomy: Anatomy, hu: dict[Tissue, float]) -> None:
    """Paint skin, fat, muscle and the fat that fills the cavities, slice by slice with one pass over the voxels."""
    canvas.paint(Table(anatomy.body.half_width(np.zeros(1, dtype=np.float32))[0] / anatomy.body.aspect), TABLE_HU)
    x, y, z = canvas.axes((slice(0, len(canvas.z_mm)), slice(0, len(canvas.y_mm)), slice(0, len(canvas.x_mm))))
    canvas.paint(anatomy.body, hu[Tissue.SKIN])
    canvas.paint(Grown(anatomy.body, -SKIN_MM), hu[Tissue.FAT])
    canvas.paint(anatomy.muscle_wall, hu[Tissue.MUSCLE])
    # Thin fat planes between the layers of muscle.
    middle = Grown(anatomy.cavity, 8.0)
    plane = np.clip(1.2 - np.abs(middle.distance(x, y, z)) / 1.5, 0, 0.7)
    canvas.hu += np.where(canvas.hu > 0, plane, np.float32(0)) * np.float32(hu[Tissue.FAT] - hu[Tissue.MUSCLE])
    canvas.paint_all(anatomy.fat_pads, hu[Tissue.FAT], 1)
    canvas.paint(anatomy.cavity, hu[Tissue.FAT])
    canvas.paint_all(anatomy.muscles, hu[Tissue.MUSCLE])


def _lung_hu(canvas: Canvas, lung: Shape, mean_hu: float) -> FloatArray:
    """Return parenchyma that is denser at the back, where blood pools in a lying patient."""
    window = canvas.window(lung.bounds)
    if window is None:
        return np.zeros(1, dtype=np.float32)
    _, y, _ = canvas.axes(window)
    return np.asarray(mean_hu + 0.35 * y, dtype=np.float32)


def _paint_heart(canvas: Canvas, anatomy: Anatomy, hu: dict[Tissue, float]) -> None:
    canvas.paint(anatomy.heart, hu[Tissue.MYOCARDIUM])
    left, right, atrium, right_atrium = anatomy.heart_chambers
    canvas.paint_all((left, atrium), hu[Tissue.ARTERY])
    canvas.paint_all((right, right_atrium), hu[Tissue.PULMONARY_VESSEL])
    for tube in anatomy.pulmonary_trunks:
        canvas.paint_tube(tube, hu[Tissue.PULMONARY_VESSEL])


def _paint_abdomen(canvas: Canvas, anatomy: Anatomy, hu: dict[Tissue, float]) -> None:
    canvas.paint_all(anatomy.mesenteric_vessels, hu[Tissue.VEIN])
    for loop in anatomy.bowel:
        _paint_bowel(canvas, loop, hu[Tissue.BOWEL_WALL])
    canvas.paint_tube(anatomy.pancreas, hu[Tissue.PANCREAS])
    canvas.paint(anatomy.stomach, hu[Tissue.BOWEL_WALL])
    _paint_stomach_content(canvas, anatomy, hu)
    canvas.paint(anatomy.liver, hu[Tissue.LIVER])
    blood = 0.8 * hu[Tissue.VEIN] + 0.2 * hu[Tissue.LIVER]
    canvas.paint_all(_inside(anatomy.liver_vessels, anatomy.liver), blood)
    canvas.paint(anatomy.gallbladder, hu[Tissue.BOWEL_WALL])
    canvas.paint(Grown(anatomy.gallbladder, -2), hu[Tissue.FLUID])
    canvas.paint(anatomy.spleen, hu[Tissue.SPLEEN])
    for kidney in anatomy.kidneys:
        canvas.paint(kidney, hu[Tissue.KIDNEY_CORTEX])
        canvas.paint(Grown(kidney, -7), hu[Tissue.KIDNEY_MEDULLA])
        x, y, z = kidney.centre
        inwards = 14.0 if x < 0 else -14.0
        canvas.paint(Ellipsoid((x + inwards * 0.5, y - 3, z), (9, 7, 26)), hu[Tissue.FAT] + 30)
        canvas.paint_tube(
            Tube(((x + inwards * 0.4, y - 3, z), (x + inwards * 1.9, y - 9, z)), (6.0, 5.0)), hu[Tissue.FAT] + 20
        )
        canvas.paint(Ellipsoid((x + inwards * 0.7, y - 4, z + 4), (4.5, 3.5, 13)), hu[Tissue.FLUID])


def _inside(vessels: tuple[Capsule, ...], organ: Shape) -> tuple[Capsule, ...]:
    """Return the pieces whose middle lies inside `organ`."""
    middles = np.asarray([np.add(piece.start, piece.end) / 2 for piece in vessels], dtype=np.float32)
    inside = organ.distance(middles[:, 0], middles[:, 1], middles[:, 2]) < -1
    return tuple(piece for piece, is_inside in zip(vessels, inside, strict=True) if is_inside)


def _paint_bowel(canvas: Canvas, loop: Bowel, wall_hu: float) -> None:
    canvas.paint_tube(loop.tube, wall_hu)
    inner = loop.tube.thinned(loop.wall_mm)
    canvas.paint_tube(inner, loop.content_hu)
    if loop.has_gas:
        raised = tuple((x, y - 0.35 * radius, z) for (x, y, z), radius in zip(inner.points, inner.radii, strict=True))
        canvas.paint_tube(Tube(raised, tuple(radius * 0.62 for radius in inner.radii)), -950)


def _paint_stomach_content(canvas: Canvas, anatomy: Anatomy, hu: dict[Tissue, float]) -> None:
    """Paint fluid with a gas bubble that floats in front, level in the lying patient."""
    inner = Grown(anatomy.stomach, -4.0)
    window = canvas.window(inner.bounds)
    if window is not None:
        _, y, _ = canvas.axes(window)
        gas = np.clip(0.5 - (y + 42) / np.float32(canvas.edge_mm), 0, 1)
        canvas.paint(inner, np.asarray(hu[Tissue.BOWEL_CONTENT] * (1 - gas) - 970 * gas, dtype=np.float32))


def _paint_skeleton(canvas: Canvas, anatomy: Anatomy, hu: dict[Tissue, float]) -> None:
    skeleton = anatomy.skeleton
    compact, spongy = hu[Tissue.COMPACT_BONE], hu[Tissue.SPONGY_BONE]
    disc = skeleton.disc_share(canvas.z_mm)
    for piece in skeleton.spine.capsules:
        window = canvas.window(piece.bounds)
        if window is not None:
            share = disc[window[0]][:, None, None]
            canvas.paint(piece, share * hu[Tissue.DISC] + (1 - share) * np.float32(compact * 0.75))
    for piece in skeleton.spine.thinned(1.8).capsules:
        window = canvas.window(piece.bounds)
        if window is not None:
            share = disc[window[0]][:, None, None]
            canvas.paint(piece, share * hu[Tissue.DISC] + (1 - share) * np.float32(spongy))
    canvas.paint_all(skeleton.arches, compact * 0.75)
    canvas.paint_tube(skeleton.canal, hu[Tissue.SPINAL_CANAL])
    for tube in skeleton.cartilages:
        canvas.paint_tube(tube, hu[Tissue.CARTILAGE])
    for tube in skeleton.ribs:
        canvas.paint_tube(tube, compact)
    for tube in skeleton.ribs:
        canvas.paint_tube(tube.thinned(1.5), spongy + 60)
    for bone in skeleton.flat_bones:
        canvas.paint(bone, compact)
        canvas.paint(Grown(bone, -2), spongy)
