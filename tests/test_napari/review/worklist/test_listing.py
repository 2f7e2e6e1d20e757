"""The walk through a list is the same as one lesion at a time would make it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.window.outlines import outline_of

from lens_engine.findings import Candidate, CandidateKind, Finding, Reason, Rule, Split
from lens_engine.store.candidates import CandidateRecord
from lens_engine.store.catalog import SeriesRecord
from lens_engine.store.comments import Comment
from lens_napari.review.box_table import BoxState
from lens_napari.review.session import Entries
from lens_napari.review.worklist.filters import Listed, SearchedSeries, Sorting, WorklistFilter, fitting
from lens_napari.review.worklist.listing import Listing

STATES = (BoxState.PLAIN, BoxState.ACCEPTED, BoxState.REJECTED, BoxState.UNSURE)
lists = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(STATES), st.sampled_from(tuple(Rule))), max_size=30)
wishes = st.builds(
    WorklistFilter,
    listed=st.sampled_from(tuple(Listed)),
    rule=st.sampled_from((None, *Rule)),
    sorting=st.sampled_from(tuple(Sorting)),
)
Lesions = list[tuple[int, BoxState, Rule]]


def record(
    number: int, series_id: int, rule: Rule = Rule.CROSS_DATASET, scores: dict[str, float] | None = None
) -> CandidateRecord:
    z = float(50 - number)
    finding = Finding("fused", (1.0, 1.0, z, 9.0, 9.0, z + 1), (), 0.8, scores or {"lung": 0.5})
    return CandidateRecord(
        number, Candidate(series_id, finding, CandidateKind.UNCERTAIN, (Reason(rule),)), "v1", 1, 0.5, None, False
    )


def commented(found: CandidateRecord, *texts: str) -> CandidateRecord:
    return replace(found, comments=tuple(Comment(f"Reader {number}", text) for number, text in enumerate(texts)))


def series(series_id: int, patient: int, dataset: str, description: str) -> SeriesRecord:
    return SeriesRecord(
        id=series_id,
        name=f"{patient:06d}_01_0{series_id}",
        patient_id=patient,
        patient_code=f"{patient:06d}",
        study_id=series_id,
        study_number=1,
        study_date=None,
        series_number=series_id,
        dataset=dataset,
        split=Split.TRAIN,
        geometry=None,
        source=None,
        description=description,
        test_set_part=None,
        is_complete=False,
    )


def listing_of(lesions: Lesions, wanted: WorklistFilter) -> Listing:
    entries = Entries(outline_of([record(i + 1, one[0], one[2]) for i, one in enumerate(lesions)]))
    entries.states[:] = [state for _, state, _ in lesions]
    listing = Listing(entries.outline, {}, entries.states)
    listing.narrow(wanted)
    return listing


def in_order(lesions: Lesions, wanted: WorklistFilter) -> list[int]:
    """Return the positions as the reader sorts them: within a series the later ones lie nearer to the head."""
    positions = list(range(len(lesions)))
    if wanted.sorting is Sorting.SERIES:
        positions.sort(key=lambda position: (lesions[position][0], -position))
    return positions


def walked(lesions: Lesions, wanted: WorklistFilter) -> list[int]:
    return [
        position
        for position in in_order(lesions, wanted)
        if wanted.rule in (None, lesions[position][2]) and wanted.state in (None, lesions[position][1])
    ]


@given(lists, wishes)
def test_next_and_back_go_through_the_list_one_by_one(lesions: Lesions, wanted: WorklistFilter) -> None:
    listing, expected = listing_of(lesions, wanted), walked(lesions, wanted)
    forwards, backwards = [], []
    position = listing.neighbour(None, 1)
    while position is not None:
        forwards.append(position)
        position = listing.neighbour(position, 1)
    position = listing.neighbour(None, -1)
    while position is not None:
        backwards.append(position)
        position = listing.neighbour(position, -1)
    assert forwards == expected
    assert backwards == expected[::-1]


@given(lists, wishes, st.integers(0, 29))
def test_the_next_to_ask_about_comes_behind_this_one_or_from_the_start(
    lesions: Lesions, wanted: WorklistFilter, after: int
) -> None:
    if after >= len(lesions):
        return
    listing, order = listing_of(lesions, wanted), in_order(lesions, wanted)
    place = order.index(after)
    rest = order[place + 1 :] if wanted.state else [*order[place + 1 :], *order[: place + 1]]
    allowed = set(walked(lesions, wanted))
    if wanted.state is None:
        allowed = {position for position in allowed if lesions[position][1] is BoxState.PLAIN}
    assert listing.following(after) == next((position for position in rest if position in allowed), None)
    elsewhere = [position for position in rest if position in allowed and lesions[position][0] != lesions[after][0]]
    assert listing.following_elsewhere(after) == next(iter(elsewhere), None)


@given(lists, wishes)
def test_the_list_shows_what_is_chosen_and_the_lesion_asked_about(lesions: Lesions, wanted: WorklistFilter) -> None:
    listing = listing_of(lesions, wanted)
    shown_states = {wanted.state} if wanted.state else {BoxState.PLAIN}
    if wanted.listed is Listed.ALL:
        shown_states = set(STATES)
    current = len(lesions) - 1 if lesions else None
    expected = [
        position
        for position in in_order(lesions, wanted)
        if wanted.rule in (None, lesions[position][2]) and (lesions[position][1] in shown_states or position == current)
    ]
    assert listing.shown(current).tolist() == expected


def test_the_next_series_is_that_of_the_list_and_its_first_lesion_that_waits() -> None:
    plain, done = BoxState.PLAIN, BoxState.ACCEPTED
    lesions = [(1, plain), (1, plain), (2, done), (2, plain), (2, plain), (3, done), (4, plain), (4, plain)]
    listing = listing_of([(number, state, Rule.CROSS_SLICE) for number, state in lesions], WorklistFilter())
    assert [listing.neighbour_series(position, 1) for position in (0, 1, 2, 3, 4, 5, 6)] == [3, 3, 6, 6, 6, 6, None]
    assert [listing.neighbour_series(position, -1) for position in (1, 3, 4, 5, 7)] == [None, 0, 0, 3, 3]
    assert (listing.neighbour_series(None, 1), listing.neighbour_series(None, -1)) == (0, 6)


SERIES = {
    1: series(1, 12, "chest CT", "Thorax with contrast"),
    2: series(2, 340, "liver CT", "Abdomen"),
    3: series(3, 12, "liver CT", "Abdomen"),
}
LISTED = (
    record(1, 1, Rule.INTRA_PATIENT, {"lung": 0.91, "liver": 0.2}),
    record(2, 2, Rule.CROSS_DATASET, {"liver": 0.504}),
    commented(record(3, 3, Rule.CROSS_SLICE, {"lung": 0.3, "fused": 0.95}), "Cyst? See the MRI", "no, an artery"),
)
WISHES = {
    "nothing": ({}, [1, 2, 3]),
    "reason": ({"rule": Rule.CROSS_SLICE}, [3]),
    "surest expert": ({"expert": "lung"}, [1, 3]),
    "an expert that the list does not know": ({"expert": "kidney"}, []),
    "data set": ({"dataset": "liver CT"}, [2, 3]),
    "patient": ({"text": "000012"}, [1, 3]),
    "words of patient and description": ({"text": "000012 ABDOMEN"}, [3]),
    "a word that nothing has": ({"text": "knee"}, []),
    "least score, as it is written in the list": ({"least_score": 0.5}, [1, 2]),
    "greatest score": ({"greatest_score": 0.5}, [2, 3]),
    "a comment": ({"has_comment": True}, [3]),
    "a word of a comment": ({"text": "mri"}, [3]),
    "words of a patient and of two comments": ({"text": "000012 cyst artery"}, [3]),
    "a word of a comment and one that nothing has": ({"text": "cyst knee"}, []),
    "several": ({"dataset": "liver CT", "expert": "liver", "least_score": 0.4}, [2]),
}


@pytest.mark.parametrize("wish", WISHES)
def test_a_filter_leaves(wish: str) -> None:
    values, expected = WISHES[wish]
    outline, searched = outline_of(LISTED), {number: SearchedSeries.of(one) for number, one in SERIES.items()}
    assert outline.ids[fitting(outline, searched, WorklistFilter(**values))].tolist() == expected  # type: ignore[arg-type]


def test_what_is_written_during_the_review_is_found_at_once() -> None:
    listing = listing_of([(1, BoxState.ACCEPTED, Rule.CROSS_SLICE)] * 3, WorklistFilter(Listed.ALL, has_comment=True))
    assert listing.shown(None).tolist() == []
    listing.hear(2, "abutting the vein")
    assert listing.shown(None).tolist() == [1]
    assert (listing.following(None), listing.following(1)) == (1, None)
    listing.hear(2, "")
    assert listing.shown(None).tolist() == []


def test_only_what_leaves_lesions_out_narrows_a_list() -> None:
    assert not WorklistFilter(Listed.ALL, sorting=Sorting.SERIES).narrows
    assert WorklistFilter(text="thorax").narrows
    by_rule = WorklistFilter(rule=Rule.CROSS_SLICE)
    assert by_rule.only_rule is Rule.CROSS_SLICE
    assert replace(by_rule, dataset="liver CT").only_rule is None
