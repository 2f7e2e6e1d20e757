"""Key slices: what counts as an image, which boxes lie on it, and whose average is taken."""

import numpy as np
import pytest

from lens_engine.evaluation.froc import FrocCurve
from lens_engine.evaluation.key_slices import (
    MELD_RATES,
    MULAN_RATES,
    WANG_RATES,
    KeySliceRates,
    boxes_on_slice,
    image_name,
    match_key_slices,
    truth_of_key_slices,
)
from lens_engine.findings import FUSED, SliceBox
from lens_engine.proposals import Proposals

SQUARE = np.asarray([[0, 0, 10, 10]])
HALF = np.asarray([[0, 0, 10, 5, 0.9]])


def test_half_of_a_lesion_is_a_hit_unless_the_rule_is_strict() -> None:
    assert match_key_slices({"a": HALF}, {"a": SQUARE}).curve().sensitivity_at((0,)).tolist() == [1]
    strict = match_key_slices({"a": HALF}, {"a": SQUARE}, is_strict=True)
    assert strict.curve().sensitivity_at((0, 1)).tolist() == [0, 0]
    assert strict.rule == "2D IoU > 0.5"


def test_images_without_a_box_count() -> None:
    curve = match_key_slices({"b": HALF}, {"a": SQUARE, "b": np.zeros((0, 4))}).curve()
    assert curve.false_positives_per_volume.tolist() == [0.5]
    assert curve.volumes == 2


def test_boxes_of_one_slice_are_one_image() -> None:
    drawn = {"v": [SliceBox(3, (0, 0, 1, 1)), SliceBox(3, (5, 5, 9, 9)), SliceBox(7, (0, 0, 2, 2))], "w": []}
    truth = truth_of_key_slices(drawn)
    assert {name: len(boxes) for name, boxes in truth.items()} == {image_name("v", 3): 2, image_name("v", 7): 1}


def test_the_boxes_of_the_nearest_grid_slice_are_taken() -> None:
    proposals = Proposals(
        experts=("lung", FUSED),
        grid_spacing_mm=2.0,
        slice_spacing_mm=5.0,
        expert_index=np.asarray([0, 0, 1, 1], dtype=np.int16),
        grid_index=np.asarray([2, 3, 2, 3], dtype=np.int32),
        boxes=np.asarray([[i, 0, i + 1, 1] for i in range(4)], dtype=np.float32),
        scores=np.asarray([0.5, 0.25, 0.75, 1], dtype=np.float32),
        embeddings=np.zeros((2, 2), dtype=np.float32),
    )
    assert boxes_on_slice(proposals, "lung", 1).tolist() == [[1, 0, 2, 1, 0.25]]  # 5 mm down is between grid 2 and 3
    assert boxes_on_slice(proposals, FUSED, 1).tolist() == [[3, 0, 4, 1, 1]]
    assert boxes_on_slice(proposals, FUSED, 0).shape == (0, 5)


PRINTED = {  # algorithms R8, R11: sensitivity in %, and the average where one is printed
    "MELD": (MELD_RATES, (77.8, 84.8, 89.0, 91.8), 85.9),
    "MULAN without tags": (MELD_RATES, (76.1, 82.5, 87.5, 90.9), 84.3),
    "MULAN's choice of models": (MULAN_RATES, (76.1, 82.5, 87.5, 90.9, 93.0, 95.0), 84.3),
    "Wang": (WANG_RATES, (66.02, 76.87, 84.61, 89.15, 92.00), 81.73),
}


@pytest.mark.parametrize("row", PRINTED)
def test_the_average_is_that_of_the_paper(row: str) -> None:
    rates, percent, average = PRINTED[row]
    curve = FrocCurve(
        np.asarray(rates.reported), np.asarray(percent) / 100, np.zeros(len(percent)), 4817, 4912, "2D IoU ≥ 0.5"
    )
    assert 100 * rates.average(curve) == pytest.approx(average, abs=0.06)


def test_an_average_of_one_rate_is_the_sensitivity_there() -> None:
    curve = match_key_slices({"a": HALF}, {"a": SQUARE}).curve()
    assert KeySliceRates((1.0,), (1.0,)).average(curve) == 1
