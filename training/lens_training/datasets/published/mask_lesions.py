"""Lesions from label masks in the canonical frame `[z, y, x]`: one for each connected part or for each instance."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import ndimage

from lens_engine.errors import AnnotationFileError
from lens_engine.findings import Box2D, Box3D
from lens_engine.io.annotations.instance_mask import ALL_NEIGHBOURS, cross_sections
from lens_engine.snapshot import SnapshotSlice

ISLAND_GAP_VOXELS = 5.0
"""Parts of a lesion on one slice have one box unless they lie farther apart than this (algorithms 1.7)."""

_ALL_NEIGHBOURS_IN_PLANE = np.ones((3, 3), dtype=bool)


class MaskLesion(BaseModel):
    """The tight boxes of one lesion, half-open voxel edges.

    Attributes
    ----------
    slices
        Cross-sections, ascending; a slice may have several.
    voxels
        How many voxels it has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    box: Box3D
    slices: tuple[SnapshotSlice, ...]
    voxels: int


class MaskShapeError(AnnotationFileError):
    """A mask that has other voxels than its scan."""


def whole_labels(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Return the values of a mask file, which must be whole numbers from 0.

    Raises
    ------
    AnnotationFileError
        If they are something else.
    """
    lowest, highest = float(values.min()), float(values.max())
    is_whole = values.dtype.kind in "iub" or all(bool((plane == np.rint(plane)).all()) for plane in values)
    if lowest < 0 or not np.isfinite(highest) or not is_whole:
        raise AnnotationFileError(
            f"{name} has values from {lowest:g} to {highest:g} that are no labels",
            "A mask of whole numbers from 0 is needed",
            "Copy the mask again",
        )
    return values


def connected_lesions(mask: NDArray[np.bool_]) -> tuple[MaskLesion, ...]:
    """Return the parts of a mask that do not touch each other, not even at a corner (algorithms 1.7).

    Islands of one part on one slice have boxes of their own where they lie more than `ISLAND_GAP_VOXELS` apart.
    """
    whole = ndimage.find_objects(mask.astype(np.int8))
    if not whole:
        return ()
    instances, _ = ndimage.label(mask[whole[0]], structure=ALL_NEIGHBOURS)
    return tuple(
        _lesion(part, (offset[0] + whole[0][0].start, offset[1] + whole[0][1].start, offset[2] + whole[0][2].start))
        for part, offset in _parts(instances)
    )


def instance_lesions(labels: NDArray[Any]) -> tuple[MaskLesion, ...]:
    """Return one lesion for each label except 0, with one box on each of its slices (algorithms 1.8)."""
    lesions = []
    for part, offset in _parts(labels.astype(np.int32)):
        slices = tuple((found.slice_index, *found.box) for found in cross_sections(part, list(offset)))
        lesions.append(MaskLesion(box=_hull_3d(slices), slices=slices, voxels=int(np.count_nonzero(part))))
    return tuple(lesions)


def _parts(instances: NDArray[np.signedinteger]) -> Iterator[tuple[NDArray[np.bool_], tuple[int, int, int]]]:
    """Yield each label's voxels, cut out, and where that piece begins (z, y, x)."""
    for number, place in enumerate(ndimage.find_objects(instances), start=1):
        if place is not None:
            yield instances[place] == number, (place[0].start, place[1].start, place[2].start)


def _lesion(part: NDArray[np.bool_], offset: tuple[int, int, int]) -> MaskLesion:
    z, y, x = offset
    slices: list[SnapshotSlice] = []
    for index, plane in enumerate(part):
        for x1, y1, x2, y2 in _joined(_islands(plane)):
            slices.append((index + z, x1 + x, y1 + y, x2 + x, y2 + y))
    return MaskLesion(box=_hull_3d(slices), slices=tuple(slices), voxels=int(np.count_nonzero(part)))


def _islands(plane: NDArray[np.bool_]) -> list[Box2D]:
    islands, _ = ndimage.label(plane, structure=_ALL_NEIGHBOURS_IN_PLANE)
    return [
        (float(columns.start), float(rows.start), float(columns.stop), float(rows.stop))
        for rows, columns in ndimage.find_objects(islands)
    ]


def _joined(boxes: Sequence[Box2D]) -> list[Box2D]:
    """Return the boxes with those that lie near each other merged, until none do."""
    apart: list[Box2D] = []
    for box in boxes:
        near = [other for other in apart if _gap(box, other) <= ISLAND_GAP_VOXELS]
        while near:
            apart = [other for other in apart if other not in near]
            box = _hull_2d([box, *near])
            near = [other for other in apart if _gap(box, other) <= ISLAND_GAP_VOXELS]
        apart.append(box)
    return sorted(apart)


def _gap(first: Box2D, second: Box2D) -> float:
    """Return the empty voxels between two boxes along the axis on which they lie farther apart; 0 if they touch."""
    across = max(first[0] - second[2], second[0] - first[2])
    down = max(first[1] - second[3], second[1] - first[3])
    return max(across, down, 0.0)


def _hull_2d(boxes: Sequence[Box2D]) -> Box2D:
    array = np.asarray(boxes)
    x1, y1 = array[:, :2].min(axis=0).tolist()
    x2, y2 = array[:, 2:].max(axis=0).tolist()
    return x1, y1, x2, y2


def _hull_3d(slices: Sequence[SnapshotSlice]) -> Box3D:
    x1, y1, x2, y2 = _hull_2d([(item[1], item[2], item[3], item[4]) for item in slices])
    return x1, y1, float(slices[0][0]), x2, y2, float(slices[-1][0] + 1)
