"""What mining reads: the detector's boxes and the annotations of each series, with their embeddings."""

import math
from dataclasses import dataclass

from numpy import float32
from numpy.typing import NDArray

from lens_engine.findings import Box3D, Finding, Scope, SliceBox
from lens_engine.proposals import Proposals


@dataclass(frozen=True, slots=True, eq=False)
class AnnotationOnSeries:
    """A known lesion: an original annotation, or one that a reader accepted.

    Attributes
    ----------
    id
        Of the annotation in the store; kept in the reasons.
    box
        `(x1, y1, z1, x2, y2, z2)`, half-open voxel edges of the series.
    slices
        Annotated cross-sections; empty where only `box` is known.
    key_slice
        The only annotated slice of the lesion, None where its whole extent along z is annotated.
    embedding
        (d,) of unit length, of the annotated box on its key slice (or middle slice); None if it was not computed, then
        the annotation is no partner for matching.
    """

    id: int
    box: Box3D
    slices: tuple[SliceBox, ...]
    key_slice: int | None = None
    embedding: NDArray[float32] | None = None

    def cross_sections(self) -> tuple[SliceBox, ...]:
        """Return the annotated cross-sections, or that of `box` on every slice it covers."""
        if self.slices:
            return self.slices
        x1, y1, z1, x2, y2, z2 = self.box
        first, last = math.floor(z1 + 0.5), math.ceil(z2 - 0.5)
        return tuple(SliceBox(k, (x1, y1, x2, y2)) for k in range(first, max(last, first + 1)))


@dataclass(frozen=True, slots=True, eq=False)
class SeriesMiningInput:
    """One series with what the detector and the annotators say about it.

    Attributes
    ----------
    series_id, patient_id, study_id
        Of the catalog.
    slices
        Number of slices of the series.
    proposals
        2D boxes of every expert and their fusion, with the embeddings of the fused ones.
    findings
        The 3D boxes of every expert and their fusion.
    annotations
        Known lesions of this series.
    scope
        Of the series' data set. A single-type series is completely labelled: it lends its annotations as partners, and
        nothing is mined in it.
    universal_experts
        Experts of universal data sets; all other experts of `proposals` are single-type.
    """

    series_id: int
    patient_id: int
    study_id: int
    slices: int
    proposals: Proposals
    findings: tuple[Finding, ...] = ()
    annotations: tuple[AnnotationOnSeries, ...] = ()
    scope: Scope = Scope.UNIVERSAL
    universal_experts: tuple[str, ...] = ("universal",)
