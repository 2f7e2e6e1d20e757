"""What each finding of the detector teaches: a lesion, a false positive, or nothing because nobody knows.

See algorithms 4.6.

A finding is compared slice by slice with the labels of its scan. Precedence is that of all training (architecture 4.6):
lesion over unsure over rejected over uncertain over background. Where a lesion was drawn on its key slice only, its
neighbourhood counts as unsure, as far as the lesion may reach.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np

from lens_engine.boxes import centres, overlaps
from lens_engine.detector.false_positive_reduction.patches import by_depth
from lens_engine.findings import Box3D, Finding, SliceBox
from lens_training.datasets.labels import BoxArray, LesionLabels, SliceLabels

LESION_IOU = 0.5
"""A cross-section that overlaps a lesion by more is that lesion (algorithms 11, item 28); or that rejected place."""
BACKGROUND_IOU = 0.3
"""A false positive overlaps everything that is or may be a lesion by less."""


class Meaning(StrEnum):
    """What a finding is, as far as the labels say."""

    LESION = "lesion"
    FALSE_POSITIVE = "false positive"
    REJECTED = "rejected"
    """A reader said that it is no lesion: a hard negative, seen in every epoch."""
    NEAR_LESION = "near a lesion"
    """Too far off for a lesion, too close for a false positive; teaches nothing."""
    UNCERTAIN = "uncertain"
    """May be a lesion that nobody has confirmed; teaches nothing."""

    @property
    def teaches(self) -> bool:
        """Whether the network learns from it."""
        return self in {Meaning.LESION, Meaning.FALSE_POSITIVE, Meaning.REJECTED}


@dataclass(frozen=True, slots=True)
class Sample:
    """One place to learn from; `case` is a number within the training set, `box` in voxels of the case."""

    case: int
    box: Box3D
    meaning: Meaning


def samples_of(
    case: int, findings: Sequence[Finding], labels: LesionLabels
) -> tuple[tuple[Sample, ...], Counter[Meaning]]:
    """Return what the findings of a case teach, from head to feet, and how many findings have each meaning.

    A rejected place that no finding covers is a sample of its own: the detector may find it again.
    """
    on_slice = lru_cache(maxsize=None)(labels.on_slice)
    meanings = [meaning_of([(part, on_slice(part.slice_index)) for part in finding.slices]) for finding in findings]
    samples = [
        Sample(case, finding.box, meaning)
        for finding, meaning in zip(findings, meanings, strict=True)
        if meaning.teaches
    ]
    hard = [finding for finding, meaning in zip(findings, meanings, strict=True) if meaning is Meaning.REJECTED]
    for lesion in labels.certain_negatives():
        parts = [SliceBox(index, (x1, y1, x2, y2)) for index, x1, y1, x2, y2 in lesion.slices]
        is_rejected = meaning_of([(part, on_slice(part.slice_index)) for part in parts]) is Meaning.REJECTED
        if is_rejected and not any(_share_a_place(finding.slices, parts) for finding in hard):
            samples.append(Sample(case, lesion.box, Meaning.REJECTED))
    order = by_depth([sample.box for sample in samples])
    return tuple(samples[number] for number in order), Counter(meanings)


def meaning_of(parts: Iterable[tuple[SliceBox, SliceLabels]]) -> Meaning:
    """Return the meaning of a finding from its cross-sections, each with the labels of its slice."""
    lesion = unsure = rejected = uncertain = 0.0
    for part, labels in parts:
        box = np.asarray([part.box])
        lesion = max(lesion, _best(box, labels.every_lesion))
        # Nothing at all is learnt inside an unsure place, however small the finding.
        unsure = max(unsure, _best(box, labels.untaught), float(_is_inside(box, labels.untaught)))
        rejected = max(rejected, _best(box, labels.rejected))
        uncertain = max(uncertain, _best(box, labels.uncertain))
    if lesion > LESION_IOU:
        return Meaning.LESION
    if lesion >= BACKGROUND_IOU:
        return Meaning.NEAR_LESION
    if unsure >= BACKGROUND_IOU:
        return Meaning.UNCERTAIN
    if rejected > LESION_IOU:
        return Meaning.REJECTED
    return Meaning.UNCERTAIN if uncertain >= BACKGROUND_IOU else Meaning.FALSE_POSITIVE


def _best(box: BoxArray, others: BoxArray) -> float:
    return float(overlaps(box, others).max(initial=0.0))


def _is_inside(box: BoxArray, others: BoxArray) -> bool:
    x, y = centres(box)[0]
    return bool(((others[:, 0] <= x) & (x < others[:, 2]) & (others[:, 1] <= y) & (y < others[:, 3])).any())


def _share_a_place(parts: Sequence[SliceBox], others: Sequence[SliceBox]) -> bool:
    boxes = {other.slice_index: np.asarray([other.box]) for other in others}
    return any(
        _best(np.asarray([part.box]), boxes[part.slice_index]) > LESION_IOU
        for part in parts
        if part.slice_index in boxes
    )
