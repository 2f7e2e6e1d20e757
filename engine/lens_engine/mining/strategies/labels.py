"""What a mining strategy teaches about one series, in one form for all strategies.

Labels stand on slices of the series. On a slice with a positive label everything outside the positive and the ignored
labels is background, as in every detector's training; on a slice without any label nothing is known, unless it is
listed as negative.
"""

from dataclasses import dataclass
from enum import StrEnum

from lens_engine.errors import BoxError
from lens_engine.findings import Box3D, SliceBox, box_from_slices


class Teaching(StrEnum):
    """What a place may teach."""

    POSITIVE = "positive"
    """A lesion, with its edges."""
    CLASSIFICATION = "classification only"
    """A lesion whose edges are not trusted: no loss on its box, and none in the proposal networks."""
    IGNORED = "ignored"
    """Perhaps a lesion: no loss there."""
    NEGATIVE = "negative"
    """Background."""


class LabelRule(StrEnum):
    """Where a label comes from."""

    ANNOTATION = "annotation"
    CROSS_SLICE = "cross-slice"
    INTRA_PATIENT = "intra-patient"
    CROSS_DATASET = "cross-dataset"
    UNLABELLED = "unlabelled"
    """A slice without annotations and missing annotations."""
    ANNOTATION_MATCHING = "annotation matching"
    """MELD's missing annotation matching."""
    NEGATIVE_REGION = "negative region"
    """MELD's negative region mining."""
    MISSING_ON_SLICE = "missing on slice"
    """What Wang et al. find beside the annotations of a slice."""
    PROPAGATION = "propagation"
    """What Wang et al. carry from a slice to the next."""
    DISTILLATION = "distillation"


@dataclass(frozen=True, slots=True)
class MinedLabel:
    """One place of a series, and what it may teach.

    Attributes
    ----------
    slices
        Its cross-sections, ascending; at least one.
    lesion
        Labels of one series with the same number are one 3D lesion.
    annotation_ids
        The annotations it is, continues or resembles.
    distance
        How far the embeddings lie apart, where a resemblance is the reason.
    """

    rule: LabelRule
    teaches: Teaching
    slices: tuple[SliceBox, ...]
    lesion: int
    annotation_ids: tuple[int, ...] = ()
    distance: float | None = None

    def __post_init__(self) -> None:
        if not self.slices:
            raise BoxError(
                f"A label of the rule {self.rule} has no cross-section", "One at least is needed", "Leave the label out"
            )

    @property
    def box(self) -> Box3D:
        """The hull of its cross-sections."""
        return box_from_slices(self.slices)


@dataclass(frozen=True, slots=True)
class NegativeSlice:
    """A slice without positive labels on which everything outside the ignored ones is background."""

    rule: LabelRule
    slice_index: int

    @property
    def teaches(self) -> Teaching:
        """What the slice may teach."""
        return Teaching.NEGATIVE


@dataclass(frozen=True, slots=True)
class MinedLabels:
    """All labels of one series.

    Attributes
    ----------
    positives
        Lesions, the annotated ones first.
    ignored
        Places that may be lesions.
    negatives
        Slices that may be shown as background, ascending.
    """

    series_id: int
    positives: tuple[MinedLabel, ...] = ()
    ignored: tuple[MinedLabel, ...] = ()
    negatives: tuple[NegativeSlice, ...] = ()

    def __post_init__(self) -> None:
        self._require(self.positives, {Teaching.POSITIVE, Teaching.CLASSIFICATION})
        self._require(self.ignored, {Teaching.IGNORED})
        both = self.positive_slices & {item.slice_index for item in self.negatives}
        if both:
            raise BoxError(
                f"The slices {sorted(both)} of series {self.series_id} are negative and have positive labels",
                "A slice is one or the other",
                "Report this as a defect",
            )

    @property
    def positive_slices(self) -> frozenset[int]:
        """The slices with a positive label."""
        return frozenset(section.slice_index for label in self.positives for section in label.slices)

    @property
    def lesions(self) -> int:
        """How many 3D lesions the positive labels are."""
        return len({label.lesion for label in self.positives})

    def _require(self, labels: tuple[MinedLabel, ...], allowed: set[Teaching]) -> None:
        for label in labels:
            if label.teaches not in allowed:
                raise BoxError(
                    f"A label of series {self.series_id} stands among those that teach {' or '.join(sorted(allowed))}",
                    f"It teaches {label.teaches}",
                    "Report this as a defect",
                )
