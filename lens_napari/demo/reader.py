"""A simulated reader for the demo: it knows the truth of the phantoms and presses the keys a radiologist would."""

from collections.abc import Mapping

import numpy as np

from lens_engine.boxes import Overlap, centres, overlaps
from lens_engine.findings import Box3D, Verdict
from lens_engine.store.candidates import CandidateRecord

ACCEPT_IOU = 0.2
"""3D IoU with a true lesion from which a box is good enough to be accepted; true boxes are tight, mined ones padded."""


class SimulatedReader:
    """Says what is true.

    Parameters
    ----------
    truth
        True 3D boxes by series name.
    """

    def __init__(self, truth: Mapping[str, tuple[Box3D, ...]]) -> None:
        self._truth = {name: np.asarray(boxes, dtype=np.float64).reshape(-1, 6) for name, boxes in truth.items()}

    def verdict(self, series_name: str, asked: CandidateRecord) -> Verdict:
        """Return accepted for a box on a lesion, unsure for one that only touches its middle, rejected otherwise."""
        true_boxes = self._truth[series_name]
        box = np.asarray([asked.candidate.finding.box], dtype=np.float64)
        if len(true_boxes) == 0:
            return Verdict.REJECTED
        if overlaps(box, true_boxes, Overlap.IOU).max() >= ACCEPT_IOU:
            return Verdict.ACCEPTED
        middle = centres(true_boxes)
        is_inside = ((middle >= box[:, :3]) & (middle < box[:, 3:])).all(axis=1)
        return Verdict.UNSURE if is_inside.any() else Verdict.REJECTED
