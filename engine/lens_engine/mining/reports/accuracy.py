"""How often each mining rule is right, and how much of what was missing it finds, where the whole truth is known.

A lesion is right when it lies at the place of a true one: 3D IoU of at least 0.3, or either centre inside the other. A
box is right when its IoU with a true cross-section on its slice is above 0.5. What is wanted of a rule is what nobody
marked: lesions without any mark, and cross-sections that no mark covers. A continuation is wanted for marked lesions
instead.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import Overlap, overlaps
from lens_engine.findings import Box2D, Box3D, Candidate, Finding, Rule, SliceBox, slices_of_box
from lens_engine.mining.places import holds_centre
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.strategies.labels import LabelRule, MinedLabel, MinedLabels

SAME_LESION_IOU = MiningSettings().same_lesion_iou
SAME_BOX_IOU = 0.5

CONTINUATIONS = frozenset({LabelRule.CROSS_SLICE.value, LabelRule.PROPAGATION.value})
"""Rules that carry marks to further slices: wanted of them are the marked lesions."""

SETTLED = "settled"
"""Name for what readers have accepted, adjusted or added."""


class Located(Protocol):
    """Whatever has a place: a finding, a label, a decision, a true lesion."""

    @property
    def box(self) -> Box3D:
        """`(x1, y1, z1, x2, y2, z2)`."""

    @property
    def slices(self) -> tuple[SliceBox, ...]:
        """Cross-sections; empty where only the box is known."""


@dataclass(frozen=True, slots=True)
class SeriesOutcome:
    """What was found in one series, and the truth about it.

    Attributes
    ----------
    found
        What each rule, or `SETTLED`, has found, by its name.
    truth
        All lesions of the series.
    annotations
        Those that were marked before.
    """

    found: Mapping[str, Sequence[Located]]
    truth: Sequence[Located]
    annotations: Sequence[Located] = ()


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How many are right of those found, and how many are found of those wanted."""

    found: int = 0
    right: int = 0
    wanted: int = 0
    reached: int = 0

    @property
    def precision(self) -> float | None:
        """Share of the found ones that are right; None where nothing is found."""
        return self.right / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        """Share of the wanted ones that are found; None where nothing is wanted."""
        return self.reached / self.wanted if self.wanted else None

    def __add__(self, other: "Accuracy") -> "Accuracy":
        return Accuracy(
            self.found + other.found,
            self.right + other.right,
            self.wanted + other.wanted,
            self.reached + other.reached,
        )


@dataclass(frozen=True, slots=True)
class RuleAccuracy:
    """What one rule, or the settled set, is worth in 3D and in 2D."""

    name: str
    lesions: Accuracy
    boxes: Accuracy


def found_by_reason(candidates: Iterable[Candidate]) -> dict[str, list[Finding]]:
    """Return the findings of candidates by rule; one with several reasons stands under each rule."""
    found: dict[str, list[Finding]] = {rule.value: [] for rule in Rule}
    for candidate in candidates:
        for rule in dict.fromkeys(reason.rule for reason in candidate.reasons):
            found[rule.value].append(candidate.finding)
    return found


def found_by_label_rule(labels: MinedLabels) -> dict[str, list[MinedLabel]]:
    """Return what a strategy mined by rule, ignored places included."""
    found: dict[str, list[MinedLabel]] = {}
    for label in (*labels.positives, *labels.ignored):
        if label.rule is not LabelRule.ANNOTATION:
            found.setdefault(label.rule.value, []).append(label)
    return found


def measure_rules(outcomes: Sequence[SeriesOutcome]) -> tuple[RuleAccuracy, ...]:
    """Return the accuracy of everything that is named, over all series, in the order of first mention."""
    names = dict.fromkeys(name for outcome in outcomes for name in outcome.found)
    return tuple(
        RuleAccuracy(
            name,
            sum((_lesions(outcome, name) for outcome in outcomes), Accuracy()),
            sum((_boxes(outcome, name) for outcome in outcomes), Accuracy()),
        )
        for name in names
    )


def lies_at_lesions(found: Sequence[Located], truth: Sequence[Located]) -> NDArray[np.bool_]:
    """Return which of the found places are right about which of the true lesions, (found, truth)."""
    is_same = np.zeros((len(found), len(truth)), dtype=np.bool_)
    true_boxes = np.asarray([lesion.box for lesion in truth], dtype=np.float64).reshape(-1, 6)
    for row, place in enumerate(found):
        box = np.asarray([place.box], dtype=np.float64)
        is_same[row] = (overlaps(box, true_boxes)[0] >= SAME_LESION_IOU) | holds_centre(box, true_boxes)
    return is_same


def is_marked(lesion: Located, annotations: Sequence[Located]) -> bool:
    """Tell whether an annotation lies on a lesion, on any slice."""
    marked = _on_slices(annotations)
    return any(
        (_overlap(boxes, marked.get(index, []), Overlap.IOBBGT) > SAME_BOX_IOU).any()
        for index, boxes in _on_slices([lesion]).items()
    )


def _lesions(outcome: SeriesOutcome, name: str) -> Accuracy:
    found, truth = outcome.found.get(name, ()), outcome.truth
    has_mark = np.asarray([is_marked(lesion, outcome.annotations) for lesion in truth], dtype=np.bool_)
    is_wanted = has_mark if name in CONTINUATIONS else ~has_mark
    is_same = lies_at_lesions(found, truth)
    return Accuracy(
        len(found), int(is_same.any(axis=1).sum()), int(is_wanted.sum()), int((is_same.any(axis=0) & is_wanted).sum())
    )


def _boxes(outcome: SeriesOutcome, name: str) -> Accuracy:
    found, truth, marked = (
        _on_slices(places) for places in (outcome.found.get(name, ()), outcome.truth, outcome.annotations)
    )
    total = Accuracy(found=sum(len(boxes) for boxes in found.values()))
    for index, true_boxes in truth.items():
        wanted = _overlap(true_boxes, marked.get(index, []), Overlap.IOBBGT).max(axis=1, initial=0.0) <= SAME_BOX_IOU
        is_same = _overlap(found.get(index, []), true_boxes, Overlap.IOU) > SAME_BOX_IOU
        is_reached = is_same.any(axis=0) & wanted
        total += Accuracy(0, int(is_same.any(axis=1).sum()), int(wanted.sum()), int(is_reached.sum()))
    return total


def _on_slices(places: Iterable[Located]) -> dict[int, list[Box2D]]:
    boxes: dict[int, list[Box2D]] = {}
    for place in places:
        for section in place.slices or slices_of_box(place.box):
            boxes.setdefault(section.slice_index, []).append(section.box)
    return boxes


def _overlap(boxes: Sequence[Box2D], others: Sequence[Box2D], measure: Overlap) -> np.ndarray:
    own, other = (np.asarray(values, dtype=np.float64).reshape(-1, 4) for values in (boxes, others))
    return overlaps(own, other, measure)
