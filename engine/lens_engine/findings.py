"""What a detector finds, why a human is asked, and what the human says.

Finding -> Candidate -> Decision, all frozen. Boxes are those of `lens_engine.boxes`: half-open voxel edges of the
series in the canonical frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

FUSED = "fused"
"""Name under which the fusion of all experts is listed beside them."""

MAX_COMMENT = 2000
"""Characters of a reader's comment."""

Box2D = tuple[float, float, float, float]
Box3D = tuple[float, float, float, float, float, float]


class Scope(StrEnum):
    """What a data set labels, and with it what its expert may be taught."""

    UNIVERSAL = "universal"
    """Lesions of every type, only some of them labelled."""
    SINGLE_TYPE = "single-type"
    """One type of lesion, every one labelled."""


class Split(StrEnum):
    """What the series of a patient may be used for; a patient is never in two."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class Rule(StrEnum):
    """The mining rule that asks for a human (algorithms 5)."""

    CROSS_SLICE = "cross-slice"
    INTRA_PATIENT = "intra-patient"
    CROSS_DATASET = "cross-dataset"


class CandidateKind(StrEnum):
    """What a candidate counts as until a reader has decided (algorithms 5.4)."""

    MISSING_ANNOTATION = "missing annotation"
    UNCERTAIN = "uncertain"


class Verdict(StrEnum):
    """What a reader said about a place in a scan."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNSURE = "unsure"
    ADJUSTED = "adjusted"
    ADDED = "added"
    WITHDRAWN = "withdrawn"
    """An undo: the place is open again."""


POSITIVE_VERDICTS = frozenset({Verdict.ACCEPTED, Verdict.ADDED, Verdict.ADJUSTED})
"""Verdicts by which a place is a lesion."""


class ReasonCode(StrEnum):
    """Why a reader rejected a candidate; optional."""

    VESSEL = "vessel"
    NORMAL_NODE = "normal node"
    DUPLICATE = "duplicate"
    BENIGN = "benign"


@dataclass(frozen=True, slots=True)
class SliceBox:
    """The cross-section of a lesion on one slice of the series.

    Attributes
    ----------
    slice_index
        Canonical index, 0 at the head.
    box
        `(x1, y1, x2, y2)`.
    score
        In [0, 1]; 1 for annotations.
    """

    slice_index: int
    box: Box2D
    score: float = 1.0


def middle_section(slices: Sequence[SliceBox]) -> SliceBox:
    """Return the middle cross-section of a lesion, on which it is looked at first."""
    return slices[len(slices) // 2]


@dataclass(frozen=True, slots=True)
class Finding:
    """A 3D box that one expert, or the fusion of all, believes to be a lesion.

    Attributes
    ----------
    expert
        Name of the expert, or `FUSED`.
    box
        `(x1, y1, z1, x2, y2, z2)`.
    slices
        Cross-sections, ascending, one for each slice that `box` covers.
    score
        How likely the 3D box is a lesion, in [0, 1].
    expert_scores
        Best score of each expert that sees the same place; absent experts see nothing there.
    detector_score
        What the detector alone said, where false-positive reduction has judged the finding and changed `score`; None
        where `score` is the detector's.
    """

    expert: str
    box: Box3D
    slices: tuple[SliceBox, ...]
    score: float
    expert_scores: Mapping[str, float] = field(default_factory=dict)
    detector_score: float | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason why a human is asked about a finding.

    Attributes
    ----------
    annotation_id
        The annotation whose lesion this may be: its continuation (cross-slice) or its partner (intra-patient).
    decision_id
        The same of a lesion that a reader decided; of the two ids one is known.
    distance
        How far the two embeddings lie apart, in [0, 2] (intra-patient).
    distance_limit
        The threshold that `distance` stayed below.
    expert, score
        The single-type expert that sees the lesion (cross-dataset).
    """

    rule: Rule
    annotation_id: int | None = None
    distance: float | None = None
    distance_limit: float | None = None
    expert: str | None = None
    score: float | None = None
    decision_id: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A finding that waits for a reader, with every reason for it."""

    series_id: int
    finding: Finding
    kind: CandidateKind
    reasons: tuple[Reason, ...]


Segment2D = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class RecistAxes:
    """The diameters of a lesion as they were drawn on one slice (RECIST 1.1): the longest, and the one across it.

    Attributes
    ----------
    slice_index
        Canonical index, 0 at the head.
    long_axis, short_axis
        `(x1, y1, x2, y2)` of both ends as voxel edges; no short axis where only one was drawn.
    """

    slice_index: int
    long_axis: Segment2D
    short_axis: Segment2D | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What one reader said about one place; never changed, only followed by another.

    Attributes
    ----------
    candidate_id
        The candidate that was on screen; None for a lesion that the reader added.
    slices
        Cross-sections of `box` as decided.
    round
        From 1. In the review, how many readers have followed one another about the place: the first reader decides in
        round 1, whoever goes over it after him in round 2. In a reading of the test set, that of the reading.
    scores_hidden
        Whether the scores were hidden until the verdict.
    previous_id
        The decision that this one follows: the one that counted for the place until then.
    lesion_type
        What a lesion is of, as a single-type data set of the project names it; None where the reader did not say.
    comment
        The reader's own words, at most `MAX_COMMENT` characters.
    axes
        The lesion's diameters as the reader drew them.
    along_id
        The decision about the same lesion in a sibling series that this one goes along with; None where the reader saw
        this one.
    reading_id
        The reading of the test set that it is part of, and of nothing else; None for the review.
    """

    series_id: int
    candidate_id: int | None
    verdict: Verdict
    box: Box3D
    slices: tuple[SliceBox, ...]
    reader: str
    decided_at: datetime
    round: int = 1
    reason_code: ReasonCode | None = None
    scores_hidden: bool = False
    previous_id: int | None = None
    lesion_type: str | None = None
    comment: str = ""
    axes: RecistAxes | None = None
    along_id: int | None = None
    reading_id: int | None = None

    @property
    def is_copy(self) -> bool:
        """Whether it says only that another box shows the same lesion: nothing about the place, nor about that box."""
        return is_copy(self.verdict, self.reason_code)


def is_copy(verdict: Verdict, reason: ReasonCode | None) -> bool:
    """Return whether a verdict with its reason was said of the second box of a lesion, and not of the lesion."""
    return verdict is Verdict.REJECTED and reason is ReasonCode.DUPLICATE


def box_from_slices(slices: Sequence[SliceBox]) -> Box3D:
    """Return the hull of cross-sections, half-open in every axis."""
    return (
        min(item.box[0] for item in slices),
        min(item.box[1] for item in slices),
        float(min(item.slice_index for item in slices)),
        max(item.box[2] for item in slices),
        max(item.box[3] for item in slices),
        float(max(item.slice_index for item in slices) + 1),
    )


def slices_of_box(box: Box3D) -> tuple[SliceBox, ...]:
    """Return the same cross-section for every slice that a box of whole slices covers."""
    x1, y1, z1, x2, y2, z2 = box
    return tuple(SliceBox(index, (x1, y1, x2, y2)) for index in range(round(z1), round(z2)))
