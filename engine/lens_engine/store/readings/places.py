"""Where two readings of one series agree, where they differ, and what an adjudication says of that; no database.

A lesion that both readers marked (`evaluation.agreement`) is true with the mean of both boxes, over whole slices. Every
other lesion is a place to settle; two of different readers that lie at the same place without overlapping enough to be
one lesion are settled together. A settlement follows the lesion that it is about: of several the last one counts. What
else an adjudication says is a lesion that neither reader marked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from lens_engine.evaluation.agreement import match_lesions
from lens_engine.findings import POSITIVE_VERDICTS, Box3D, slices_of_box
from lens_engine.store.decision_rules import is_same_place
from lens_engine.store.decisions import DecisionRecord


@dataclass(frozen=True, slots=True)
class Place:
    """Where two readings of a series differ.

    Attributes
    ----------
    first, second
        What each reader marked there; one of them may have marked nothing.
    settled
        What an adjudication says of it.
    """

    first: DecisionRecord | None
    second: DecisionRecord | None
    settled: DecisionRecord | None = None

    @property
    def marked(self) -> tuple[DecisionRecord, ...]:
        """What was marked there, that of the first reader before that of the second."""
        return tuple(one for one in (self.first, self.second) if one is not None)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two readings side by side.

    Attributes
    ----------
    agreed
        Lesions that both readers marked, with the mean of both boxes; from head to feet.
    places
        Where they differ, from head to feet.
    drawn
        Lesions that the adjudicator marked beside them; ascending ids.
    """

    agreed: tuple[DecisionRecord, ...]
    places: tuple[Place, ...]
    drawn: tuple[DecisionRecord, ...] = ()

    @property
    def open_places(self) -> int:
        """How many places no adjudication has settled."""
        return sum(place.settled is None for place in self.places)


def compare(
    first: Sequence[DecisionRecord], second: Sequence[DecisionRecord], adjudication: Iterable[DecisionRecord] = ()
) -> Comparison:
    """Compare the lesions of two readings, and take in what was said of the places where they differ."""
    pairs = match_lesions(box_array(first), box_array(second))
    agreed = [_mean(first[pair.first], second[pair.second]) for pair in pairs]
    alone = [one for i, one in enumerate(first) if i not in {pair.first for pair in pairs}]
    others = [one for i, one in enumerate(second) if i not in {pair.second for pair in pairs}]
    places = []
    for one in alone:
        beside = next((other for other in others if is_same_place(one.box, other.box)), None)
        if beside is not None:
            others.remove(beside)
        places.append(Place(one, beside))
    places += [Place(None, other) for other in others]
    marked = {item.id for item in (*first, *second)}
    all_said = sorted(adjudication, key=lambda item: item.id)
    said = {item.previous_id: item for item in all_said}
    return Comparison(
        agreed=tuple(sorted(agreed, key=lambda item: item.box[2])),
        places=tuple(_settled(place, said) for place in sorted(places, key=lambda item: item.marked[0].box[2])),
        drawn=lesions_among(item for item in all_said if item.previous_id not in marked),
    )


def box_array(lesions: Sequence[DecisionRecord]) -> NDArray[np.float64]:
    """Return the boxes of lesions, (n, 6)."""
    return np.asarray([item.box for item in lesions], dtype=np.float64).reshape(-1, 6)


def lesions_among(decisions: Iterable[DecisionRecord]) -> tuple[DecisionRecord, ...]:
    """Return what a reading says is a lesion."""
    return tuple(item for item in decisions if item.verdict in POSITIVE_VERDICTS)


def _settled(place: Place, said: dict[int | None, DecisionRecord]) -> Place:
    about = [said[item.id] for item in place.marked if item.id in said]
    return replace(place, settled=max(about, key=lambda item: item.id)) if about else place


def _mean(first: DecisionRecord, second: DecisionRecord) -> DecisionRecord:
    x1, y1, z1, x2, y2, z2 = ((np.asarray(first.box) + np.asarray(second.box)) / 2).tolist()
    box: Box3D = (x1, y1, float(floor(z1)), x2, y2, float(ceil(z2)))
    lesion_type = first.decision.lesion_type or second.decision.lesion_type
    return replace(first, decision=replace(first.decision, box=box, slices=slices_of_box(box), lesion_type=lesion_type))
