from collections import Counter

import numpy as np
import pytest
from support.training.fpr_findings import finding_of
from support.training.training_scenes import Ball, case_of, key_slice_lesion, lesion_of

from lens_engine.findings import Finding
from lens_engine.snapshot import Lesion, LesionOrigin, LesionRole
from lens_training.false_positive_reduction.samples import Meaning, samples_of

BALL = Ball(24, 24, 5, 12)
OTHER = Ball(44, 40, 5, 12)
MINED_ELSEWHERE = lesion_of(BALL, LesionRole.IGNORE, origin=LesionOrigin.MINED)
UNSURE = lesion_of(BALL, LesionRole.IGNORE, origin=LesionOrigin.DECISION)
REJECTED = lesion_of(BALL, LesionRole.NEGATIVE, origin=LesionOrigin.DECISION, experts=("universal",))


def meaning(finding: Finding, *lesions: Lesion) -> Meaning:
    _, counts = samples_of(0, [finding], case_of("universal", *lesions).labels)
    assert counts.total() == 1
    return next(iter(counts))


# A box shifted by a share s of its width overlaps the old one by (1 - s) / (1 + s).
@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        (0.0, Meaning.LESION),
        (0.32, Meaning.LESION),
        (0.35, Meaning.NEAR_LESION),
        (0.53, Meaning.NEAR_LESION),
        (0.55, Meaning.FALSE_POSITIVE),
        (2.0, Meaning.FALSE_POSITIVE),
    ],
)
def test_the_overlap_with_a_lesion_decides(shift: float, expected: Meaning):
    assert meaning(finding_of(BALL, shift), lesion_of(BALL)) is expected


def test_one_slice_with_a_label_is_enough_for_a_lesion():
    tall = finding_of(BALL, first=1, last=5)
    assert meaning(tall, key_slice_lesion(BALL)) is Meaning.LESION


def test_a_mined_box_counts_as_much_as_an_annotation():
    mined = lesion_of(BALL, origin=LesionOrigin.MINED)
    assert meaning(finding_of(BALL, first=4, last=4), mined) is Meaning.LESION


def test_beyond_its_key_slice_a_lesion_may_go_on():
    annotation = key_slice_lesion(BALL)
    assert meaning(finding_of(BALL, first=6, last=7), annotation) is Meaning.UNCERTAIN
    assert meaning(finding_of(BALL, first=9, last=11), annotation) is Meaning.FALSE_POSITIVE
    assert meaning(finding_of(OTHER, first=6, last=7), annotation) is Meaning.FALSE_POSITIVE


def test_beyond_a_lesion_that_was_drawn_completely_there_is_none():
    assert meaning(finding_of(BALL, first=7, last=8), lesion_of(BALL)) is Meaning.FALSE_POSITIVE


@pytest.mark.parametrize("ignored", [MINED_ELSEWHERE, UNSURE])
@pytest.mark.parametrize(
    ("shift", "expected"), [(0.0, Meaning.UNCERTAIN), (0.4, Meaning.UNCERTAIN), (0.7, Meaning.FALSE_POSITIVE)]
)
def test_uncertain_and_unsure_places_teach_nothing(ignored: Lesion, shift: float, expected: Meaning):
    assert meaning(finding_of(BALL, shift), ignored) is expected


def test_within_an_unsure_place_even_a_small_finding_teaches_nothing():
    small = finding_of(Ball(21, 22, 5, 3))
    assert meaning(small, UNSURE) is Meaning.UNCERTAIN
    assert meaning(small, MINED_ELSEWHERE) is Meaning.FALSE_POSITIVE


def test_rejection_gives_way_to_lesions_and_unsure_places_but_not_to_mined_ones():
    assert meaning(finding_of(BALL), REJECTED) is Meaning.REJECTED
    assert meaning(finding_of(BALL), REJECTED, lesion_of(BALL)) is Meaning.LESION
    assert meaning(finding_of(BALL), REJECTED, UNSURE) is Meaning.UNCERTAIN
    assert meaning(finding_of(BALL), REJECTED, MINED_ELSEWHERE) is Meaning.REJECTED


def test_a_rejected_place_that_was_not_found_again_is_a_sample_of_its_own():
    labels = case_of("universal", REJECTED).labels
    samples, counts = samples_of(3, [finding_of(OTHER)], labels)
    assert counts == Counter({Meaning.FALSE_POSITIVE: 1})
    assert {sample.meaning: sample.box for sample in samples} == {
        Meaning.REJECTED: REJECTED.box,
        Meaning.FALSE_POSITIVE: finding_of(OTHER).box,
    }
    assert {sample.case for sample in samples} == {3}


def test_a_rejected_place_that_was_found_again_is_one_sample():
    found = finding_of(BALL, 0.1)
    samples, _ = samples_of(0, [found], case_of("universal", REJECTED).labels)
    assert [(sample.box, sample.meaning) for sample in samples] == [(found.box, Meaning.REJECTED)]


def test_a_rejection_for_another_expert_is_no_hard_negative():
    elsewhere = REJECTED.model_copy(update={"experts": ("lung",)})
    samples, _ = samples_of(0, [], case_of("universal", elsewhere).labels)
    assert samples == ()


def test_what_teaches_nothing_is_counted_and_left_out():
    findings = [finding_of(BALL), finding_of(BALL, 0.4), finding_of(OTHER), finding_of(OTHER, first=1, last=2)]
    samples, counts = samples_of(0, findings, case_of("universal", lesion_of(BALL)).labels)
    assert counts == {Meaning.LESION: 1, Meaning.NEAR_LESION: 1, Meaning.FALSE_POSITIVE: 2}
    depths = [sample.box[2] + sample.box[5] for sample in samples]
    assert len(samples) == 3
    assert depths == sorted(depths)
    assert np.isfinite([sample.box for sample in samples]).all()
