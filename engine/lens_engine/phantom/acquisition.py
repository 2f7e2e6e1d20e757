"""What the scanner does to the painted body: blur, edge enhancement, noise, rounding."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lens_engine.phantom.shapes import FloatArray

LOWEST_HU, HIGHEST_HU = -1024, 3071


class Kernel(StrEnum):
    """Reconstruction kernel."""

    SOFT = "soft"
    """Smooth, for organs of low contrast."""
    SHARP = "sharp"
    """Edge-enhancing and noisy, for lung and bone."""


NOISE_HU = {Kernel.SOFT: 11.0, Kernel.SHARP: 30.0}
"""Standard deviation in the centre of the body at 4 mm slices."""

_SLICE_PROFILE = np.array([0.15, 0.70, 0.15], dtype=np.float32)
_BLUR = {
    Kernel.SOFT: np.array([0.24, 0.52, 0.24], dtype=np.float32),
    Kernel.SHARP: np.array([-0.10, 1.20, -0.10], dtype=np.float32),
}
_NOISE_SHAPE = {
    Kernel.SOFT: np.array([0.12, 0.30, 0.16 + 0.25, 0.30, 0.12], dtype=np.float32),
    Kernel.SHARP: np.array([0.0, -0.22, 1.0, -0.22, 0.0], dtype=np.float32),
}


def acquire(hu: FloatArray, kernel: Kernel, slice_spacing_mm: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """Return the scan of a painted body.

    Parameters
    ----------
    hu
        float32 `[z, y, x]`; not changed.
    kernel
        Sets blur and noise in plane.
    slice_spacing_mm
        Thinner slices collect fewer photons: noise grows with the inverse square root.
    rng
        Source of the noise.
    """
    image = ndimage.correlate1d(hu, _SLICE_PROFILE, axis=0, mode="nearest")
    for axis in (1, 2):
        image = ndimage.correlate1d(image, _BLUR[kernel], axis=axis, mode="nearest")
    noise = rng.standard_normal(hu.shape, dtype=np.float32)
    weights = _NOISE_SHAPE[kernel]
    for axis in (1, 2):
        noise = ndimage.correlate1d(noise, weights, axis=axis, mode="wrap")
    level = NOISE_HU[kernel] * (4.0 / slice_spacing_mm) ** 0.5 / float(np.sum(weights**2))
    noise *= np.float32(level) * _noise_map(hu.shape[1:])
    image += noise
    return np.clip(np.rint(image), LOWEST_HU, HIGHEST_HU).astype(np.int16)


def _noise_map(shape: tuple[int, ...]) -> FloatArray:
    """Return the relative noise in plane: largest where rays cross most tissue."""
    y, x = (np.linspace(-1, 1, size, dtype=np.float32) for size in shape)
    return np.asarray(0.55 + 0.5 * np.exp(-1.5 * (y[:, None] ** 2 + x[None, :] ** 2)), dtype=np.float32)
