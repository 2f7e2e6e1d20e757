import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_training.labels import SliceLabels
from lens_training.targets import IGNORED, NEGATIVE, POSITIVE, RegionSampling, centre_targets, sample_regions

SAMPLING = RegionSampling(count=16, lesion_share=0.25)


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.asarray(rows, dtype=np.float64).reshape(-1, 4)


def cells(labels: SliceLabels) -> np.ndarray:
    return centre_targets(labels, 16, 16).labels.numpy()


def random() -> np.random.Generator:
    return np.random.default_rng(0)


@given(x=st.floats(0, 54), y=st.floats(0, 54))
def test_a_lesion_of_ten_pixels_has_a_positive_cell_wherever_it_lies(x: float, y: float):
    assert (cells(SliceLabels(lesions=boxes((x, y, x + 10, y + 10)))) == POSITIVE).sum() >= 1


def test_the_cell_at_the_centre_is_positive_and_its_surroundings_ignored():
    labels = cells(SliceLabels(lesions=boxes((12, 12, 52, 52))))
    assert labels[8, 8] == POSITIVE
    assert labels[8, 9] == IGNORED  # its point at 38 lies in the central half, which ends at 42
    assert labels[8, 11] == NEGATIVE
    assert labels[0, 0] == NEGATIVE


def test_distances_lead_from_the_cell_back_to_the_box():
    targets = centre_targets(SliceLabels(lesions=boxes((10, 21, 31, 44))), 16, 16)
    for row, column in np.argwhere(targets.labels.numpy() == POSITIVE):
        top, bottom, left, right = targets.distances[:, row, column].numpy() * 4
        x, y = column * 4 + 2, row * 4 + 2
        np.testing.assert_allclose([x - left, y - top, x + right, y + bottom], [10, 21, 31, 44], atol=1e-4)


def test_the_smaller_of_two_nested_lesions_gets_the_shared_cell():
    targets = centre_targets(SliceLabels(lesions=boxes((26, 26, 38, 38), (0, 0, 64, 64))), 16, 16)
    assert targets.distances[0, 8, 8] * 4 == 34 - 26


def test_only_the_central_half_of_an_uncertain_place_is_ignored():
    labels = cells(SliceLabels(uncertain=boxes((8, 8, 40, 40))))
    assert labels[6, 6] == IGNORED
    assert labels[2, 2] == NEGATIVE
    assert POSITIVE not in labels


def test_the_whole_of_an_unsure_place_is_ignored():
    labels = cells(SliceLabels(unsure=boxes((8, 8, 40, 40))))
    assert (labels[2:10, 2:10] == IGNORED).all()
    assert (labels == IGNORED).sum() == 64


def test_a_rejected_place_is_negative_even_where_a_mined_one_would_be_ignored():
    place = boxes((8, 8, 40, 40))
    assert (cells(SliceLabels(uncertain=place, rejected=place)) == NEGATIVE).all()


def test_an_unsure_place_stays_ignored_although_a_rejected_one_overlaps():
    place = boxes((8, 8, 40, 40))
    assert cells(SliceLabels(unsure=place, rejected=place))[6, 6] == IGNORED


def test_a_lesion_stays_positive_although_a_rejected_place_overlaps():
    place = boxes((8, 8, 40, 40))
    assert cells(SliceLabels(lesions=place, rejected=place))[5, 5] == POSITIVE


def test_proposals_on_a_lesion_are_positive_and_the_lesion_itself_joins_them():
    lesion = boxes((10, 10, 30, 30))
    regions = sample_regions(boxes((11, 11, 31, 31), (40, 40, 60, 60)), SliceLabels(lesions=lesion), SAMPLING, random())
    assert regions.is_lesion.sum() == 2
    np.testing.assert_array_equal(regions.lesions[regions.is_lesion], np.repeat(lesion, 2, axis=0))
    np.testing.assert_array_equal(regions.boxes[~regions.is_lesion], boxes((40, 40, 60, 60)))


@pytest.mark.parametrize("proposal", [(10, 10, 30, 30), (16, 16, 22, 22)], ids=["same place", "inside"])
def test_proposals_on_an_uncertain_place_are_never_sampled(proposal: tuple[float, float, float, float]):
    labels = SliceLabels(uncertain=boxes((10, 10, 30, 30)))
    assert len(sample_regions(boxes(proposal), labels, SAMPLING, random()).boxes) == 0


def test_a_proposal_at_the_edge_of_an_unsure_place_is_not_sampled_but_at_that_of_an_uncertain_one_it_is():
    proposal, place = boxes((26, 26, 32, 32)), boxes((10, 10, 30, 30))
    assert len(sample_regions(proposal, SliceLabels(unsure=place), SAMPLING, random()).boxes) == 0
    assert len(sample_regions(proposal, SliceLabels(uncertain=place), SAMPLING, random()).boxes) == 1


def test_a_rejected_place_is_always_sampled_as_background_even_in_an_uncertain_one():
    place = boxes((10, 10, 30, 30))
    proposals = np.repeat(boxes((40, 40, 60, 60)), 50, axis=0)
    regions = sample_regions(proposals, SliceLabels(rejected=place, uncertain=place), SAMPLING, random())
    row = np.flatnonzero((regions.boxes == place[0]).all(axis=1))
    assert len(row) == 1
    assert not regions.is_lesion[row[0]]


def test_at_most_the_stated_share_of_regions_are_lesions():
    proposals = np.repeat(boxes((10, 10, 30, 30), (40, 40, 60, 60)), 40, axis=0)
    regions = sample_regions(proposals, SliceLabels(lesions=boxes((10, 10, 30, 30))), SAMPLING, random())
    assert len(regions.boxes) == 16
    assert regions.is_lesion.sum() == 4


def test_sampling_is_repeatable():
    proposals = random().uniform(0, 30, (60, 2))
    proposals = np.concatenate([proposals, proposals + 12], axis=1)
    labels = SliceLabels(lesions=boxes((10, 10, 22, 22)))
    first, second = (sample_regions(proposals, labels, SAMPLING, random()) for _ in range(2))
    np.testing.assert_array_equal(first.boxes, second.boxes)
