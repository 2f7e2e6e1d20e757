"""The annotations of a training case as mining reads them."""

import numpy as np

from lens_engine.boxes import pad_in_plane
from lens_engine.findings import SliceBox, box_from_slices
from lens_engine.mining.inputs import AnnotationOnSeries
from lens_engine.snapshot import Lesion, LesionRole
from lens_training.datasets.case import Case


def annotated_lesions(case: Case) -> tuple[Lesion, ...]:
    """Return the lesions of a case that are annotations."""
    return tuple(lesion for lesion in case.lesions if lesion.role is LesionRole.POSITIVE)


def annotations_of(case: Case, first_id: int = 0) -> tuple[AnnotationOnSeries, ...]:
    """Return the annotations of a case with the margin that a detector sees them with, in their order.

    Parameters
    ----------
    first_id
        Number of the first one; the others follow.
    """
    lesions = annotated_lesions(case)
    sections = [_sections(case, lesion) for lesion in lesions]
    return tuple(
        AnnotationOnSeries(first_id + number, box_from_slices(drawn), drawn, lesion.key_slice)
        for number, (lesion, drawn) in enumerate(zip(lesions, sections, strict=True))
    )


def _sections(case: Case, lesion: Lesion) -> tuple[SliceBox, ...]:
    boxes = np.asarray([box for _, *box in lesion.slices], dtype=np.float64)
    padded = pad_in_plane(boxes, case.tight_margin_voxels) if lesion.is_tight else boxes
    return tuple(
        SliceBox(index, (x1, y1, x2, y2))
        for (index, *_), (x1, y1, x2, y2) in zip(lesion.slices, padded.tolist(), strict=True)
    )
