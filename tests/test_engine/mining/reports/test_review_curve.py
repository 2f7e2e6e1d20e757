"""Lesions found after so many questions, on queues that can be counted by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.findings import Finding, slices_of_box
from lens_engine.mining.reports.review_curve import (
    Question,
    ReviewCurve,
    SeriesTruth,
    review_curve,
    share_found,
    share_found_difference,
    share_found_interval,
)
from lens_engine.mining.reports.review_figure import figure


def lesion(x: float) -> Finding:
    box = (x, 50.0, 4.0, x + 20, 70.0, 9.0)
    return Finding("truth", box, slices_of_box(box), 1.0)


TRUTH = {
    "a": SeriesTruth([lesion(0), lesion(100)], annotations=[lesion(100)]),
    "b": SeriesTruth([lesion(0), lesion(50)]),
}


def asked(*places: tuple[str, float]) -> list[Question]:
    return [Question(series, f"patient {series}", lesion(x)) for series, x in places]


def curve_of(*new: int, patients: str = "") -> ReviewCurve:
    return ReviewCurve(np.asarray(new, dtype=np.intp), tuple(patients or "p" * len(new)))


def test_a_lesion_counts_once_and_only_where_nobody_had_marked_it() -> None:
    curve = review_curve(asked(("a", 100), ("a", 0), ("b", 200), ("b", 50), ("b", 50), ("b", 0)), TRUTH)
    assert curve.found().tolist() == [0, 0, 1, 1, 2, 2, 3]


def test_a_lesion_of_another_series_is_not_found() -> None:
    assert review_curve(asked(("a", 50)), TRUTH).found().tolist() == [0, 0]


def test_the_share_is_of_what_the_whole_queue_finds() -> None:
    curve = curve_of(1, 1, 0, 0, 0, 1, 0, 0, 0, 1)
    assert [share_found([curve], share) for share in (0, 0.1, 0.3, 0.59, 1)] == [0, 0.25, 0.5, 0.5, 1]


def test_several_orders_are_averaged() -> None:
    assert share_found([curve_of(1, 0), curve_of(0, 1)], 0.5) == 0.5


def test_a_queue_without_a_lesion_has_no_share() -> None:
    assert np.isnan(share_found([curve_of(0, 0)], 0.5))


def test_equal_patients_leave_no_doubt() -> None:
    first, second = curve_of(1, 0, 1, 0, patients="aabb"), curve_of(0, 1, 0, 1, patients="aabb")
    interval = share_found_interval([first], 1.0, np.random.default_rng(0))
    assert (interval.value, interval.low, interval.high) == (1, 1, 1)
    difference = share_found_difference([second], [first], 0.25, np.random.default_rng(0), rounds=50)
    assert difference.value == pytest.approx(0.5)


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc")), min_size=1, max_size=20), st.integers(0, 9))
def test_the_interval_is_a_share_and_the_curve_never_falls(rows: list[tuple[int, str]], seed: int) -> None:
    curve = ReviewCurve(np.asarray([new for new, _ in rows]), tuple(patient for _, patient in rows))
    assert (np.diff(curve.found()) >= 0).all()
    interval = share_found_interval([curve], 0.3, np.random.default_rng(seed), rounds=20)
    if curve.found()[-1] > 0:
        assert 0 <= interval.low <= interval.high <= 1


def test_the_picture_has_a_line_for_each_order(tmp_path: Path) -> None:
    drawing = figure({"ours": [curve_of(1, 0)], "random": [curve_of(1, 0), curve_of(0, 1)]}, "a title")
    (axes,) = drawing.axes
    lines = {str(line.get_label()): np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()}
    assert lines == {"ours": [0, 1, 1], "random": [0, 0.5, 1]}
    drawing.savefig(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 0
