import pytest

from lens_engine.evaluation.report import MeasuredValue
from lens_engine.findings import Split
from lens_engine.jobs.results import EvaluateResult, TrainResult
from lens_napari.review.versions.learning import (
    FrozenLabels,
    LastTraining,
    LearningPlan,
    OutdatedList,
    gain_in_words,
    last_training_in_words,
)


def test_a_plan_tells_every_count_and_where_it_starts() -> None:
    counts = {"series": 4, "annotations": 9, "mined": 3, "accepted": 2, "unsure (ignored)": 1, "rejected": 5}
    assert LearningPlan(counts, "", "v1").in_words.splitlines() == [
        "4 series",
        "9 annotations",
        "+ 3 mined",
        "+ 2 accepted",
        "1 unsure (ignored)",
        "5 rejected",
        "Start from v1.",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (42.4, "took 42 s"), (300.0, "took 5 min"), (3 * 3600.0, "took 3.0 h")],
)
def test_the_last_training_is_told_in_a_readable_unit(seconds: float | None, words: str) -> None:
    assert words in last_training_in_words(seconds)
    assert bool(words) == bool(last_training_in_words(seconds))


def average(value: float) -> dict[str, MeasuredValue]:
    return {"IoBB": MeasuredValue(value=value, low=value - 0.1, high=value + 0.1, level=0.95)}


MEASURED = EvaluateResult(
    measurable=True,
    split=Split.TEST,
    series=9,
    patients=8,
    lesions=42,
    average_sensitivity={"v1": average(0.471), "v2": average(0.49)},
    difference={"v2": {"IoBB": MeasuredValue(value=0.02, low=-0.006, high=0.043, level=0.95)}},
)


def trained(evaluation: EvaluateResult | None) -> TrainResult:
    return TrainResult(
        model_version="v2", parent_version="v1", snapshot_id="abc", steps=9, promoted=False, evaluation=evaluation
    )


def test_the_gain_is_told_with_its_certainty_and_what_it_was_measured_on() -> None:
    words = gain_in_words(trained(MEASURED))
    assert "47.1 → 49.0 %, interval of the difference -0.6 to +4.3: not certain yet." in words
    assert "42 lesions in 9 complete series of 8 held-out patients" in words


def test_what_cannot_be_measured_says_what_to_do() -> None:
    unmeasured = EvaluateResult(measurable=False, split=Split.TEST, what_to_do="Complete 3 series.")
    assert gain_in_words(trained(unmeasured)) == "Not measurable yet. Complete 3 series."


@pytest.mark.parametrize(("is_apart", "words"), [(True, "stands in Models"), (False, "was not measured")])
def test_a_training_that_was_not_asked_to_measure_says_where_to_look(is_apart: bool, words: str) -> None:
    frozen = FrozenLabels("abc", {"series": 4, "annotations": 9})
    last = LastTraining(trained(None), 60.0, "gpu0", frozen, is_in_use=False, is_measured_apart=is_apart)
    assert words in last.in_words
    assert "Learned from 4 series, 9 annotations (snapshot abc)." in last.in_words
    assert last.expected_duration == "The last training took 60 s on gpu0."


@pytest.mark.parametrize(
    ("listed", "words", "action"),
    [
        (
            OutdatedList("v2", "v1", 5, 9),
            "v2 is in use and has not looked at 5 of 9 series. The list",
            "Detect and mine again",
        ),
        (OutdatedList("v2", "v1", 0, 9), "v2 is in use and has looked at all 9 series.", "Detect and mine again"),
        (OutdatedList("v1", None, 9, 9), "No scan was mined so far.", "Detect and mine"),
    ],
)
def test_a_list_of_another_version_is_told_with_what_to_do(listed: OutdatedList, words: str, action: str) -> None:
    assert words in listed.in_words
    assert listed.action == action
