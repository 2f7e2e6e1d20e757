import numpy as np
import pytest
from support.training.training_scenes import Ball, case_of, key_slice_lesion, lesion_of

from lens_engine.snapshot import LesionOrigin, LesionRole

BALL = Ball(20, 24, 5, 12)


def test_a_lesion_drawn_on_its_key_slice_only_is_positive_there_and_ignored_next_to_it():
    labels = case_of("universal", key_slice_lesion(BALL)).labels
    assert len(labels.on_slice(5).lesions) == 1
    assert len(labels.on_slice(5).unsure) == 0
    for neighbour in (4, 6):
        assert len(labels.on_slice(neighbour).lesions) == 0
        assert len(labels.on_slice(neighbour).unsure) == 1


def test_the_slices_a_key_slice_lesion_may_reach_are_no_negatives():
    labels = case_of("universal", key_slice_lesion(BALL)).labels
    # 12 pixels of 1.6 mm: half of it reaches 9.6 mm, three slices of 4 mm.
    assert labels.lesion_free_slices(12).tolist() == [0, 1, 9, 10, 11]


def test_a_slice_at_the_pole_of_a_sphere_has_no_box_and_is_no_negative():
    lesion = lesion_of(BALL)
    clipped = lesion.model_copy(update={"slices": lesion.slices[1:-1]})
    expected = case_of("lung", lesion).labels.lesion_free_slices(12).tolist()
    assert case_of("lung", clipped).labels.lesion_free_slices(12).tolist() == expected


def test_a_continued_lesion_is_positive_where_it_was_mined_and_one_lesion_with_its_annotation():
    annotation = key_slice_lesion(BALL).model_copy(update={"group": "annotation 1"})
    mined = lesion_of(BALL, origin=LesionOrigin.MINED, group="annotation 1")
    mined = mined.model_copy(update={"slices": (mined.slices[0], mined.slices[2])})
    labels = case_of("universal", annotation, mined).labels
    assert [index for index, _ in labels.lesion_places()[0]] == [4, 5, 6]
    assert len(labels.lesion_places()) == 1
    assert len(labels.on_slice(4).lesions) == 1
    assert len(labels.on_slice(4).unsure) == 0


def test_a_tight_box_is_padded_to_the_margin_of_recist_boxes():
    labels = case_of("lung", lesion_of(BALL, is_tight=True)).labels
    np.testing.assert_allclose(labels.on_slice(5).lesions, [[9, 13, 31, 35]])


def test_mined_places_are_uncertain_and_decided_ones_unsure():
    mined = lesion_of(BALL, LesionRole.IGNORE, origin=LesionOrigin.MINED)
    decided = lesion_of(BALL, LesionRole.IGNORE, origin=LesionOrigin.DECISION)
    labels = case_of("universal", mined, decided).labels.on_slice(5)
    assert len(labels.uncertain) == len(labels.unsure) == 1
    assert len(labels.lesions) == 0


def test_a_rejection_counts_only_for_the_experts_it_is_certain_for():
    rejected = lesion_of(BALL, LesionRole.NEGATIVE, origin=LesionOrigin.DECISION, experts=("universal",))
    assert len(case_of("universal", rejected).labels.on_slice(5).rejected) == 1
    assert len(case_of("lung", rejected).labels.on_slice(5).rejected) == 0
    assert len(case_of("lung", rejected).labels.for_expert("universal", 5).rejected) == 1


@pytest.mark.parametrize("dataset", ["universal", "lung"])
def test_a_rejection_that_names_no_experts_counts_for_every_one(dataset: str):
    labels = case_of(dataset, lesion_of(BALL, LesionRole.NEGATIVE, origin=LesionOrigin.DECISION)).labels
    assert len(labels.on_slice(5).rejected) == len(labels.for_expert("liver", 5).rejected) == 1
    assert len(labels.for_expert("liver", 9).rejected) == 0
    assert len(labels.rejected_places()) == 1


def test_an_annotated_lesion_is_one_for_the_expert_of_its_data_set_alone():
    labels = case_of("lung", lesion_of(BALL)).labels
    assert [len(part) for part in (labels.on_slice(5).lesions, labels.on_slice(5).foreign)] == [1, 0]
    elsewhere = labels.for_expert("universal", 5)
    assert [len(part) for part in (elsewhere.lesions, elsewhere.foreign)] == [0, 1]


def test_a_decided_lesion_is_one_for_the_experts_that_it_names_and_ignored_by_all_others():
    decided = lesion_of(BALL, origin=LesionOrigin.DECISION, experts=("universal", "liver"))
    labels = case_of("lung", decided).labels
    for expert, is_its_own in (("universal", True), ("liver", True), ("lung", False), ("bone", False)):
        own = labels.for_expert(expert, 5)
        assert (len(own.lesions), len(own.foreign)) == (is_its_own, not is_its_own)
        assert own.is_certain_somewhere is is_its_own
        assert len(own.untaught) == len(own.foreign)
    assert len(labels.on_slice(5).foreign) == 1
    assert len(labels.lesion_places()) == 1
    assert 5 not in labels.lesion_free_slices(12)


def test_a_lesion_without_trusted_edges_has_a_role_of_its_own_and_spoils_no_slice():
    labels = case_of("universal", lesion_of(BALL, LesionRole.CLASSIFICATION, origin=LesionOrigin.MINED)).labels
    on_slice = labels.on_slice(5)
    assert len(on_slice.class_only) == len(on_slice.every_lesion) == 1
    assert len(on_slice.lesions) == 0
    assert len(on_slice.transformed(lambda boxes: boxes + 1).class_only) == 1
    assert labels.lesion_places() == ()
    assert 5 in labels.lesion_free_slices(12)
    assert len(case_of("universal", *labels.lesions).truth) == 0


def test_proposal_networks_learn_nothing_where_the_edges_of_a_lesion_are_not_trusted():
    known = key_slice_lesion(Ball(40, 40, 5, 12)), lesion_of(BALL, LesionRole.CLASSIFICATION)
    labels = case_of("universal", *known).labels.on_slice(5)
    np.testing.assert_array_equal(labels.for_proposals.unsure, labels.class_only)
    np.testing.assert_array_equal(labels.for_proposals.lesions, labels.lesions)
    assert len(labels.for_proposals.class_only) == 0
