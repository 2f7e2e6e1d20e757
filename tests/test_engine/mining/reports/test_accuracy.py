"""Precision and recall of rules where the truth is known, on situations that can be drawn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measures.mining_cases import Seen, annotation, series

from lens_engine.findings import Finding, slices_of_box
from lens_engine.mining.calibration import CalibratedLimit
from lens_engine.mining.candidates import mine
from lens_engine.mining.reports.accuracy import (
    SETTLED,
    Accuracy,
    RuleAccuracy,
    SeriesOutcome,
    found_by_label_rule,
    found_by_reason,
    measure_rules,
)
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.strategies.lens import LensSettings, mine_lens


def lesion(x: float, slices: range) -> Finding:
    box = (x, 50.0, float(slices[0]), x + 20, 70.0, float(slices[-1] + 1))
    return Finding("truth", box, slices_of_box(box), 1.0)


def measured(
    found: list[Finding], truth: list[Finding], marked: list[Finding] | None = None, name: str = SETTLED
) -> RuleAccuracy:
    (accuracy,) = measure_rules([SeriesOutcome({name: found}, truth, marked or [])])
    return accuracy


TRUE = lesion(0, range(4, 9))

LESIONS = {
    "found": ([TRUE], [TRUE], Accuracy(1, 1, 1, 1)),
    "found in two pieces": ([lesion(0, range(4, 6)), lesion(0, range(6, 9))], [TRUE], Accuracy(2, 2, 1, 1)),
    "missed": ([], [TRUE], Accuracy(0, 0, 1, 0)),
    "not there": ([lesion(100, range(4, 9))], [TRUE], Accuracy(1, 0, 1, 0)),
    "beside it": ([lesion(11, range(4, 9))], [TRUE], Accuracy(1, 0, 1, 0)),
    "one box over two": ([TRUE], [lesion(0, range(4, 7)), lesion(0, range(7, 9))], Accuracy(1, 1, 2, 2)),
    "nothing to find": ([], [], Accuracy()),
}


@pytest.mark.parametrize("name", LESIONS)
def test_lesions_are_right_or_missed_as_drawn(name: str) -> None:
    found, truth, expected = LESIONS[name]
    assert measured(found, truth).lesions == expected


def test_shares_are_unknown_where_there_is_nothing_to_share() -> None:
    assert (Accuracy().precision, Accuracy().recall) == (None, None)
    assert (Accuracy(4, 3, 5, 2).precision, Accuracy(4, 3, 5, 2).recall) == (0.75, 0.4)


def test_boxes_are_measured_slice_by_slice() -> None:
    longer, aside = lesion(0, range(6, 11)), lesion(7, range(4, 9))
    assert measured([longer], [TRUE]).boxes == Accuracy(5, 3, 5, 3)
    assert measured([aside], [TRUE]).boxes == Accuracy(5, 0, 5, 0)
    assert measured([aside], [TRUE]).lesions == Accuracy(1, 1, 1, 1)


@pytest.mark.parametrize("name", ["cross-slice", "propagation"])
def test_what_was_marked_is_not_wanted_but_of_continuations(name: str) -> None:
    mark, other = lesion(0, range(6, 7)), lesion(100, range(4, 9))
    assert measured([TRUE], [TRUE, other], [mark]).lesions == Accuracy(1, 1, 1, 0)
    continued = measured([TRUE], [TRUE, other], [mark], name)
    assert continued.lesions == Accuracy(1, 1, 1, 1)
    assert continued.boxes == Accuracy(5, 5, 9, 4)


def test_series_are_added_up_and_names_are_kept_apart() -> None:
    one = SeriesOutcome({"a": [TRUE], "b": []}, [TRUE])
    other = SeriesOutcome({"b": [TRUE]}, [TRUE, lesion(100, range(3))])
    first, second = measure_rules([one, other])
    assert (first.name, first.lesions) == ("a", Accuracy(1, 1, 3, 1))
    assert (second.name, second.lesions) == ("b", Accuracy(1, 1, 3, 1))
    assert measure_rules([]) == ()


def test_a_box_without_cross_sections_stands_for_itself() -> None:
    bare = Finding("truth", TRUE.box, (), 1.0)
    assert measured([bare], [bare]).boxes == Accuracy(5, 5, 5, 5)


def test_candidates_and_labels_are_sorted_by_rule() -> None:
    before = series([], (annotation(7, 0, 6, look=0),), number=1)
    seen = [
        Seen(200, range(4, 9), {"universal": 0.3, "lung": 0.9}, look=3),
        Seen(300, range(4, 9), {"lung": 0.9}, look=90),
    ]
    after = series(seen, number=2)
    candidates = mine([before, after], MiningSettings(), CalibratedLimit(0.15, 1, True, "")).candidates
    by_reason = found_by_reason(candidates)
    assert {name: len(found) for name, found in by_reason.items()} == {
        "cross-slice": 0,
        "intra-patient": 1,
        "cross-dataset": 2,
    }
    by_rule = found_by_label_rule(mine_lens([before, after], LensSettings())[1])
    assert {name: len(found) for name, found in by_rule.items()} == {"intra-patient": 1, "cross-dataset": 1}
    truth = [lesion(200, range(4, 9)), lesion(400, range(4, 9))]
    matched, *_ = (row for row in measure_rules([SeriesOutcome(by_reason, truth)]) if row.name == "intra-patient")
    assert (matched.lesions.precision, matched.lesions.recall) == (1, 0.5)


places = st.lists(
    st.builds(
        lesion,
        st.integers(0, 6).map(lambda n: 10.0 * n),
        st.builds(lambda first, length: range(first, first + length), st.integers(0, 8), st.integers(1, 6)),
    ),
    max_size=5,
)


@given(places, places)
def test_the_truth_finds_itself_and_no_share_is_beyond_one(found: list[Finding], truth: list[Finding]) -> None:
    for part in (measured(found, truth).lesions, measured(found, truth).boxes):
        assert 0 <= part.right <= part.found
        assert 0 <= part.reached <= part.wanted
    perfect = measured(truth, truth)
    assert perfect.lesions == Accuracy(*[len(truth)] * 4)
    assert perfect.boxes.found == perfect.boxes.right == perfect.boxes.wanted == perfect.boxes.reached
