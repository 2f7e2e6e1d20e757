"""When a decision about one place also answers for another box: pure functions, no database."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from lens_engine.boxes import centres, overlaps, sizes
from lens_engine.findings import Box3D, Verdict

MIN_OVERLAP = 0.3
"""3D IoU from which two boxes are the same place."""

MAX_GROWTH_OF_REJECTION = 2.0
"""A rejection covers no box of more than this many times its volume: a vessel must not hide its surroundings."""


class Linked(Protocol):
    """What the chain of decisions needs to know about each of them."""

    @property
    def id(self) -> int:
        """Ascending with time."""

    @property
    def previous_id(self) -> int | None:
        """The decision it replaces."""

    @property
    def candidate_id(self) -> int | None:
        """The candidate that was on screen."""


def is_same_place(box: Box3D, other: Box3D) -> bool:
    """Return whether two boxes overlap by IoU >= 0.3, or the centre of either lies inside the other."""
    first, second = np.asarray([box], dtype=np.float64), np.asarray([other], dtype=np.float64)
    if overlaps(first, second)[0, 0] >= MIN_OVERLAP:
        return True
    return _contains(box, centres(second)[0]) or _contains(other, centres(first)[0])


def inherits(decision_box: Box3D, verdict: Verdict, candidate_box: Box3D) -> bool:
    """Return whether a candidate is answered by a decision about `decision_box`.

    A withdrawn decision answers nothing; a rejection answers for no box of more than twice its volume.
    """
    if verdict is Verdict.WITHDRAWN or not is_same_place(decision_box, candidate_box):
        return False
    if verdict is not Verdict.REJECTED:
        return True
    own, other = sizes(np.asarray([decision_box, candidate_box], dtype=np.float64))
    return bool(other <= MAX_GROWTH_OF_REJECTION * own)


def best_match(decisions: Sequence[tuple[Box3D, Verdict]], candidate_box: Box3D) -> int | None:
    """Return the index of the decision that a candidate inherits: the one it overlaps most, the later one of equals."""
    best: tuple[float, int] | None = None
    for index, (box, verdict) in enumerate(decisions):
        if inherits(box, verdict, candidate_box):
            overlap = float(overlaps(np.asarray([box]), np.asarray([candidate_box]))[0, 0])
            if best is None or overlap >= best[0]:
                best = (overlap, index)
    return None if best is None else best[1]


def latest_ids(decisions: Iterable[Linked]) -> set[int]:
    """Return the ids of the decisions that no later one replaces.

    A decision replaces the one it names as its previous one, and every earlier one about the same candidate.
    """
    latest: set[int] = set()
    of_candidate: dict[int, int] = {}
    for decision in sorted(decisions, key=lambda item: item.id):
        if decision.previous_id is not None:
            latest.discard(decision.previous_id)
        if decision.candidate_id is not None:
            latest.discard(of_candidate.get(decision.candidate_id, -1))
            of_candidate[decision.candidate_id] = decision.id
        latest.add(decision.id)
    return latest


def _contains(box: Box3D, point: np.ndarray) -> bool:
    edges = np.asarray(box, dtype=np.float64)
    return bool((point >= edges[:3]).all() and (point < edges[3:]).all())
