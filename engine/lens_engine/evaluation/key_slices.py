"""FROC on key slices: 2D boxes against those that radiologists drew, per image instead of per volume (algorithms 9.2).

An image is one key slice. The official measurement takes all key slices of DeepLesion's test patients without the
possibly noisy lesions: 4,817 images with 4,912 lesions. Images without a box count like the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import Overlap
from lens_engine.evaluation.froc import FrocCurve, Matches, match
from lens_engine.findings import SliceBox
from lens_engine.proposals import Proposals
from lens_engine.stacking import nearest_grid_index

KEY_SLICE_IOU = 0.5


@dataclass(frozen=True, slots=True)
class KeySliceRates:
    """False positives per image at which a paper reports, and over which it averages.

    Attributes
    ----------
    reported
        Columns of its table.
    averaged
        Those of them that its average is taken over.
    """

    reported: tuple[float, ...]
    averaged: tuple[float, ...]

    def average(self, curve: FrocCurve) -> float:
        """Return the mean sensitivity as the paper takes it."""
        return float(curve.sensitivity_at(self.averaged).mean())


MELD_RATES = KeySliceRates((0.5, 1.0, 2.0, 4.0), (0.5, 1.0, 2.0, 4.0))
WANG_RATES = KeySliceRates((0.5, 1.0, 2.0, 4.0, 8.0), (0.5, 1.0, 2.0, 4.0, 8.0))
MULAN_RATES = KeySliceRates((0.5, 1.0, 2.0, 4.0, 8.0, 16.0), (0.5, 1.0, 2.0, 4.0))
"""Six columns, of which the first four choose its model (algorithms 11, row 48)."""


def match_key_slices(
    predictions: Mapping[str, NDArray[np.floating]],
    truths: Mapping[str, NDArray[np.floating]],
    threshold: float = KEY_SLICE_IOU,
    is_strict: bool = False,
) -> Matches:
    """Compare 2D boxes with those of key slices by IoU; everything else is as in `froc.match`.

    Parameters
    ----------
    predictions
        Box and score of every prediction of each image, (n, 5).
    truths
        True boxes of each image, (g, 4); see `truth_of_key_slices`.
    is_strict
        Whether an IoU of exactly `threshold` is no hit, as Wang et al. have it.
    """
    return match(predictions, truths, Overlap.IOU, threshold, dimensions=2, is_strict=is_strict)


def truth_of_key_slices(drawn: Mapping[str, Sequence[SliceBox]]) -> dict[str, NDArray[np.float64]]:
    """Return one entry (g, 4) for each slice that was drawn on, by the names of `image_name`.

    Parameters
    ----------
    drawn
        The boxes of the key slices of each case.
    """
    rows: dict[str, list[tuple[float, ...]]] = {}
    for case, boxes in drawn.items():
        for item in boxes:
            rows.setdefault(image_name(case, item.slice_index), []).append(item.box)
    return {name: np.asarray(found, dtype=np.float64) for name, found in rows.items()}


def image_name(case: str, slice_index: int) -> str:
    """Return the name of one slice of a case as an image of its own."""
    return f"{case} slice {slice_index}"


def boxes_on_slice(proposals: Proposals, expert: str, slice_index: int) -> NDArray[np.float64]:
    """Return the 2D boxes of an expert (or of the fusion) on one slice of the series as predictions, (n, 5).

    They are those of the nearest grid slice, before any stacking.
    """
    own = proposals.of(expert)
    rows = own.grid_index == nearest_grid_index(slice_index, own.grid_spacing_mm, own.slice_spacing_mm)
    return np.column_stack([own.boxes[rows], own.scores[rows]]).astype(np.float64)
