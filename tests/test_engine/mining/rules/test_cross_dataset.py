"""Cross-dataset mining: sure single-type boxes away from everything known, once for each lesion (algorithms 5.3)."""

import numpy as np
import pytest
from support.measures.mining_cases import Seen, annotation, series

from lens_engine.boxes import non_maximum_suppression
from lens_engine.findings import FUSED
from lens_engine.mining.inputs import AnnotationOnSeries, SeriesMiningInput
from lens_engine.mining.places import lies_at, marks_for_avoiding
from lens_engine.mining.rules.cross_dataset import single_type_experts, uncertain_boxes, uncertain_findings
from lens_engine.mining.settings import MiningSettings
from lens_engine.proposals import Proposals

SETTINGS = MiningSettings()


def count(*lesions: Seen, known: tuple[AnnotationOnSeries, ...] = (), slice_mm: float = 2.0) -> int:
    marks = marks_for_avoiding(known, 2.0, slice_mm)
    return len(uncertain_findings(series(list(lesions), slice_mm=slice_mm), [marks], SETTINGS))


def test_only_single_type_experts_are_asked() -> None:
    assert single_type_experts(series([])) == ("lung", "liver")
    assert count(Seen(0, range(3), {"universal": 0.9})) == 0
    assert count(Seen(0, range(3), {"universal": 0.2, "lung": 0.9})) == 1


def test_an_expert_must_be_surer_than_the_threshold() -> None:
    assert count(Seen(0, range(3), {"lung": 0.5})) == 0
    assert count(Seen(0, range(3), {"lung": 0.501})) == 1
    nobody_is_sure = MiningSettings(uncertain_min_score=1.0)
    assert uncertain_findings(series([Seen(0, range(3), {"lung": 1.0})]), [], nobody_is_sure) == []


def test_a_lesion_on_many_slices_seen_by_two_experts_is_one_question() -> None:
    (finding,) = uncertain_findings(series([Seen(0, range(3, 8), {"lung": 0.7, "liver": 0.8})]), [], SETTINGS)
    assert finding.expert == "liver"
    assert finding.box[2::3] == (3, 8)
    assert dict(finding.expert_scores) == pytest.approx({"lung": 0.7, "liver": 0.8})


def test_two_lesions_are_two_questions() -> None:
    assert count(Seen(0, range(3), {"lung": 0.7}), Seen(100, range(3), {"lung": 0.7})) == 2


KNOWN = {
    "the same box": (annotation(1, 0, 4), 0),
    "a high IoU": (annotation(1, 5, 4), 0),
    "a tight box inside": (annotation(1, 5, 4, side=8), 0),
    "a padded box around": (annotation(1, -10, 4, side=60), 0),
    "a corner of it": (annotation(1, 11, 4), 1),
    "another slice": (annotation(1, 0, 9), 1),
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_annotated_is_not_asked(name: str) -> None:
    mark, expected = KNOWN[name]
    assert count(Seen(0, range(4, 5), {"lung": 0.9}), known=(mark,)) == expected


def test_a_thick_annotated_slice_covers_all_grid_slices_it_stands_for() -> None:
    # Slice 2 of 5 mm lies at 10 mm and is the nearest one to the grid slices at 8, 10 and 12 mm.
    lesion = Seen(0, range(4, 7), {"lung": 0.9})
    assert count(lesion, known=(annotation(1, 0, 2),), slice_mm=5.0) == 0
    assert count(lesion, known=(annotation(1, 0, 3),), slice_mm=5.0) == 1


def test_of_overlapping_uncertain_boxes_the_best_remains() -> None:
    near = [Seen(0, range(1), {"lung": 0.7}), Seen(4, range(1), {"liver": 0.9})]
    kept = uncertain_boxes(series(near), [], SETTINGS)
    assert kept.scores.tolist() == pytest.approx([0.9])


def test_no_boxes_and_no_marks_are_nothing() -> None:
    assert count() == 0
    assert lies_at(np.zeros((0, 4)), np.zeros(0, dtype=int), marks_for_avoiding([], 2, 2), 0.5).tolist() == []


def test_all_slices_at_once_keep_what_each_slice_keeps_by_itself() -> None:
    chance = np.random.default_rng(5)
    corners, count = chance.uniform(0, 30, (400, 2)), 400
    boxes = Proposals(
        ("universal", "lung", FUSED),
        2.0,
        2.0,
        np.ones(count, dtype=np.int16),
        np.sort(chance.integers(0, 12, count)).astype(np.int32),
        np.concatenate([corners, corners + chance.uniform(5, 15, (count, 2))], axis=1).astype(np.float32),
        chance.integers(11, 20, count).astype(np.float32) / 20,
        np.zeros((0, 2), dtype=np.float32),
    )
    found = uncertain_boxes(SeriesMiningInput(1, 1, 1, 12, boxes), (), MiningSettings())
    by_slice = [np.flatnonzero(boxes.grid_index == index) for index in range(12)]
    kept = [rows[non_maximum_suppression(boxes.boxes[rows], boxes.scores[rows], 0.5)] for rows in by_slice]
    assert 12 < len(found.scores) < count
    np.testing.assert_array_equal(found.boxes, boxes.boxes[np.concatenate(kept)])
