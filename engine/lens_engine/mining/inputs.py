"""What mining reads: the detector's boxes and the annotations of each series, with their embeddings.

Checked at birth, because a box on a slice that does not exist, or embeddings of two models, would give wrong labels and
no error later.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from numpy import float32, floating
from numpy.typing import NDArray

from lens_engine.errors import BoxError
from lens_engine.findings import Box3D, Finding, Scope, SliceBox
from lens_engine.proposals import Proposals


@dataclass(frozen=True, slots=True, eq=False)
class AnnotationOnSeries:
    """A known lesion: an original annotation, or one that a reader decided.

    Attributes
    ----------
    id
        The id that the annotation, or the decision, has in the store; kept in the reasons.
    box
        `(x1, y1, z1, x2, y2, z2)`, half-open voxel edges of the series.
    slices
        Annotated cross-sections; empty where only `box` is known.
    key_slice
        The only annotated slice of the lesion, None where its whole extent along z is annotated.
    embedding
        (d,) of unit length, of the annotated box on its key slice (or middle slice); None if it was not computed, then
        the annotation is no partner for matching.
    lesion
        Equal for annotations of the patient that are known to show one lesion, in any series; None where nobody said.
    """

    id: int
    box: Box3D
    slices: tuple[SliceBox, ...]
    key_slice: int | None = None
    embedding: NDArray[float32] | None = None
    lesion: str | None = None

    def cross_sections(self) -> tuple[SliceBox, ...]:
        """Return the annotated cross-sections, or that of `box` on every slice it covers."""
        if self.slices:
            return self.slices
        x1, y1, z1, x2, y2, z2 = self.box
        first, last = math.floor(z1 + 0.5), math.ceil(z2 - 0.5)
        return tuple(SliceBox(k, (x1, y1, x2, y2)) for k in range(first, max(last, first + 1)))

    @property
    def recognised_by(self) -> SliceBox:
        """The cross-section that is embedded: that of the key slice, or the middle one."""
        sections = self.cross_sections()
        on_key_slice = [section for section in sections if section.slice_index == self.key_slice]
        return on_key_slice[0] if on_key_slice else sections[len(sections) // 2]


@dataclass(frozen=True, slots=True, eq=False)
class SeriesMiningInput:
    """One series with what the detector and the annotators say about it.

    Attributes
    ----------
    series_id, patient_id, study_id
        The ids that they have in the catalog.
    slices
        Number of slices of the series.
    proposals
        2D boxes of every expert and their fusion, with the embeddings of the fused ones.
    findings
        The 3D boxes of every expert and their fusion.
    annotations
        Known lesions of this series; each has a cross-section on one of its slices at least. Along x and y they may
        lie anywhere.
    decided
        What readers accepted, adjusted or added in this series; the same is asked of them. They are partners, and what
        reaches beyond them continues them; their place is mined as if they were not there, for what is found there
        inherits their verdict.
    scope
        Of the series' data set. A single-type series is completely labelled: it lends its annotations as partners, and
        nothing is mined in it.
    dataset
        Name of that data set, which its expert has, too; empty where it does not matter.
    universal_experts
        Experts of universal data sets; all other experts of `proposals` are single-type.
    augmented
        What the detector says about changed copies of the scan (flipped, scaled, shifted), in the frame and on the grid
        of `proposals`; empty where it was not asked.

    Raises
    ------
    BoxError
        If an annotation lies on no slice of the series, embeddings have different lengths, or the copies another grid.
    """

    series_id: int
    patient_id: int
    study_id: int
    slices: int
    proposals: Proposals
    findings: tuple[Finding, ...] = ()
    annotations: tuple[AnnotationOnSeries, ...] = ()
    decided: tuple[AnnotationOnSeries, ...] = ()
    scope: Scope = Scope.UNIVERSAL
    dataset: str = ""
    universal_experts: tuple[str, ...] = ("universal",)
    augmented: tuple[Proposals, ...] = ()

    def __post_init__(self) -> None:
        known = [("Annotation", note) for note in self.annotations] + [("Decision", note) for note in self.decided]
        for word, note in known:
            covered = [section.slice_index for section in note.cross_sections()]
            if not any(0 <= index < self.slices for index in covered):
                raise BoxError(
                    f"{word} {note.id} lies on the slices {min(covered)} to {max(covered)} of series {self.series_id}",
                    f"That series has the slices 0 to {self.slices - 1}",
                    f"Correct or remove the {word.lower()}, then mine again",
                )
        looks = [note.embedding for note in (*self.annotations, *self.decided) if note.embedding is not None]
        require_one_length([*self.proposals.embeddings[:1], *looks])
        for copy in self.augmented:
            grids = {(boxes.grid_spacing_mm, boxes.slice_spacing_mm) for boxes in (copy, self.proposals)}
            if len(grids) > 1:
                raise BoxError(
                    f"The copies of series {self.series_id} have grid and slice spacings of {sorted(grids)} mm",
                    "All must be those of the scan itself",
                    "Detect in the copies and in the scan with the same settings",
                )


def require_one_length(embeddings: Sequence[NDArray[floating]]) -> None:
    """Check that vectors can be compared.

    Raises
    ------
    BoxError
        If they come from embeddings of different length.
    """
    lengths = dict.fromkeys(len(vector) for vector in embeddings)
    if len(lengths) > 1:
        raise BoxError(
            f"Embeddings of length {' and '.join(map(str, lengths))} are compared",
            "Both must come from the same model version",
            "Run detection again with the current model, then mine again",
        )
