"""Dice of pasted boxes."""

import numpy as np
import pytest

from lens_engine.errors import BoxError
from lens_engine.evaluation.dice import dice, pasted

SHAPE = (4, 5, 6)


def test_boxes_are_pasted_as_their_union_in_canonical_order() -> None:
    mask = pasted(np.asarray([[0, 1, 2, 3, 4, 4], [1, 1, 2, 3, 4, 4]], dtype=float), SHAPE)
    expected = np.zeros(SHAPE, dtype=bool)
    expected[2:4, 1:4, 0:3] = True
    assert np.array_equal(mask, expected)


def test_a_voxel_is_in_a_box_when_its_centre_is() -> None:
    mask = pasted(np.asarray([[0.4, 0.6, -3, 2.4, 2.6, 99]]), SHAPE)
    assert np.flatnonzero(mask.any(axis=(0, 1))).tolist() == [0, 1]
    assert np.flatnonzero(mask.any(axis=(0, 2))).tolist() == [1, 2]
    assert mask.any(axis=(1, 2)).all()


def test_dice_of_known_masks() -> None:
    one, half, none = (pasted(np.asarray(rows), SHAPE) for rows in ([[0, 0, 0, 4, 4, 4]], [[0, 0, 0, 2, 4, 4]], []))
    assert dice(one, one) == 1
    assert dice(half, one) == pytest.approx(2 / 3)
    assert dice(none, one) == 0
    assert np.isnan(dice(none, none))


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(BoxError, match="shapes"):
        dice(np.zeros((1, 2, 3), dtype=bool), np.zeros((3, 2, 1), dtype=bool))
