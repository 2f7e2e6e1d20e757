"""Only the boxes that mining compares need an embedding, and mining is the same with those alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from support.measures.mining_cases import Seen, annotation, proposals, series

from lens_engine.findings import FUSED, Box2D
from lens_engine.mining.calibration import calibrate_distance_limit
from lens_engine.mining.candidates import mine
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.looks import (
    NO_BOXES,
    ComparedBoxes,
    SeriesLesions,
    compared_rows,
    embed_series,
    places_of,
    with_embeddings,
)
from lens_engine.mining.settings import MiningSettings

SETTINGS = MiningSettings()
SEEN = [
    Seen(0, range(3, 8), {"universal": 0.5}, look=10),
    Seen(100, range(2, 4), {"universal": 0.3}, look=80),
    Seen(200, range(5, 6), {"universal": 0.01}, look=120),
]


def test_centres_of_tracklets_and_what_is_beside_a_mark_are_compared_and_faint_boxes_are_not() -> None:
    boxes = proposals(SEEN)
    fused = boxes.of(FUSED)
    rows = compared_rows(boxes, (annotation(1, 0, 6),), SETTINGS)
    compared = [(float(fused.boxes[row, 0]), int(fused.grid_index[row])) for row in rows]
    assert sorted(compared) == [(0, 5), (0, 7), (100, 2)]


def test_a_place_is_a_slice_of_the_series_also_between_two() -> None:
    boxes = proposals(SEEN, slice_mm=5.0)
    rows = compared_rows(boxes, (), SETTINGS)
    assert sorted(place for place, _ in places_of(boxes, rows)) == [2 * 2 / 5, 5 * 2 / 5]
    assert (0, (0.0, 50.0, 20.0, 70.0)) in [(0, box) for _, box in places_of(boxes, rows)]


def test_mining_needs_no_other_embeddings() -> None:
    def inputs(*, only_compared: bool) -> list[SeriesMiningInput]:
        marks = ((annotation(1, 0, 5, look=10),), (annotation(2, 100, 3, look=81),))
        found = []
        for number, notes in enumerate(marks):
            whole = series(SEEN, notes, number=number)
            boxes = whole.proposals
            if only_compared:
                rows = compared_rows(boxes, notes, SETTINGS)
                boxes = with_embeddings(boxes, rows, boxes.embeddings[rows])
            found.append(SeriesMiningInput(number, 1, number, 60, boxes, whole.findings, notes))
        return found

    whole, sparse = inputs(only_compared=False), inputs(only_compared=True)
    assert np.count_nonzero(sparse[0].proposals.embeddings.any(axis=1)) < len(sparse[0].proposals.embeddings)
    limit = calibrate_distance_limit(whole)
    assert calibrate_distance_limit(sparse) == limit
    assert limit.same_lesion_pairs > 0
    assert mine(sparse, SETTINGS, limit) == mine(whole, SETTINGS, limit)
    assert mine(whole, SETTINGS, limit).candidates


def by_slice(places: Sequence[tuple[float, Box2D]]) -> NDArray[np.float32]:
    """Return where each box lies as its vector."""
    return np.asarray([[place, box[0]] for place, box in places], dtype=np.float32)


def test_annotations_decisions_and_boxes_of_a_series_get_the_vectors_of_their_places() -> None:
    boxes = proposals(SEEN)
    lesions = SeriesLesions((annotation(1, 0, 6),), (annotation(1, 100, 3),))
    rows = compared_rows(boxes, lesions.annotations, SETTINGS)
    vectors = embed_series(by_slice, lesions, ComparedBoxes.of(boxes, rows))
    known = vectors.of_lesions(lesions)
    assert [note.embedding.tolist() for part in known for note in part if note.embedding is not None] == [
        [6, 0],
        [3, 100],
    ]
    embedded = vectors.of_boxes(boxes).embeddings
    assert embedded[rows].tolist() == [[place, box[0]] for place, box in places_of(boxes, rows)]
    later = SeriesLesions((*lesions.annotations, annotation(2, 0, 9)))
    assert vectors.of_lesions(later).annotations[1].embedding is None


def test_a_series_without_lesions_and_boxes_is_not_looked_at() -> None:
    def unable(places: Sequence[tuple[float, Box2D]]) -> NDArray[np.float32]:
        raise AssertionError

    vectors = embed_series(unable, SeriesLesions(()), NO_BOXES)
    assert vectors.of_boxes(proposals(SEEN)).embeddings.shape[1] == 0
