"""Writes a phantom scan, or the instances of its lesions, as NIfTI.

NIfTI slices run from feet to head, against the canonical frame, as most converters leave them.
"""

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # the name under which everybody knows it
from numpy.typing import NDArray

from lens_engine.geometry import VolumeGeometry
from lens_engine.phantom.patient import PhantomSeries


def write_nifti_series(path: Path, series: PhantomSeries) -> None:
    """Write the Hounsfield units as int16."""
    _write(path, series.volume.voxels, series.volume.geometry)


def write_instance_mask(path: Path, series: PhantomSeries) -> None:
    """Write the labelled lesions as instances: 1, 2, … in the order of `series.lesions`; the rest is 0."""
    numbers = np.zeros(len(series.lesions) + 1, dtype=np.uint8)
    labelled = [index + 1 for index, lesion in enumerate(series.lesions) if lesion.is_labelled]
    numbers[labelled] = np.arange(1, len(labelled) + 1)
    _write(path, numbers[series.instances], series.volume.geometry)


def _write(path: Path, voxels: NDArray[np.int16] | NDArray[np.uint8], geometry: VolumeGeometry) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels[::-1]))
    dz, dy, dx = geometry.spacing_mm
    image.SetSpacing((dx, dy, dz))
    lowest = geometry.index_to_mm(np.array([geometry.shape[0] - 1, 0, 0], dtype=np.float64))
    image.SetOrigin(tuple(float(value) for value in lowest))
    sitk.WriteImage(image, str(path), useCompression=True)
