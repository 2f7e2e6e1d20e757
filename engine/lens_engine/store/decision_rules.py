"""When a decision about one place also answers for another box: pure functions, no database."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Protocol

import numpy as np

from lens_engine.boxes import centres, overlaps, sizes
from lens_engine.findings import POSITIVE_VERDICTS, Box3D, ReasonCode, Verdict, is_copy

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
    def mining_run(self) -> int | None:
        """The mining run that asked about that candidate."""

    @property
    def verdict(self) -> Verdict:
        """What was said."""

    @property
    def reason_code(self) -> ReasonCode | None:
        """Why it was rejected."""

    @property
    def box(self) -> Box3D:
        """What it was said about."""


def touch(box: Box3D, other: Box3D) -> bool:
    """Return whether two boxes touch: a few comparisons leave out most pairs before anything is computed."""
    return (
        box[2] <= other[5]
        and other[2] <= box[5]
        and box[1] <= other[4]
        and other[1] <= box[4]
        and box[0] <= other[3]
        and other[0] <= box[3]
    )


def is_same_place(box: Box3D, other: Box3D) -> bool:
    """Return whether two boxes overlap by IoU >= 0.3, or the centre of either lies inside the other."""
    if not touch(box, other):
        return False
    first, second = np.asarray([box], dtype=np.float64), np.asarray([other], dtype=np.float64)
    if overlaps(first, second)[0, 0] >= MIN_OVERLAP:
        return True
    return _contains(box, centres(second)[0]) or _contains(other, centres(first)[0])


def inherits(decision_box: Box3D, verdict: Verdict, candidate_box: Box3D, reason: ReasonCode | None = None) -> bool:
    """Return whether a candidate is answered by a decision about `decision_box`.

    A withdrawn decision answers nothing, nor does a copy: its original lies at the same place. A rejection answers for
    no box of more than twice its volume.
    """
    if verdict is Verdict.WITHDRAWN or is_copy(verdict, reason) or not is_same_place(decision_box, candidate_box):
        return False
    return verdict is not Verdict.REJECTED or _is_little_larger(candidate_box, decision_box)


def covers(box: Box3D, other: Box3D) -> bool:
    """Return whether at least 0.8 of the volume of `other` lies inside `box`."""
    shared = _shared_volume(box, other)
    return shared > 0 and shared >= MIN_COVER * _shared_volume(other)


def ends(later_box: Box3D, verdict: Verdict, earlier_box: Box3D, reason: ReasonCode | None = None) -> bool:
    """Return whether a decision ends one about another box that it follows.

    Taking back always does, and a copy never: its original stays what it was. Any other must cover it: what was said of
    a part leaves the whole as it was. A rejection of more than twice its volume was about something else.
    """
    if verdict is Verdict.WITHDRAWN:
        return True
    if is_copy(verdict, reason) or not covers(later_box, earlier_box):
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

    Only the last word about a candidate stands. A decision about another candidate, or none, ends with a last word that
    follows it and `ends` it, with one that takes it back, or when the rejections that follow it, each of which stands,
    cover it together. What the words before the last one followed, the last one follows: a rejection that is taken
    back, or turns out to be a copy, gives back what it had ended.

    Candidates of one mining run were asked about one beside the other: none ends what was said of another.
    """
    named = {decision.id: decision for decision in sorted(decisions, key=lambda item: item.id)}
    last_words = {item.candidate_id: item.id for item in named.values() if item.candidate_id is not None}
    words = {item.id: named[last_words.get(item.candidate_id or 0, item.id)] for item in named.values()}
    followed: dict[int, set[int]] = defaultdict(set)
    ended: set[int] = set()
    for decision in named.values():
        earlier = named.get(decision.previous_id or 0)
        if earlier is None or are_of_one_run(decision, earlier):
            continue
        word = words[decision.id]
        followed[earlier.id].add(word.id)
        is_taken_back = decision.verdict is Verdict.WITHDRAWN
        if is_taken_back or (word.verdict is not Verdict.WITHDRAWN and _ends(word, earlier)):
            ended.add(earlier.id)
    standing = {item.id: item for item in named.values() if words[item.id] is item and item.id not in ended}
    return standing.keys() - _rejected_in_parts(standing, followed)


def are_of_one_run(decision: Linked, other: Linked) -> bool:
    """Return whether one mining run asked about the candidates of both."""
    return decision.mining_run is not None and decision.mining_run == other.mining_run


def is_part(part: Linked, whole: Linked) -> bool:
    """Return whether an accepted box says no more than that another one, which covers it, is a lesion.

    That one was added or adjusted by hand, or is the larger one: of equals the earlier.
    """
    if part.id == whole.id or part.verdict is not Verdict.ACCEPTED or not covers(whole.box, part.box):
        return False
    if whole.verdict is not Verdict.ACCEPTED:
        return whole.verdict in POSITIVE_VERDICTS
    own, other = _shared_volume(part.box), _shared_volume(whole.box)
    return other > own or (other == own and whole.id < part.id)


def _ends(later: Linked, earlier: Linked) -> bool:
    return ends(later.box, later.verdict, earlier.box, later.reason_code)


def _rejected_in_parts(standing: Mapping[int, Linked], followed: Mapping[int, Iterable[int]]) -> set[int]:
    """Return the ids of those that rejections of their parts cover together; copies are none."""
    found = set()
    for whole_id, follower_ids in followed.items():
        whole = standing.get(whole_id)
        if whole is not None:
            parts = [standing[identifier] for identifier in sorted(follower_ids) if identifier in standing]
            boxes = [part.box for part in parts if _is_rejected_part(part, whole)]
            if boxes and _cover_together(boxes, whole.box):
                found.add(whole_id)
    return found


def _is_rejected_part(part: Linked, whole: Linked) -> bool:
    is_rejected = part.verdict is Verdict.REJECTED and not is_copy(part.verdict, part.reason_code)
    return is_rejected and _is_little_larger(part.box, whole.box)


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
