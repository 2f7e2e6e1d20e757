from dataclasses import replace

import numpy as np
import pytest
from support.files.phantom_downloads import TYPES, drawn_case, flipped, phantom_scans

from lens_training.datasets.case import Case
from lens_training.datasets.label_voxels import (
    FEWEST_COMPARED,
    MIRRORINGS,
    LabelLook,
    LabelValue,
    Mirroring,
    MirroringVotes,
    label_looks,
    look_on_middle_slice,
    suspicion,
    votes_for,
)

CLEAR, FAINT = LabelValue("liver", 60, 1.5), LabelValue("liver", 100, 0.2)
FAT, AIR = LabelValue("liver", -100, 3), LabelValue("liver", -1000, 0)


def looks(lesion_type: str, axes: Mirroring = ()) -> list[tuple[LabelLook, ...]]:
    """Look at all labels of phantom scans that lie mirrored, scan by scan."""
    return [label_looks(drawn_case(scan), flipped(scan.volume, axes)) for scan in phantom_scans(lesion_type)]


def suspected(scans: list[tuple[LabelLook, ...]]) -> Mirroring | None:
    found = suspicion(votes_for([look for labels in scans for look in labels]))
    return None if found is None else found.axes


@pytest.mark.parametrize("lesion_type", TYPES.values())
@pytest.mark.parametrize("axes", MIRRORINGS)
def test_masks_that_lie_mirrored_in_other_tissue_are_suspected_along_their_axes(lesion_type: str, axes: Mirroring):
    assert suspected(looks(lesion_type, axes)) == axes


@pytest.mark.parametrize("lesion_type", TYPES.values())
def test_masks_that_lie_right_are_not_suspected_in_many_scans_or_few(lesion_type: str):
    scans = looks(lesion_type)
    assert max(vote.compared for vote in votes_for([look for labels in scans for look in labels])) > 30
    assert [suspected(scans[first : first + count]) for count in (12, 6, 4) for first in range(0, 12, count)] == [
        None
    ] * 6


@pytest.mark.parametrize("lesion_type", TYPES.values())
def test_the_middle_slices_of_labels_alone_tell_it_too(lesion_type: str):
    for axes in ((), (0,), (1,), (2,)):
        seen = [
            _middle_looks(drawn_case(scan), flipped(scan.volume, axes).voxels) for scan in phantom_scans(lesion_type)
        ]
        assert suspected(seen) == (axes or None)


def _middle_looks(case: Case, voxels: np.ndarray) -> tuple[LabelLook, ...]:
    return tuple(look_on_middle_slice(case, number, voxels.__getitem__) for number in range(len(case.lesions)))


def test_a_label_at_the_middle_is_not_compared_with_itself():
    case = drawn_case(phantom_scans("liver")[0])
    lesion = case.lesions[0]
    slices, height, width = case.geometry.shape
    box = (width / 2 - 4, 20, slices - 4, width / 2 + 4, 28, slices - 2)
    rows = tuple((index, box[0], box[1], box[3], box[4]) for index in (slices - 4, slices - 3))
    middle = replace(case, lesions=(lesion.model_copy(update={"box": box, "slices": rows}),), facts=case.facts[:1])
    (look,) = label_looks(middle, case.load())
    assert height > 80
    assert (2,) not in look.mirrored
    assert {(0,), (1,), (0, 2), (1, 2)} <= look.mirrored.keys()


@pytest.mark.parametrize(
    ("first", "second", "is_clearer"),
    [(CLEAR, FAINT, True), (FAINT, CLEAR, False), (FAINT, FAT, True), (FAT, FAINT, False), (FAT, AIR, False)],
)
def test_what_is_plausible_looks_more_like_a_lesion_and_of_two_such_places_what_has_more_contrast(
    first: LabelValue, second: LabelValue, is_clearer: bool
):
    assert first.is_clearer_than(second) is is_clearer


@pytest.mark.parametrize(
    ("mirrored", "compared", "is_suspicious"),
    [(FEWEST_COMPARED - 1, FEWEST_COMPARED - 1, False), (7, 10, True), (6, 10, False), (8, 12, True), (0, 0, False)],
)
def test_two_thirds_of_enough_labels_make_a_suspicion(mirrored: int, compared: int, is_suspicious: bool):
    assert MirroringVotes((0,), mirrored, compared).is_suspicious is is_suspicious


def test_labels_that_are_equal_in_both_places_or_near_the_middle_are_not_counted():
    seen = [
        LabelLook(CLEAR, {(1,): FAINT}),
        LabelLook(FAINT, {(1,): FAINT}),
        LabelLook(FAINT, {}),
        LabelLook(AIR, {(1,): FAT}),
    ]
    assert MirroringVotes((1,), 0, 1) in votes_for(seen)
