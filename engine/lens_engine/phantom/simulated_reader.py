"""A simulated reader: knows the truth of the phantoms and says what a radiologist would, with errors at a stated rate.

True boxes are tight; the boxes that a reader is asked about have a margin in plane, because detectors learn from RECIST
marks with one (algorithms 1.5). The reader compares like with like: true boxes get the same margin first.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import Overlap, as_boxes, centres, intersections, overlaps, pad_in_plane
from lens_engine.errors import ConfigError
from lens_engine.findings import Box3D, Verdict
from lens_engine.phantom.write_tables import BOX_MARGIN_PIXELS

ACCEPT_IOU = 0.5
"""3D IoU with a true lesion from which a box is accepted as it is."""
ADJUST_IOU = 0.1
"""From here to `ACCEPT_IOU` the reader corrects the box; below it is not clear which lesion is meant."""
SAME_PLACE_IOU = 0.3
"""A box is about a lesion from this 3D IoU on, or if the centre of either lies in the other, as for decisions."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the reader says about one box.

    Attributes
    ----------
    verdict
        Accepted, adjusted, unsure or rejected.
    box
        The box asked about; of an adjusted lesion the corrected one.
    """

    verdict: Verdict
    box: Box3D


class SimulatedReader:
    """Says what is true, except for a share of wrong answers.

    Whether an answer is wrong depends on the seed, the series and the box alone: the same question gets the same answer
    in any order, and who errs at a low rate errs at a higher one, too.

    Parameters
    ----------
    truth
        Tight 3D boxes of all true lesions by series name.
    error_rate
        Share of wrong answers, in [0, 1]: a lesion is rejected or, where nobody asked about it, overlooked; anything
        else is accepted as it is.
    seed
        Chooses which answers are wrong.
    margin_voxels
        In-plane margin of the boxes that are asked about.

    Raises
    ------
    ConfigError
        If the error rate is no share.
    BoxError
        If a true box is none.
    """

    def __init__(
        self,
        truth: Mapping[str, Iterable[Box3D]],
        error_rate: float = 0.0,
        seed: int = 0,
        margin_voxels: float = BOX_MARGIN_PIXELS,
    ) -> None:
        if not 0 <= error_rate <= 1:
            raise ConfigError(
                f"A simulated reader with an error rate of {error_rate} was asked for",
                "A share from 0 to 1 is needed",
                "Give the share of answers that are to be wrong",
            )
        self._tight = {name: as_boxes(list(boxes), 3) for name, boxes in truth.items()}
        self._true = {name: pad_in_plane(boxes, margin_voxels) for name, boxes in self._tight.items()}
        self._error_rate = error_rate
        self._seed = seed

    def answer(self, series_name: str, box: Box3D) -> Answer:
        """Return what the reader says about a box.

        Accepted for a box on a lesion, adjusted for one that is about a lesion and lies badly, unsure for one that only
        touches a lesion or is far too large, rejected otherwise.
        """
        right = self._right_answer(series_name, box)
        if not self._is_wrong(series_name, box):
            return right
        is_lesion = right.verdict in (Verdict.ACCEPTED, Verdict.ADJUSTED)
        return Answer(Verdict.REJECTED if is_lesion else Verdict.ACCEPTED, box)

    def missed(self, series_name: str, asked: Iterable[Box3D]) -> tuple[Box3D, ...]:
        """Return the boxes to add: lesions that none of `asked`, or of what was known before, is about.

        They have the margin of the boxes asked about, and may reach beyond the border of the image by it.
        """
        true_boxes = self._true[series_name]
        is_asked = _is_about(as_boxes(list(asked), 3), true_boxes).any(axis=0)
        added = [_as_box(row) for row in true_boxes[~is_asked]]
        return tuple(box for box in added if not self._is_wrong(series_name, box))

    def _right_answer(self, series_name: str, box: Box3D) -> Answer:
        asked, true_boxes = as_boxes([box], 3), self._true[series_name]
        ious = np.where(_is_about(asked, true_boxes), overlaps(asked, true_boxes, Overlap.IOU), 0.0)[0]
        best = int(np.argmax(ious)) if ious.size else -1
        if best >= 0 and ious[best] >= ACCEPT_IOU:
            return Answer(Verdict.ACCEPTED, box)
        if best >= 0 and ious[best] >= ADJUST_IOU:
            return Answer(Verdict.ADJUSTED, _as_box(true_boxes[best]))
        touches = (intersections(asked, self._tight[series_name]) > 0).any()
        return Answer(Verdict.UNSURE if touches else Verdict.REJECTED, box)

    def _is_wrong(self, series_name: str, box: Box3D) -> bool:
        """Return whether the reader errs about a box: a number in [0, 1) drawn for it lies below the rate."""
        question = repr((self._seed, series_name, tuple(round(float(value), 3) for value in box)))
        digest = hashlib.blake2b(question.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64 < self._error_rate


def _is_about(boxes: NDArray[np.float64], lesions: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which boxes are about which lesions, (n, m)."""
    holds = _holds(boxes, centres(lesions))
    is_held = _holds(lesions, centres(boxes)).T
    return np.asarray((overlaps(boxes, lesions, Overlap.IOU) >= SAME_PLACE_IOU) | holds | is_held)


def _holds(boxes: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which boxes hold which points, (n, m)."""
    low, high = boxes[:, None, :3], boxes[:, None, 3:]
    return np.asarray(((low <= points) & (points < high)).all(axis=2))


def _as_box(row: NDArray[np.float64]) -> Box3D:
    x1, y1, z1, x2, y2, z2 = (float(value) for value in row)
    return x1, y1, z1, x2, y2, z2
