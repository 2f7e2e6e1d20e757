import pytest

from lens_napari.review.learning import LearningPlan, last_training_in_words


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
