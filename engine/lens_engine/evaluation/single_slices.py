"""FROC of 3D boxes against lesions that are known on one slice only, the P3D mode of the official script.

See algorithms 9.3.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import Overlap, overlaps
from lens_engine.errors import BoxError
from lens_engine.evaluation.froc import (
    HIT_THRESHOLD,
    Matches,
    VolumeHits,
    check_volumes,
    checked_predictions,
    checked_truth,
    hits_of_shares,
    pool,
    rule_name,
)

_IN_PLANE = (0, 1, 3, 4)


def match_single_slices(
    predictions: Mapping[str, NDArray[np.floating]],
    truths: Mapping[str, NDArray[np.floating]],
    overlap: Overlap = Overlap.IOU,
    threshold: float = HIT_THRESHOLD,
    is_strict: bool = False,
) -> Matches:
    """Compare 3D boxes with lesions of one slice: the box must cover the slice, and overlap enough in the plane.

    Parameters
    ----------
    predictions
        3D box and score of every prediction of each volume, (n, 7).
    truths
        True 3D boxes of each volume, exactly one slice high, (g, 6).
    overlap, threshold, is_strict
        Of the in-plane boxes; otherwise as in `froc.match`.

    Raises
    ------
    BoxError
        As `froc.match`, and if a true box covers more or less than one slice.
    """
    rule = rule_name("P3D", overlap, threshold, is_strict)
    check_volumes(predictions, truths)
    volumes = {}
    for name, values in truths.items():
        truth = _on_one_slice(name, checked_truth(name, values, 3))
        boxes, scores = checked_predictions(name, predictions.get(name), 7)
        with np.errstate(invalid="ignore"):
            shares = overlaps(boxes[:, _IN_PLANE], truth[:, _IN_PLANE], overlap)
            covers = (boxes[:, None, 2] <= truth[None, :, 2]) & (truth[None, :, 5] <= boxes[:, None, 5])
        volumes[name] = VolumeHits.where(scores, hits_of_shares(shares, threshold, is_strict) & covers)
    return pool(volumes, rule)


def _on_one_slice(name: str, truth: NDArray[np.float64]) -> NDArray[np.float64]:
    wrong = np.flatnonzero(truth[:, 5] - truth[:, 2] != 1)
    if wrong.size:
        raise BoxError(
            f"True box {truth[wrong[0]].tolist()} of {name} is {truth[wrong[0], 5] - truth[wrong[0], 2]:g} slices high",
            "Lesions known on exactly one slice are needed here",
            "Measure complete 3D boxes with froc.match",
        )
    return truth
