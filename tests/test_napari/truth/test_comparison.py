"""What of the boxes of a series is true, false and missed, as the evaluation counts it."""

import numpy as np
import pytest

from lens_engine.evaluation.froc import match, prediction_rows
from lens_engine.evaluation.outcomes import Outcome, outcomes_of
from lens_engine.findings import FUSED, Box3D, Finding, slices_of_box
from lens_engine.store.labels.complete_truth import TrueLesion
from lens_napari.review.box_table import ANNOTATIONS, CANDIDATES, BoxRow, BoxTable, Shown, resolve
from lens_napari.truth.comparison import NOTHING_SHOWN, RULE, RULE_IN_WORDS, Comparison

LESIONS: tuple[Box3D, ...] = ((0, 0, 0, 10, 10, 4), (20, 20, 2, 30, 30, 6), (40, 40, 2, 50, 50, 3))
ELSEWHERE: Box3D = (60, 60, 2, 70, 70, 4)
GROUPS = ("lung", FUSED, ANNOTATIONS, CANDIDATES)
BOTH = {"lung": 0.3, FUSED: 0.3}


def finding(expert: str, box: Box3D, score: float) -> Finding:
    return Finding(expert, box, slices_of_box(box), score)


FINDINGS = (
    finding(FUSED, ELSEWHERE, 0.9),
    finding("lung", LESIONS[1], 0.6),
    finding(FUSED, LESIONS[0], 0.8),
    finding(FUSED, LESIONS[0], 0.7),
    finding("lung", ELSEWHERE, 0.2),
    finding(FUSED, LESIONS[1], 0.25),
)


@pytest.fixture
def comparison() -> Comparison:
    return Comparison(FINDINGS, [TrueLesion(box, slices_of_box(box)) for box in LESIONS])


def outcomes(comparison: Comparison, shown: Shown, slice_index: int) -> list[tuple[str, float, Outcome | None]]:
    rows = [BoxRow(one.expert, one.slices, one.score) for one in FINDINGS]
    rows += [BoxRow(ANNOTATIONS, slices_of_box(LESIONS[1]), 1.0)]
    drawn = resolve(BoxTable.from_rows(GROUPS, rows), shown, slice_index, {})
    marked = comparison.of(shown).marked(drawn, slice_index)
    return [(group, round(one.score, 2), one.outcome) for group in GROUPS for one in marked[group]]


def test_counts_are_those_of_the_evaluation(comparison: Comparison) -> None:
    compared = comparison.of(Shown(thresholds=BOTH))
    assert compared.lines == ("lung at 0.30: 1 of 3 found, 0 false", "fused at 0.30: 1 of 3 found, 1 false")
    rows, truth = prediction_rows(FINDINGS, FUSED), np.asarray(LESIONS, dtype=float)
    official = outcomes_of(match({"a": rows}, {"a": truth}), "a", rows, truth, 0.3)
    assert (len(official.found), len(official.false_positives)) == (1, 1)


def test_a_lower_threshold_finds_more(comparison: Comparison) -> None:
    lines = comparison.of(Shown(thresholds={"lung": 0.1, FUSED: 0.25})).lines
    assert lines == ("lung at 0.10: 1 of 3 found, 1 false", "fused at 0.25: 2 of 3 found, 1 false")


def test_boxes_are_true_or_false_and_what_nothing_shown_has_found_is_missed(comparison: Comparison) -> None:
    seen = outcomes(comparison, Shown(thresholds=BOTH), 2)
    assert seen == [
        ("lung", 0.6, Outcome.HIT),
        (FUSED, 0.9, Outcome.FALSE_POSITIVE),
        (FUSED, 0.8, Outcome.HIT),
        (FUSED, 0.7, Outcome.HIT),
        (ANNOTATIONS, 1.0, None),
        (ANNOTATIONS, 1.0, Outcome.MISSED),
    ]


def test_an_expert_alone_is_compared_alone(comparison: Comparison) -> None:
    shown = Shown(thresholds=BOTH, alone="lung")
    assert comparison.of(shown).lines == ("lung at 0.30: 1 of 3 found, 0 false",)
    assert sum(outcome is Outcome.MISSED for *_, outcome in outcomes(comparison, shown, 2)) == 2


def test_where_no_expert_is_shown_nothing_is_missed(comparison: Comparison) -> None:
    compared = comparison.of(Shown(hidden=frozenset(BOTH), thresholds=BOTH))
    assert compared.lines == (NOTHING_SHOWN,)
    assert not compared.missed


def test_an_expert_without_findings_misses_everything() -> None:
    lesions = [TrueLesion(box, slices_of_box(box)) for box in LESIONS]
    assert Comparison((), lesions).of(Shown(thresholds={FUSED: 0.3})).lines == ("fused at 0.30: 0 of 3 found, 0 false",)


def test_on_a_normal_scan_every_box_is_false() -> None:
    compared = Comparison(FINDINGS, ()).of(Shown(thresholds={FUSED: 0.3}))
    assert compared.lines == ("fused at 0.30: no lesion is known, 3 false",)
    assert not compared.is_true.any()


def test_the_rule_is_named_and_said_in_words() -> None:
    assert RULE == "3D IoBB ≥ 0.3"
    assert "at least 30%" in RULE_IN_WORDS
