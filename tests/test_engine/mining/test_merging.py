"""A reader is asked once for each lesion: pieces are joined, candidates at one place folded, reasons kept."""

from dataclasses import replace

import pytest

from lens_engine.findings import Candidate, CandidateKind, Finding, Reason, Rule, SliceBox
from lens_engine.mining.merging import merge_candidates
from lens_engine.mining.settings import MiningSettings

CONTINUED = Reason(Rule.CROSS_SLICE, annotation_id=1)
MATCHED = Reason(Rule.INTRA_PATIENT, annotation_id=2, distance=0.1, distance_limit=0.15)
SEEN = Reason(Rule.CROSS_DATASET, expert="lung", score=0.8)


def candidate(reason: Reason, slices: range, x: float = 100, side: float = 20, score: float = 0.5) -> Candidate:
    low, high = x, x + side
    sections = tuple(SliceBox(k, (low, low, high, high), score) for k in slices)
    box = (low, low, float(slices[0]), high, high, float(slices[-1] + 1))
    kind = CandidateKind.UNCERTAIN if reason.rule is Rule.CROSS_DATASET else CandidateKind.MISSING_ANNOTATION
    return Candidate(7, Finding("fused", box, sections, score, {"lung": score}), kind, (reason,))


def merged(*candidates: Candidate) -> list[Candidate]:
    return merge_candidates(candidates, MiningSettings())


def test_the_tapered_end_of_a_lesion_is_joined_to_it() -> None:
    (whole,) = merged(candidate(SEEN, range(9, 10), x=105, side=8, score=0.7), candidate(MATCHED, range(4, 9)))
    assert whole.kind is CandidateKind.MISSING_ANNOTATION
    assert whole.reasons == (MATCHED, SEEN)
    assert [section.slice_index for section in whole.finding.slices] == list(range(4, 10))
    assert whole.finding.box[2::3] == (4, 10)
    assert (whole.finding.score, dict(whole.finding.expert_scores)) == (0.7, {"lung": 0.7})
    assert 101 < whole.finding.box[0] < 102  # the mean, weighted by the scores


def test_three_pieces_become_one_in_any_order() -> None:
    pieces = [
        candidate(SEEN, range(3, 4), x=106, side=6),
        candidate(SEEN, range(4, 8)),
        candidate(SEEN, range(8, 9), x=104, side=9),
    ]
    for order in (pieces, pieces[::-1], [pieces[1], pieces[0], pieces[2]]):
        (whole,) = merged(*order)
        assert whole.finding.box[2::3] == (3, 9)


def test_pieces_that_share_the_slice_between_them_are_joined_and_the_surer_one_is_right_there() -> None:
    upper, lower = candidate(SEEN, range(4, 7), x=102, score=0.9), candidate(MATCHED, range(6, 9), score=0.3)
    (whole,) = merged(upper, lower)
    assert [section.box[0] for section in whole.finding.slices] == [102, 102, 100, 100, 100]


APART = {
    "a gap between them": candidate(SEEN, range(10, 12)),
    "too far aside": candidate(SEEN, range(9, 12), x=111),
    "on the same slices, touching at a corner": candidate(SEEN, range(4, 9), x=115),
}


@pytest.mark.parametrize("name", APART)
def test_different_lesions_stay_different_questions(name: str) -> None:
    assert len(merged(candidate(SEEN, range(4, 9)), APART[name])) == 2


def test_a_piece_joins_only_the_neighbour_that_fits_best() -> None:
    one, other = candidate(SEEN, range(4, 8)), candidate(SEEN, range(4, 8), x=112)
    below = candidate(SEEN, range(8, 10), x=111)
    boxes = sorted(c.finding.box[2::3] for c in merged(one, other, below))
    assert boxes == [(4, 8), (4, 10)]


def test_overlapping_candidates_become_the_surest_one_with_all_reasons() -> None:
    (kept,) = merged(candidate(SEEN, range(5, 9), x=106, score=0.9), candidate(MATCHED, range(4, 9), score=0.2))
    assert kept.reasons == (MATCHED, SEEN)
    assert kept.finding.box[0] == 100


def test_what_is_folded_leaves_its_scores() -> None:
    small = candidate(MATCHED, range(4, 9), score=0.2)
    large = candidate(SEEN, range(5, 9), x=106, score=0.9)
    other = replace(large, finding=replace(large.finding, expert_scores={"lung": 0.1, "liver": 0.9}))
    (kept,) = merged(small, other)
    assert dict(kept.finding.expert_scores) == {"lung": 0.2, "liver": 0.9}
    assert kept.finding.score == 0.2


def test_two_continuations_on_the_same_slices_are_two_lesions() -> None:
    other = Reason(Rule.CROSS_SLICE, annotation_id=9)
    assert len(merged(candidate(CONTINUED, range(4, 9)), candidate(other, range(4, 9), x=104))) == 2


def test_a_large_box_around_a_small_lesion_is_another_question() -> None:
    assert len(merged(candidate(SEEN, range(4, 9)), candidate(SEEN, range(0, 16), x=80, side=60))) == 2


def test_of_two_reasons_of_one_kind_the_stronger_is_kept() -> None:
    nearer = Reason(Rule.INTRA_PATIENT, annotation_id=2, distance=0.05, distance_limit=0.15)
    (kept,) = merged(candidate(MATCHED, range(4, 9), score=0.9), candidate(nearer, range(9, 11)))
    assert kept.reasons == (nearer,)
    weaker = Reason(Rule.CROSS_DATASET, expert="lung", score=0.6)
    (kept,) = merged(candidate(SEEN, range(4, 9)), candidate(weaker, range(9, 11)))
    assert kept.reasons == (SEEN,)


def test_candidates_without_any_score_can_be_joined() -> None:
    (whole,) = merged(candidate(MATCHED, range(4, 6), score=0), candidate(MATCHED, range(6, 8), score=0))
    assert whole.finding.box == (100, 100, 4, 120, 120, 8)


def test_nothing_is_merged_of_nothing() -> None:
    assert merged() == []
