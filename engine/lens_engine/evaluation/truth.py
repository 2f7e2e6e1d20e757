"""The complete truth about one case, and what is known of each lesion besides its place."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import BoxError
from lens_engine.evaluation.strata import SIZE_EDGES_MM, Dimension, size_class
from lens_engine.findings import SliceBox, slices_of_box


@dataclass(frozen=True, slots=True, eq=False)
class CaseTruth:
    """Every lesion of a case. Columns, one value for each lesion, or empty where nothing is known of any.

    Attributes
    ----------
    patient
        Intervals are over patients, because the volumes of one patient show the same lesions.
    boxes
        (g, 6), half-open voxel edges; g may be 0.
    sections
        The box of each lesion on every slice where it is known; without it, its 3D box on each.
    lesion_types, organs
        Names that the data set gives.
    diameters_mm
        Mean of the long and the short diameter.
    """

    patient: str
    boxes: NDArray[np.float64]
    sections: tuple[tuple[SliceBox, ...], ...] = ()
    lesion_types: tuple[str | None, ...] = ()
    organs: tuple[str | None, ...] = ()
    diameters_mm: tuple[float | None, ...] = ()

    def __post_init__(self) -> None:
        for what, column in (
            ("sections", self.sections),
            ("lesion_types", self.lesion_types),
            ("organs", self.organs),
            ("diameters_mm", self.diameters_mm),
        ):
            if len(column) not in {0, len(self.boxes)}:
                raise BoxError(
                    f"A case has {len(self.boxes)} lesions and {len(column)} {what}",
                    "One for each lesion, or none at all, is needed",
                    "Give None for the lesions of which nothing is known",
                )

    @property
    def known_sections(self) -> tuple[tuple[SliceBox, ...], ...]:
        """The cross-sections of each lesion."""
        if len(self.sections) == len(self.boxes):
            return self.sections
        return tuple(slices_of_box((x1, y1, z1, x2, y2, z2)) for x1, y1, z1, x2, y2, z2 in self.boxes.tolist())

    def strata(self, dimension: Dimension) -> tuple[str | None, ...]:
        """Return the stratum of each lesion along a dimension; None for unknown."""
        if dimension is Dimension.SIZE:
            known: tuple[str | None, ...] = tuple(size_class(value, SIZE_EDGES_MM) for value in self.diameters_mm)
        else:
            known = self.lesion_types if dimension is Dimension.TYPE else self.organs
        return known or (None,) * len(self.boxes)
