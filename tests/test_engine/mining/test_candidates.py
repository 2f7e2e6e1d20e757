"""All rules together: who is asked about, as what, why, and in which order."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.measures.mining_cases import EXPERTS, Seen, annotation, series

from lens_engine.findings import FUSED, Candidate, CandidateKind, Rule, Scope, SliceBox
from lens_engine.mining.calibration import CalibratedLimit
from lens_engine.mining.candidates import MinedCandidates, mine, mine_with_labels
from lens_engine.mining.inputs import AnnotationOnSeries, SeriesMiningInput
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.strategies.labels import LabelRule
from lens_engine.mining.strategies.lens import LensSettings, mine_lens
from lens_engine.proposals import Proposals

LIMIT = CalibratedLimit(0.15, 1000, True, "")


def mined(*inputs: SeriesMiningInput, limit: CalibratedLimit = LIMIT) -> MinedCandidates:
    return mine(inputs, MiningSettings(), limit)


def rules(candidate: Candidate) -> list[Rule]:
    return [reason.rule for reason in candidate.reasons]


def test_a_marked_lesion_is_continued() -> None:
    (candidate,) = mined(series([Seen(0, range(4, 9), {"universal": 0.9})], (annotation(7, 0, 6),))).candidates
    assert candidate.kind is CandidateKind.MISSING_ANNOTATION
    assert [(reason.rule, reason.annotation_id) for reason in candidate.reasons] == [(Rule.CROSS_SLICE, 7)]
    assert candidate.finding.box == pytest.approx((0, 50, 4, 20, 70, 9))
    assert candidate.finding.expert == FUSED


def test_a_lesion_marked_on_its_only_slice_is_no_question() -> None:
    assert mined(series([Seen(0, range(6, 7), {"universal": 0.9})], (annotation(7, 0, 6),))).candidates == ()


def test_marks_of_one_lesion_on_two_slices_are_one_question_with_two_reasons() -> None:
    marks = (annotation(7, 0, 5), annotation(8, 0, 7))
    (candidate,) = mined(series([Seen(0, range(4, 9), {"universal": 0.9})], marks)).candidates
    assert [reason.annotation_id for reason in candidate.reasons] == [7, 8]


def test_a_finding_that_looks_like_a_lesion_of_another_series_is_matched() -> None:
    before = series([], (annotation(7, 0, 6, look=0),), number=1)
    after = series([Seen(200, range(4, 9), {"universal": 0.3}, look=5)], number=2)
    (candidate,) = mined(before, after).candidates
    assert (candidate.series_id, candidate.kind) == (2, CandidateKind.MISSING_ANNOTATION)
    (reason,) = candidate.reasons
    assert (reason.rule, reason.annotation_id, reason.distance_limit) == (Rule.INTRA_PATIENT, 7, 0.15)
    assert reason.distance == pytest.approx(0.0872, abs=1e-4)


def test_lesions_of_other_patients_are_never_partners() -> None:
    before = series([], (annotation(7, 0, 6, look=0),), number=1, patient=1)
    after = series([Seen(200, range(4, 9), {"universal": 0.3}, look=0)], number=2, patient=2)
    assert mined(before, after).candidates == ()


def test_a_finding_on_an_annotation_is_not_matched_elsewhere() -> None:
    before = series([], (annotation(7, 0, 6, look=0),), number=1)
    after = series([Seen(200, range(4, 9), {"universal": 0.3}, look=0)], (annotation(8, 205, 6, side=8),), number=2)
    assert mined(before, after).candidates == ()


def test_a_continued_lesion_is_asked_once_even_if_it_resembles_another() -> None:
    before = series([], (annotation(7, 0, 6, look=0),), number=1)
    after = series([Seen(200, range(4, 9), {"universal": 0.3}, look=0)], (annotation(8, 200, 6),), number=2)
    (candidate,) = mined(before, after).candidates
    assert rules(candidate) == [Rule.CROSS_SLICE]


def decided(number: int, x: float, slices: range, look: float | None = None) -> AnnotationOnSeries:
    """Return a lesion that a reader accepted on some slices."""
    x1, y1, z1, x2, y2, _ = annotation(number, x, slices[0]).box
    sections = tuple(SliceBox(index, (x1, y1, x2, y2)) for index in slices)
    one = annotation(number, x, slices[0], look)
    return replace(one, box=(x1, y1, z1, x2, y2, float(slices[-1] + 1)), slices=sections, key_slice=None)


def test_a_lesion_that_a_reader_accepted_is_a_partner_in_another_series() -> None:
    before = replace(series([], (annotation(7, 0, 6, look=30),), number=1), decided=(decided(7, 0, range(4, 9), 0),))
    after = series([Seen(200, range(4, 9), {"universal": 0.3}, look=5)], number=2)
    (candidate,) = mined(before, after).candidates
    (reason,) = candidate.reasons
    assert (reason.rule, reason.annotation_id, reason.decision_id) == (Rule.INTRA_PATIENT, None, 7)
    nearer = replace(before, annotations=(annotation(7, 0, 6, look=5),))
    (candidate,) = mined(nearer, after).candidates
    assert (candidate.reasons[0].annotation_id, candidate.reasons[0].decision_id) == (7, None)


def test_what_reaches_beyond_an_accepted_part_continues_it() -> None:
    one = replace(series([Seen(0, range(4, 9), {"universal": 0.9})]), decided=(decided(3, 0, range(4, 6)),))
    (candidate,) = mined(one).candidates
    assert candidate.kind is CandidateKind.MISSING_ANNOTATION
    assert [(reason.rule, reason.decision_id) for reason in candidate.reasons] == [(Rule.CROSS_SLICE, 3)]
    assert candidate.finding.box == pytest.approx((0, 50, 4, 20, 70, 9))


def test_a_lesion_that_was_accepted_as_a_whole_is_found_as_before() -> None:
    one = series([Seen(0, range(4, 9), {"universal": 0.1, "lung": 0.8})])
    known = replace(one, decided=(decided(3, 0, range(4, 9)),))
    assert mined(known) == mined(one)


def test_a_continuation_of_a_mark_and_of_an_accepted_part_is_one_question_with_two_reasons() -> None:
    one = series([Seen(0, range(4, 9), {"universal": 0.9})], (annotation(3, 0, 6),))
    (candidate,) = mined(replace(one, decided=(decided(3, 0, range(4, 6)),))).candidates
    assert [(reason.annotation_id, reason.decision_id) for reason in candidate.reasons] == [(3, None), (None, 3)]


def test_what_a_single_type_expert_sees_is_uncertain() -> None:
    (candidate,) = mined(series([Seen(0, range(4, 9), {"universal": 0.1, "lung": 0.8, "liver": 0.6})])).candidates
    assert candidate.kind is CandidateKind.UNCERTAIN
    assert [(reason.rule, reason.expert) for reason in candidate.reasons] == [
        (Rule.CROSS_DATASET, "lung"),
        (Rule.CROSS_DATASET, "liver"),
    ]
    assert candidate.reasons[0].score == pytest.approx(0.8)


def test_a_match_that_a_single_type_expert_sees_too_is_one_candidate_with_both_reasons() -> None:
    before = series([], (annotation(7, 0, 6, look=0),), number=1)
    after = series([Seen(200, range(4, 9), {"universal": 0.3, "liver": 0.81}, look=5)], number=2)
    (candidate,) = mined(before, after).candidates
    assert candidate.kind is CandidateKind.MISSING_ANNOTATION
    assert rules(candidate) == [Rule.INTRA_PATIENT, Rule.CROSS_DATASET]


def test_the_card_of_a_lesion_names_every_expert_and_the_fusion() -> None:
    seen = [Seen(0, range(4, 9), {"universal": 0.1, "lung": 0.98}), Seen(200, range(4, 9), {"universal": 0.4}, look=0)]
    before = series([], (annotation(7, 0, 6, look=0),), number=1)
    result = mined(before, series(seen, number=2)).candidates
    scores = {candidate.kind: dict(candidate.finding.expert_scores) for candidate in result}
    assert scores[CandidateKind.UNCERTAIN] == pytest.approx({"universal": 0.1, "lung": 0.98, FUSED: 0.98})
    assert scores[CandidateKind.MISSING_ANNOTATION] == pytest.approx({"universal": 0.4, FUSED: 0.4})


def test_a_fused_finding_with_another_box_at_the_place_is_named_too() -> None:
    # The fusion keeps a box of the universal expert that covers the small one, IoU 0.16 on each slice.
    small = series([Seen(15, range(4, 9), {"lung": 0.9}, side=20)])
    large = series([Seen(0, range(4, 9), {"universal": 0.95}, side=50)])
    rows = small.proposals.expert_index == EXPERTS.index("lung")
    only_lung, fused = small.proposals.take(np.flatnonzero(rows)), large.proposals
    both = Proposals(
        EXPERTS,
        2.0,
        2.0,
        *(
            np.concatenate([getattr(only_lung, name), getattr(fused, name)])
            for name in ("expert_index", "grid_index", "boxes", "scores", "embeddings")
        ),
    )
    findings = tuple(found for found in (*small.findings, *large.findings) if found.score != small.findings[-1].score)
    findings += tuple(found for found in small.findings if found.expert == "lung")
    (candidate,) = mined(replace(small, proposals=both, findings=findings)).candidates
    assert dict(candidate.finding.expert_scores) == pytest.approx({"universal": 0.95, "lung": 0.9, FUSED: 0.95})


def test_a_reason_says_the_same_score_as_the_card() -> None:
    weak, strong = Seen(0, range(4, 6), {"lung": 0.6}), Seen(3, range(6, 9), {"lung": 0.98})
    (candidate,) = mined(series([weak, strong])).candidates
    (reason,) = candidate.reasons
    assert reason.score == candidate.finding.expert_scores["lung"] == pytest.approx(0.98)


def test_an_uncertain_box_beside_a_continuation_is_folded_into_it() -> None:
    # On no slice do they share more than half, so neither rule knows of the other; in 3D they are one place.
    lesions = [Seen(0, range(4, 9), {"universal": 0.9}), Seen(-10, range(4, 9), {"liver": 0.7})]
    (candidate,) = mined(series(lesions, (annotation(7, 0, 6),))).candidates
    assert rules(candidate) == [Rule.CROSS_SLICE, Rule.CROSS_DATASET]
    assert candidate.finding.box[0] == 0


def test_a_series_of_a_complete_data_set_lends_partners_and_is_not_mined() -> None:
    seen = Seen(200, range(4, 9), {"universal": 0.3, "lung": 0.9}, look=0)
    complete = series([seen], (annotation(7, 0, 6, look=0),), number=1, scope=Scope.SINGLE_TYPE)
    assert mined(complete).candidates == ()
    (candidate,) = mined(complete, series([seen], number=2)).candidates
    assert candidate.reasons[0].annotation_id == 7


def test_experts_of_further_universal_sets_mine_no_uncertain_lesions() -> None:
    one = series([Seen(0, range(4, 9), {"lung": 0.9})])
    universal = SeriesMiningInput(1, 1, 1, 60, one.proposals, universal_experts=("universal", "lung"))
    assert mined(universal).candidates == ()


def test_a_limit_of_zero_switches_matching_off() -> None:
    before = series([], (annotation(7, 0, 6, look=0),), number=1)
    after = series([Seen(200, range(4, 9), {"universal": 0.3}, look=0)], number=2)
    assert mined(before, after, limit=CalibratedLimit(0.0, 0, False, "")).candidates == ()


def test_nothing_comes_of_nothing() -> None:
    assert mined() == MinedCandidates((), ())
    assert mined(series([])) == MinedCandidates((), ())
    assert mined(series([], (annotation(7, 0, 6, look=0),))) == MinedCandidates((), ())


def test_all_rules_in_one_patient() -> None:
    continued = Seen(0, range(4, 9), {"universal": 0.9}, look=0)
    matched, uncertain = (
        Seen(200, range(4, 9), {"universal": 0.4}, look=3),
        Seen(400, range(4, 9), {"lung": 0.9}, look=90),
    )
    first = series([continued, uncertain], (annotation(7, 0, 6, look=0),), number=1)
    second = series([matched], number=2)
    result = mined(first, second)
    assert Counter(rule for candidate in result.candidates for rule in rules(candidate)) == Counter(Rule)
    assert [candidate.series_id for candidate in result.candidates] == [1, 1, 2]


seen = st.builds(
    Seen,
    x=st.integers(0, 12).map(lambda n: 10.0 * n),
    grid=st.builds(lambda first, length: range(first, first + length), st.integers(0, 10), st.integers(1, 8)),
    scores=st.dictionaries(
        st.sampled_from(("universal", "lung", "liver")), st.integers(1, 20).map(lambda n: n / 20), min_size=1
    ),
    look=st.integers(0, 90).map(float),
)
marks = st.builds(annotation, st.integers(1, 99), st.integers(0, 12).map(lambda n: 10.0 * n), st.integers(0, 20))


@settings(deadline=None)
@given(
    st.lists(seen, max_size=8), st.lists(marks, max_size=3, unique_by=lambda mark: mark.id), st.lists(seen, max_size=8)
)
def test_candidates_are_valid_distinct_and_ranked(first: list[Seen], notes: list[object], second: list[Seen]) -> None:
    inputs = [series(first, tuple(notes), number=1), series(second, number=2)]  # type: ignore[arg-type]  # drawn
    result = mined(*inputs)
    assert len(result.candidates) == len(result.priorities)
    assert all(0 <= value <= 1 for value in result.priorities)
    assert [candidate.series_id for candidate in result.candidates] == sorted(c.series_id for c in result.candidates)
    for number in (1, 2):
        of_series = [p for c, p in zip(result.candidates, result.priorities, strict=True) if c.series_id == number]
        assert of_series == sorted(of_series, reverse=True)
    for candidate in result.candidates:
        assert candidate.reasons
        assert FUSED in candidate.finding.expert_scores
        assert len(set(candidate.reasons)) == len(candidate.reasons)
        covered = [section.slice_index for section in candidate.finding.slices]
        assert covered == list(range(int(candidate.finding.box[2]), int(candidate.finding.box[5])))
        is_uncertain = {reason.rule for reason in candidate.reasons} == {Rule.CROSS_DATASET}
        assert (candidate.kind is CandidateKind.UNCERTAIN) == is_uncertain
    assert mined(*inputs) == result


def test_what_is_taught_is_what_the_strategy_of_lens_says() -> None:
    lesions = [
        Seen(0, range(4, 9), {"universal": 0.9}, look=10),
        Seen(40, range(4, 9), {"lung": 0.8}, look=90),
        Seen(80, range(20, 24), {"universal": 0.6}, look=50),
    ]
    first = series(lesions, (annotation(7, 0, 6, look=10), annotation(8, 80, 21, look=50)))
    second = series([replace(lesion, grid=range(30, 33)) for lesion in lesions], number=2)
    complete = series([], (annotation(9, 0, 6, look=10),), number=3, scope=Scope.SINGLE_TYPE)
    inputs = (first, second, complete)
    found, labels = mine_with_labels(inputs, MiningSettings(), LIMIT)
    assert found == mined(*inputs)
    assert labels == mine_lens(inputs, LensSettings(distance_limit=LIMIT.value))
    assert {label.rule for found in labels for label in found.positives} == {
        LabelRule.ANNOTATION,
        LabelRule.CROSS_SLICE,
        LabelRule.INTRA_PATIENT,
    }
    assert all(found.ignored for found in labels)
