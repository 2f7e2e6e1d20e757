"""When a decision about one place also answers for another box: pure functions, no database."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Protocol

import numpy as np

from lens_engine.boxes import centres, overlaps, sizes
from lens_engine.findings import Box3D, Verdict

MIN_OVERLAP = 0.3
"""3D IoU from which two boxes are the same place."""

MAX_GROWTH_OF_REJECTION = 2.0
"""A rejection covers no box of more than this many times its volume: a vessel must not hide its surroundings. Nor does
one that is this many times larger than a decision end it."""

MIN_COVER = 0.8
"""Share of a decision's volume that must lie inside a later one, or inside several rejections, for it to end."""


class Linked(Protocol):
    """What the chain of decisions needs to know about each of them."""

    @property
    def id(self) -> int:
        """Ascending with time."""

    @property
    def previous_id(self) -> int | None:
        """The decision that it follows."""

    @property
    def candidate_id(self) -> int | None:
        """The candidate that was on screen."""

    @property
    def verdict(self) -> Verdict:
        """What was said."""

    @property
    def box(self) -> Box3D:
        """What it was said about."""


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
    return verdict is not Verdict.REJECTED or _is_little_larger(candidate_box, decision_box)


def covers(box: Box3D, other: Box3D) -> bool:
    """Return whether at least 0.8 of the volume of `other` lies inside `box`."""
    shared = _shared_volume(box, other)
    return shared > 0 and shared >= MIN_COVER * _shared_volume(other)


def ends(later_box: Box3D, verdict: Verdict, earlier_box: Box3D) -> bool:
    """Return whether a decision ends the one that it names as its previous one.

    Taking back always does. Any other must cover it: what was said of a part leaves the whole as it was. A rejection of
    more than twice its volume was about something else.
    """
    if verdict is Verdict.WITHDRAWN:
        return True
    if not covers(later_box, earlier_box):
        return False
    return verdict is not Verdict.REJECTED or _is_little_larger(later_box, earlier_box)


def best_match(decisions: Sequence[tuple[Box3D, Verdict]], candidate_box: Box3D) -> int | None:
    """Return the index of the decision that a candidate inherits: the one it overlaps most, the later one of equals."""
    best: tuple[float, int] | None = None
    for index, (box, verdict) in enumerate(decisions):
        if inherits(box, verdict, candidate_box):
            overlap = float(overlaps(np.asarray([box]), np.asarray([candidate_box]))[0, 0])
            if best is None or overlap >= best[0]:
                best = (overlap, index)
    return None if best is None else best[1]


def standing_ids(decisions: Iterable[Linked]) -> set[int]:
    """Return the ids of the decisions that nothing has ended.

    A decision ends with the next one about the same candidate, with one that names it as its previous one and `ends`
    it, or when the rejections that name it, each of which stands, cover it together.
    """
    ordered = sorted(decisions, key=lambda item: item.id)
    named = {decision.id: decision for decision in ordered}
    standing = set(named)
    last_words: dict[int, int] = {}
    for decision in ordered:
        previous = named.get(decision.previous_id or 0)
        if previous is not None and ends(decision.box, decision.verdict, previous.box):
            standing.discard(previous.id)
        if decision.candidate_id is not None:
            standing.discard(last_words.get(decision.candidate_id, 0))
            last_words[decision.candidate_id] = decision.id
    return standing - _rejected_in_parts([named[identifier] for identifier in sorted(standing)])


def _rejected_in_parts(standing: Sequence[Linked]) -> set[int]:
    """Return the ids of those that rejections of their parts cover together."""
    wholes = {decision.id: decision for decision in standing}
    parts: dict[int, list[Box3D]] = {}
    for decision in standing:
        whole = wholes.get(decision.previous_id or 0)
        if whole is not None and decision.verdict is Verdict.REJECTED and _is_little_larger(decision.box, whole.box):
            parts.setdefault(whole.id, []).append(decision.box)
    return {identifier for identifier, boxes in parts.items() if _cover_together(boxes, wholes[identifier].box)}


def _cover_together(parts: Sequence[Box3D], whole: Box3D) -> bool:
    """Return whether boxes cover 0.8 of another at least.

    What two share is counted once. Where three share something, more than that is taken off: the volume is never
    overestimated.
    """
    single = sum(_shared_volume(whole, part) for part in parts)
    double = sum(_shared_volume(whole, one, other) for one, other in combinations(parts, 2))
    return single - double >= MIN_COVER * _shared_volume(whole)


def _shared_volume(*boxes: Box3D) -> float:
    edges = np.asarray(boxes, dtype=np.float64)
    shared = np.concatenate([edges[:, :3].max(axis=0), edges[:, 3:].min(axis=0)])
    return float(sizes(shared[None])[0])


def _is_little_larger(box: Box3D, other: Box3D) -> bool:
    own, measure = sizes(np.asarray([box, other], dtype=np.float64))
    return bool(own <= MAX_GROWTH_OF_REJECTION * measure)


def _contains(box: Box3D, point: np.ndarray) -> bool:
    edges = np.asarray(box, dtype=np.float64)
    return bool((point >= edges[:3]).all() and (point < edges[3:]).all())
