"""Lesion masks on the grid of a scan: each label is a lesion; with one label only, each connected part is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lens_engine.errors import AnnotationFileError
from lens_engine.findings import SliceBox
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.images.image_files import is_label_image, read_image

ALL_NEIGHBOURS = np.ones((3, 3, 3), dtype=bool)
"""Voxels that touch, be it at a corner, are of one part."""

LesionSlices = tuple[SliceBox, ...]


def read_instance_mask(path: Path) -> tuple[tuple[LesionSlices, ...], VolumeGeometry]:
    """Return the cross-sections of every lesion in a label image, and the grid they lie on.

    Raises
    ------
    AnnotationFileError
        If the file is a scan instead of a mask.
    SeriesError, GeometryError
        If it cannot be read as one 3D image.
    """
    values, geometry = read_image(path)
    if not is_label_image(values):
        raise AnnotationFileError(
            f"{path.name} has values from {values.min():g} to {values.max():g} like a scan",
            "A mask with 0 for background and one whole number for each lesion is needed",
            "Give the mask; a scan is added with lens add",
        )
    return lesions_of_labels(geometry.to_canonical(values)), geometry


def lesions_of_labels(labels: NDArray[Any]) -> tuple[LesionSlices, ...]:
    """Return the cross-sections of every lesion in a canonical label array `[z, y, x]`; 0 is background.

    Lesions come in the order of their labels. A mask with a single label is split into parts that do not touch, not
    even at a corner.
    """
    present = np.unique(labels)
    present = present[present != 0]
    if len(present) == 1:
        instances, count = ndimage.label(labels != 0, structure=ALL_NEIGHBOURS)
    else:
        instances, count = np.searchsorted(present, labels, side="right"), len(present)
    lesions = []
    for number, place in enumerate(ndimage.find_objects(instances.astype(np.int32)), start=1):
        if place is not None and number <= count:
            lesions.append(cross_sections(instances[place] == number, offset=[part.start for part in place]))
    return tuple(lesions)


def cross_sections(lesion: NDArray[np.bool_], offset: Sequence[int]) -> LesionSlices:
    """Return the extent on every slice `[z, y, x]` that has voxels of the lesion, moved by `offset` (z, y, x)."""
    slices = []
    for index in np.flatnonzero(lesion.any(axis=(1, 2))):
        rows, columns = np.flatnonzero(lesion[index].any(axis=1)), np.flatnonzero(lesion[index].any(axis=0))
        box = (
            float(columns[0] + offset[2]),
            float(rows[0] + offset[1]),
            float(columns[-1] + 1 + offset[2]),
            float(rows[-1] + 1 + offset[1]),
        )
        slices.append(SliceBox(int(index) + offset[0], box))
    return tuple(slices)
