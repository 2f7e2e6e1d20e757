import math

import numpy as np
import pytest

from lens_engine.evaluation.agreement import MatchedPair, ReadTwice, agreement_of, found_lesions, match_lesions

ONE = [10.0, 10.0, 2.0, 20.0, 20.0, 6.0]
SHIFTED = [12.0, 10.0, 2.0, 22.0, 20.0, 6.0]
FAR = [40.0, 40.0, 10.0, 50.0, 50.0, 14.0]
NONE = np.zeros((0, 6))


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def boxes(*rows: list[float]) -> np.ndarray:
    return np.asarray(rows).reshape(-1, 6)


def test_each_box_is_matched_once_and_the_best_pair_first() -> None:
    (pair,) = match_lesions(boxes(SHIFTED, ONE), boxes(ONE))
    assert pair == MatchedPair(1, 0, 1.0)
    (pair,) = match_lesions(boxes(ONE), boxes(FAR, SHIFTED))
    assert (pair.first, pair.second, pair.iou) == (0, 1, pytest.approx(8 / 12))


def test_boxes_that_overlap_less_than_the_limit_are_two_lesions() -> None:
    barely = [15.5, 10.0, 2.0, 25.5, 20.0, 6.0]  # IoU 4.5 / 15.5 = 0.29
    assert match_lesions(boxes(ONE), boxes(barely)) == ()
    assert len(match_lesions(boxes(ONE), boxes(barely), 0.29)) == 1


def test_the_measure_does_not_depend_on_who_is_called_first() -> None:
    pairs = match_lesions(boxes(ONE, FAR), boxes(SHIFTED))
    turned = match_lesions(boxes(SHIFTED), boxes(ONE, FAR))
    assert {(pair.first, pair.second, pair.iou) for pair in pairs} == {
        (pair.second, pair.first, pair.iou) for pair in turned
    }


def test_figures_add_up_over_series() -> None:
    figures = agreement_of(
        [ReadTwice("a", boxes(ONE, FAR), boxes(SHIFTED)), ReadTwice("b", boxes(FAR), boxes(FAR))], generator()
    )
    assert (figures.series, figures.first, figures.second, figures.matched) == (2, 3, 2, 2)
    assert (figures.only_first, figures.only_second) == (1, 0)
    assert figures.positive_agreement.value == pytest.approx(4 / 5)
    assert figures.mean_iou == pytest.approx((8 / 12 + 1) / 2)
    assert figures.positive_agreement.low == pytest.approx(2 / 3)  # the first patient twice
    assert figures.positive_agreement.high == 1.0


def test_intervals_are_over_patients_not_series() -> None:
    series = [ReadTwice("a", boxes(ONE), boxes(ONE)), ReadTwice("a", boxes(FAR), NONE)]
    interval = agreement_of(series, generator()).positive_agreement
    assert interval.low == interval.high == interval.value


def test_of_normal_scans_no_positive_agreement_is_said() -> None:
    figures = agreement_of([ReadTwice("a", NONE, NONE)], generator())
    assert math.isnan(figures.positive_agreement.value)
    assert math.isnan(figures.mean_iou)
    assert agreement_of([], generator()).series == 0


def test_a_reader_finds_the_true_lesions_that_he_marked() -> None:
    assert found_lesions(boxes(ONE, FAR), boxes(SHIFTED)) == 1
    assert found_lesions(boxes(ONE, FAR), NONE) == 0
