"""A labelled scan, the one form in which every data set reaches training and measuring."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import pad_in_plane
from lens_engine.findings import Scope, Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.snapshot import Lesion, LesionRole
from lens_engine.volume import Volume
from lens_training.datasets.labels import TIGHT_BOX_MARGIN_VOXELS, LesionLabels

ORGANS = ("lung", "liver", "kidney", "bone", "lymph node")
"""Lesion types that name an organ; the others of DeepLesion are regions of the body."""


@dataclass(frozen=True, slots=True)
class LesionFacts:
    """What is known of a lesion besides its place; reports are stratified by it.

    Attributes
    ----------
    lesion_type
        Name that the data set gives to the type or organ; None where it says nothing.
    diameter_mm
        Mean of the long and the short diameter; None where it was not measured.
    """

    lesion_type: str | None = None
    diameter_mm: float | None = None

    @property
    def organ(self) -> str | None:
        """The organ, where the type names one."""
        return self.lesion_type if self.lesion_type in ORGANS else None


class ScanFiles(Protocol):
    """The files of a scan, from which single slices may be read."""

    @property
    def paths(self) -> Sequence[Path]:
        """Every file with voxels, always in the same order."""

    def read(self, slices: Sequence[int]) -> NDArray[np.int16] | None:
        """Return some slices, ascending, as the whole volume has them; None where only the whole of it can be read.

        Raises
        ------
        SeriesError, GeometryError
            If a file is gone, broken, or no longer one of this scan.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One scan (or sub-volume) with its labels and a way to its voxels.

    Attributes
    ----------
    name
        Distinct within a data set.
    patient
        Equal for the cases of one patient; a patient is never in two splits.
    lesions
        Labels in voxels of the case. What only a key slice shows has `Lesion.key_slice` set.
    load
        Reads or makes the volume; called again when a cache dropped it.
    facts
        One for each of `lesions`, or none at all.
    tight_margin_voxels
        In-plane margin that tight boxes get (algorithms 1.9).
    scan
        Equal for the sub-volumes of one scan; None where the case is the whole of it.
    unlabelled_slices
        Those without a lesion of trusted edges that may be shown, ascending; None where all of them may.
    files
        Where the voxels lie; None for a scan that was made in memory.
    """

    name: str
    patient: str
    dataset: str
    split: Split
    geometry: VolumeGeometry
    lesions: tuple[Lesion, ...]
    load: Callable[[], Volume]
    facts: tuple[LesionFacts, ...] = ()
    tight_margin_voxels: float = TIGHT_BOX_MARGIN_VOXELS
    scan: str | None = None
    unlabelled_slices: tuple[int, ...] | None = None
    files: ScanFiles | None = None

    @property
    def labels(self) -> LesionLabels:
        """The lesions, to be asked slice by slice."""
        z_mm, y_mm, x_mm = self.geometry.spacing_mm
        return LesionLabels(self.lesions, self.dataset, (y_mm + x_mm) / 2, z_mm, self.tight_margin_voxels)

    @property
    def key_slices(self) -> tuple[int, ...]:
        """The slices on which positive lesions were marked, ascending."""
        marked = {lesion.key_slice for lesion in self.lesions if lesion.role is LesionRole.POSITIVE}
        return tuple(sorted(index for index in marked if index is not None))

    @property
    def truth(self) -> NDArray[np.float64]:
        """The 3D boxes of all positive lesions, (n, 6), with the margin that labels have (algorithms 1.9)."""
        rows = [
            pad_in_plane(np.asarray([lesion.box]), self.tight_margin_voxels) if lesion.is_tight else [lesion.box]
            for lesion in self.lesions
            if lesion.role is LesionRole.POSITIVE
        ]
        return np.concatenate([np.zeros((0, 6)), *rows])


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """All cases to learn from.

    Attributes
    ----------
    scopes
        What each data set labels.
    uses_unlabelled
        Whether slices of a universal data set that hold no label serve as negatives; only sensible once uncertain
        places were mined there (algorithms 5.3).
    """

    cases: tuple[Case, ...]
    scopes: Mapping[str, Scope]
    uses_unlabelled: bool
