"""The rendered scans against Hounsfield ranges of patients, independent of the generator's table."""

import numpy as np
import pytest

from lens_engine.phantom.acquisition import Kernel, acquire
from lens_engine.phantom.anatomy import draw_anatomy
from lens_engine.phantom.rendering import paint_anatomy
from lens_engine.phantom.shapes import Canvas, Grown, Shape
from lens_engine.phantom.tissues import ATTENUATIONS, Phase, Tissue, hu_of

# tissue: (native low, native high, portal venous low, portal venous high)
REALITY = {
    "lung": (-930, -770, -930, -770),
    "fat": (-120, -80, -120, -80),
    "muscle": (35, 65, 45, 75),
    "liver": (45, 65, 95, 125),
    "spleen": (35, 60, 100, 140),
    "kidney": (20, 50, 140, 210),
    "aorta": (30, 60, 120, 190),
    "bile": (-10, 20, -10, 20),
    "spongy bone": (90, 300, 90, 300),
    "trachea": (-1024, -900, -1024, -900),
}


@pytest.fixture(scope="module", params=[Phase.NATIVE, Phase.PORTAL])
def scanned(request: pytest.FixtureRequest) -> dict[str, float]:
    """Median HU inside each organ of a whole body, away from borders."""
    anatomy = draw_anatomy(np.random.default_rng(5))
    axis = np.asarray((np.arange(192) - 95.5) * 1.8, dtype=np.float32)
    levels = np.arange(4, 476, 4, dtype=np.float32)
    canvas = Canvas(axis, axis, levels)
    paint_anatomy(canvas, anatomy, request.param)
    hu = acquire(canvas.hu, Kernel.SOFT, 4.0, np.random.default_rng(1))

    def median(shape: Shape, depth: float) -> float:
        window = canvas.window(shape.bounds)
        assert window is not None
        distance = np.broadcast_to(shape.distance(*canvas.axes(window)), hu[window].shape)
        return float(np.median(hu[window][distance < -depth]))

    def between(outer: Shape, inner: Shape) -> float:
        window = (slice(60, 100), slice(None), slice(None))
        axes = canvas.axes(window)
        return float(np.median(hu[window][(outer.distance(*axes) < -5) & (inner.distance(*axes) > 3)]))

    return {
        "phase": list(Phase).index(request.param),
        "lung": median(anatomy.lungs[0], 8),
        "fat": between(anatomy.body, anatomy.muscle_wall),
        "muscle": median(Grown(anatomy.muscles[1], 0), 6),
        "liver": median(anatomy.liver, 10),
        "spleen": median(anatomy.spleen, 8),
        "kidney": (median(anatomy.kidneys[0], 3.0)),
        "aorta": median(anatomy.arteries[0], 5),
        "bile": median(anatomy.gallbladder, 6),
        "spongy bone": median(anatomy.skeleton.spine, 8),
        "trachea": median(anatomy.airways[0], 5),
    }


@pytest.mark.parametrize("tissue", REALITY)
def test_rendered_tissue_has_the_hounsfield_units_of_patients(scanned: dict[str, float], tissue: str):
    native_low, native_high, portal_low, portal_high = REALITY[tissue]
    low, high = (native_low, native_high) if scanned["phase"] == 0 else (portal_low, portal_high)
    assert low <= scanned[tissue] <= high


@pytest.mark.parametrize("tissue", list(Tissue))
def test_every_tissue_has_a_value_and_a_tolerance(tissue: Tissue):
    assert ATTENUATIONS[tissue].tolerance_hu > 0
    assert -1024 <= hu_of(tissue, Phase.NATIVE) <= 3071


@pytest.mark.parametrize("phase", list(Phase))
def test_liver_tumours_are_darker_than_the_liver_in_every_phase(phase: Phase):
    assert hu_of(Tissue.LIVER_TUMOUR, phase) < hu_of(Tissue.LIVER, phase) - 15
