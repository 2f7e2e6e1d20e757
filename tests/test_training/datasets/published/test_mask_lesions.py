import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lens_engine.errors import AnnotationFileError
from lens_training.datasets.published.mask_lesions import (
    ISLAND_GAP_VOXELS,
    connected_lesions,
    instance_lesions,
    whole_labels,
)

SHAPE = (6, 30, 40)


def mask_of(*boxes: tuple[int, int, int, int, int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    for x1, y1, z1, x2, y2, z2 in boxes:
        mask[z1:z2, y1:y2, x1:x2] = True
    return mask


def test_parts_that_touch_at_a_corner_are_one_lesion():
    (lesion,) = connected_lesions(mask_of((3, 4, 1, 6, 8, 2), (6, 8, 2, 9, 10, 4)))
    assert lesion.box == (3, 4, 1, 9, 10, 4)
    assert lesion.voxels == 12 + 12
    assert lesion.slices == ((1, 3, 4, 6, 8), (2, 6, 8, 9, 10), (3, 6, 8, 9, 10))


def test_parts_that_do_not_touch_are_two_lesions():
    lesions = connected_lesions(mask_of((3, 4, 1, 6, 8, 2), (7, 4, 1, 9, 10, 4)))
    assert sorted(lesion.box for lesion in lesions) == [(3, 4, 1, 6, 8, 2), (7, 4, 1, 9, 10, 4)]


@pytest.mark.parametrize(("gap", "boxes"), [(5, 1), (6, 2)])
def test_islands_on_a_slice_have_one_box_unless_they_lie_far_apart(gap, boxes):
    start = 10 + gap
    bridge = (3, 4, 2, start + 4, 8, 3)
    (lesion,) = connected_lesions(mask_of((3, 4, 1, 10, 8, 2), (start, 4, 1, start + 4, 8, 2), bridge))
    on_slice_1 = [part[1:] for part in lesion.slices if part[0] == 1]
    whole = [(3, 4, start + 4, 8)]
    assert on_slice_1 == (whole if boxes == 1 else [(3, 4, 10, 8), (start, 4, start + 4, 8)])
    assert gap <= ISLAND_GAP_VOXELS or boxes == 2


def test_islands_that_come_near_by_joining_others_are_joined_as_well():
    islands = [(13, 3, 1, 15, 5, 2), (0, 5, 1, 2, 7, 2), (6, 11, 1, 8, 13, 2)]
    (lesion,) = connected_lesions(mask_of(*islands, (0, 3, 2, 15, 13, 3)))
    assert [part[1:] for part in lesion.slices if part[0] == 1] == [(0, 3, 15, 13)]


def test_an_empty_mask_has_no_lesion():
    assert connected_lesions(mask_of()) == ()
    assert instance_lesions(mask_of().astype(np.uint8)) == ()


def test_an_instance_of_two_parts_stays_one_lesion_with_one_box_on_each_slice():
    labels = mask_of((3, 4, 1, 6, 8, 2), (20, 4, 1, 22, 6, 2)) * 9 + mask_of((30, 20, 4, 33, 22, 6)) * 4
    first, second = instance_lesions(labels.astype(np.int16))
    assert (first.box, second.box) == ((30, 20, 4, 33, 22, 6), (3, 4, 1, 22, 8, 2))
    assert second.slices == ((1, 3, 4, 22, 8),)


@given(arrays.arrays(bool, (4, 7, 9)))
def test_connected_lesions_cover_the_mask_and_nothing_is_counted_twice(mask):
    lesions = connected_lesions(mask)
    assert sum(lesion.voxels for lesion in lesions) == mask.sum()
    covered = np.zeros_like(mask)
    for lesion in lesions:
        for z, x1, y1, x2, y2 in lesion.slices:
            assert mask[z, int(y1) : int(y2), int(x1) : int(x2)].any()
            covered[z, int(y1) : int(y2), int(x1) : int(x2)] = True
    assert (covered | ~mask).all()


@given(arrays.arrays(np.uint8, (3, 5, 6), elements=st.integers(0, 4)))
def test_every_instance_is_the_hull_of_its_label(labels):
    lesions = instance_lesions(labels)
    expected = [np.argwhere(labels == label) for label in np.unique(labels) if label]
    assert [lesion.voxels for lesion in lesions] == [len(places) for places in expected]
    for lesion, places in zip(lesions, expected, strict=True):
        assert lesion.box == (*places.min(axis=0)[::-1], *(places.max(axis=0) + 1)[::-1])


@pytest.mark.parametrize("values", [[0.0, 0.5], [-1, 3], [0.0, np.nan]])
def test_values_that_are_no_labels_are_refused(values):
    with pytest.raises(AnnotationFileError, match="that are no labels"):
        whole_labels(np.asarray(values).reshape(1, 1, 2), "mask.nii")
