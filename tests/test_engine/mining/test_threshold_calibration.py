"""How sure an expert must be is learned from scans in which its type is labelled completely."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.measures.mining_cases import Seen, annotation, series

from lens_engine.findings import Scope
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.rules.cross_dataset import uncertain_findings
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.threshold_calibration import SCORES, calibrate_thresholds

TWO_FALSE = MiningSettings(max_false_per_series=4.0)
"""Each of two experts may have two false candidates a scan."""


def scan(number: int, false: list[float], lesion: float = 0.97, dataset: str = "lung") -> SeriesMiningInput:
    """Return a labelled scan with one lesion and places beside it that its expert sees, too."""
    places = [Seen(100 + 50 * row, range(3, 6), {dataset: score}) for row, score in enumerate(false)]
    seen = [Seen(0, range(3, 6), {dataset: lesion}), *places]
    marks = (annotation(number, 0, 4),)
    return replace(series(seen, marks, number, number, Scope.SINGLE_TYPE), dataset=dataset)


def threshold_of(expert: str, *scans: SeriesMiningInput, rules: MiningSettings | None = None) -> float:
    return calibrate_thresholds(scans, rules).values[expert]


def test_an_expert_gets_the_lowest_threshold_within_its_share_of_the_false_candidates() -> None:
    scans = [scan(number, [0.78, 0.62, 0.61]) for number in range(1, 5)]
    result = calibrate_thresholds(scans)
    lung = next(row for row in result.experts if row.expert == "lung")
    # Half of 3 a scan is 6 in four scans; above 0.65 there are 4, above 0.6 all 12.
    assert (lung.value, lung.series, lung.lesions, lung.found, lung.false) == (0.65, 4, 4, 4, 4)
    assert "lung must be surer than 0.65: in 4 labelled scans it finds 4 of 4 lesions there, and 1.0" in result.note


def test_few_scans_make_careful() -> None:
    few, many = ([scan(number, [0.78]) for number in range(1, count)] for count in (3, 11))
    rules = MiningSettings(max_false_per_series=2.2)
    assert threshold_of("lung", *few, rules=rules) > threshold_of("lung", *many, rules=rules)


def test_an_expert_without_labelled_scans_keeps_the_published_threshold_and_says_so() -> None:
    result = calibrate_thresholds([scan(1, [0.9, 0.9]), scan(2, [0.9, 0.9]), scan(3, [], dataset="liver")])
    liver = next(row for row in result.experts if row.expert == "liver")
    assert (liver.value, liver.is_calibrated) == (0.5, False)
    assert "liver must be surer than the published 0.5: there are 1 scans" in result.note


@pytest.mark.parametrize(
    "change",
    [{"scope": Scope.UNIVERSAL}, {"annotations": ()}, {"dataset": "bone"}],
    ids=["partly labelled", "not labelled", "no expert of that type"],
)
def test_scans_that_are_not_completely_labelled_teach_no_threshold(change: dict[str, object]) -> None:
    scans = [replace(scan(number, [0.9] * 5), **change) for number in range(1, 6)]  # type: ignore[arg-type] # one field
    assert set(calibrate_thresholds(scans).values.values()) == {0.5}


def test_an_expert_that_is_sure_of_everything_is_asked_as_little_as_possible() -> None:
    assert threshold_of("lung", *(scan(number, [1.0] * 6) for number in range(1, 4))) == SCORES[-1]


def test_no_more_than_the_set_number_of_scans_is_compared() -> None:
    scans = [scan(number, []) for number in range(1, 6)]
    (row, _) = calibrate_thresholds(scans, MiningSettings(calibration_patients=3)).experts
    assert row.series == 3


def test_each_expert_is_asked_with_its_own_threshold() -> None:
    places = series([Seen(0, range(3), {"lung": 0.8}), Seen(100, range(3), {"liver": 0.8})])
    rules = MiningSettings(uncertain_min_scores={"lung": 0.9})
    assert [finding.expert for finding in uncertain_findings(places, [], rules)] == ["liver"]


@settings(deadline=None, max_examples=15)  # each tries every threshold on up to six scans
@given(st.lists(st.lists(st.floats(0.1, 1), max_size=5), min_size=2, max_size=3), st.floats(0.1, 1))
def test_a_further_false_place_never_lowers_the_threshold(false: list[list[float]], further: float) -> None:
    before = threshold_of("lung", *(scan(row, own) for row, own in enumerate(false)), rules=TWO_FALSE)
    false[0] = [*false[0], further]
    after = threshold_of("lung", *(scan(row, own) for row, own in enumerate(false)), rules=TWO_FALSE)
    assert after >= before
