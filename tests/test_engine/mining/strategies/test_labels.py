"""The common form refuses what would teach two things at once."""

import pytest

from lens_engine.errors import BoxError
from lens_engine.findings import SliceBox
from lens_engine.mining.strategies.labels import LabelRule, MinedLabel, MinedLabels, NegativeSlice, Teaching


def label(teaches: Teaching, *slices: int, lesion: int = 0) -> MinedLabel:
    return MinedLabel(LabelRule.ANNOTATION, teaches, tuple(SliceBox(k, (1, 2, 3, 4)) for k in slices), lesion)


def test_lesions_are_counted_by_their_number_and_slices_once() -> None:
    lesions = (label(Teaching.POSITIVE, 3), label(Teaching.POSITIVE, 3, 4), label(Teaching.CLASSIFICATION, 9, lesion=1))
    labels = MinedLabels(1, lesions, negatives=(NegativeSlice(LabelRule.UNLABELLED, 5),))
    assert (labels.lesions, labels.positive_slices) == (2, {3, 4, 9})
    assert labels.negatives[0].teaches is Teaching.NEGATIVE
    assert lesions[1].box == (1, 2, 3, 3, 4, 5)


def test_a_label_needs_a_cross_section() -> None:
    with pytest.raises(BoxError, match="rule annotation has no cross-section"):
        label(Teaching.POSITIVE)


@pytest.mark.parametrize("teaches", [Teaching.IGNORED, Teaching.NEGATIVE])
def test_no_positive_label_teaches_less(teaches: Teaching) -> None:
    with pytest.raises(BoxError, match=f"It teaches {teaches}"):
        MinedLabels(4, (label(teaches, 3),))


def test_no_ignored_label_teaches_more() -> None:
    with pytest.raises(BoxError, match=r"series 4 stands among those that teach ignored\. It teaches positive"):
        MinedLabels(4, ignored=(label(Teaching.POSITIVE, 3),))


def test_no_slice_is_positive_and_negative() -> None:
    with pytest.raises(BoxError, match=r"slices \[3\] of series 4"):
        MinedLabels(4, (label(Teaching.POSITIVE, 2, 3),), negatives=(NegativeSlice(LabelRule.UNLABELLED, 3),))
