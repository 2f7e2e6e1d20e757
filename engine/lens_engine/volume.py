"""A CT volume: Hounsfield units in the canonical frame, with the geometry they belong to."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import GeometryError
from lens_engine.geometry import VolumeGeometry


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Voxels of one series.

    Attributes
    ----------
    voxels
        int16 HU, `[z, y, x]` in the canonical frame of `geometry`; never re-spaced.
    geometry
        Size, spacing and position; the shape equals that of `voxels`.
    """

    voxels: NDArray[np.int16]
    geometry: VolumeGeometry

    def __post_init__(self) -> None:
        if self.voxels.shape != self.geometry.shape:
            raise GeometryError(
                f"The voxels have shape {self.voxels.shape} but the geometry says {self.geometry.shape}",
                "Both must agree",
                "Report this as a defect of the reader",
            )
        if self.voxels.dtype != np.int16:
            raise GeometryError(
                f"The voxels are {self.voxels.dtype}",
                "Hounsfield units as int16 are needed",
                "Convert the scan to int16 HU",
            )
