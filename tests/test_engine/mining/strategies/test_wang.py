"""Wang et al.: missing ground truth on annotated slices, then labels carried to the slices beside them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measures.mining_cases import Seen, annotation, drawn, proposals, series

from lens_engine.errors import ConfigError
from lens_engine.mining.inputs import AnnotationOnSeries
from lens_engine.mining.strategies.copies import ScoredBoxes
from lens_engine.mining.strategies.wang import WangSettings, mine_wang, missing_boxes, propagated_rows

PUBLISHED = WangSettings()
Row = tuple[float, float]
"""A square of 20 at x, and its score."""


def on_slice(*rows: Row) -> ScoredBoxes:
    boxes = [[x, 50, x + 20, 70] for x, _ in rows]
    return ScoredBoxes(np.asarray(boxes, dtype=float).reshape(-1, 4), np.asarray([score for _, score in rows]))


MISSING: dict[str, tuple[list[Row], list[Row], list[Row], list[float]]] = {
    "seen above": ([(0, 0.95)], [(0, 0.1)], [], [0]),
    "seen below": ([(0, 0.95)], [], [(0, 0.1)], [0]),
    "seen on no neighbour": ([(0, 0.95)], [], [], []),
    "seen beside": ([(0, 0.95)], [(7, 0.95)], [], []),
    "not sure enough": ([(0, 0.9)], [(0, 0.95)], [(0, 0.95)], []),
    "above and below only": ([], [(0, 0.95)], [(4, 0.95)], [2]),
    "above and below, one of them unsure": ([], [(0, 0.95)], [(4, 0.9)], []),
    "above and below, too far apart": ([], [(0, 0.95)], [(7, 0.95)], []),
    "above and below, something faint between": ([(19, 0.02)], [(0, 0.95)], [(0, 0.95)], []),
    "above, and two below": ([], [(0, 0.95)], [(4, 0.99), (2, 0.95)], [1]),
    "at the label": ([(119, 0.95)], [(119, 0.95)], [], []),
    "above and below the label": ([], [(110, 0.95)], [(110, 0.95)], []),
    "beside the label": ([(120, 0.95)], [(120, 0.95)], [], [120]),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_a_slice_lacks_is_found_as_drawn(name: str) -> None:
    own, above, below, expected = MISSING[name]
    label = on_slice((100, 1.0)).boxes
    found = missing_boxes(on_slice(*own), on_slice(*above), on_slice(*below), label, PUBLISHED)
    assert found.boxes[:, 0].tolist() == expected


def test_the_reading_of_the_prose_asks_both_neighbours() -> None:
    strict, label = WangSettings(min_support=2), np.zeros((0, 4))
    own, seen, nothing = on_slice((0, 0.95)), on_slice((0, 0.2)), on_slice()
    assert len(missing_boxes(own, seen, nothing, label, strict).scores) == 0
    assert len(missing_boxes(own, seen, seen, label, strict).scores) == 1


rows = st.lists(st.tuples(st.integers(0, 40).map(float), st.sampled_from((0.5, 0.9, 0.95, 1.0))), max_size=5)


@given(rows, rows, rows, rows)
def test_what_is_found_is_sure_and_touches_no_label_and_up_is_like_down(
    own: list[Row], above: list[Row], below: list[Row], labels: list[Row]
) -> None:
    drawings = [on_slice(*side) for side in (own, above, below)]
    found = missing_boxes(*drawings, on_slice(*labels).boxes, PUBLISHED)
    assert (found.scores > 0.9).all()
    assert all(abs(x - label) >= 20 for x in found.boxes[:, 0] for label, _ in labels)
    turned = missing_boxes(drawings[0], drawings[2], drawings[1], on_slice(*labels).boxes, PUBLISHED)
    own_rows = {x for x, score in own if score > 0.9}
    assert own_rows & set(found.boxes[:, 0].tolist()) == own_rows & set(turned.boxes[:, 0].tolist())


def test_a_box_that_agrees_with_two_labels_is_carried_once() -> None:
    labels = on_slice((0, 1.0), (4, 1.0)).boxes
    assert propagated_rows(on_slice((2, 0.1), (30, 0.9), (10, 0.9)).boxes, labels, 0.5).tolist() == [0, 2]
    assert propagated_rows(np.zeros((0, 4)), labels, 0.5).tolist() == []
    assert propagated_rows(labels, np.zeros((0, 4)), 0.5).tolist() == []


def carried(*lesions: Seen, marks: tuple[AnnotationOnSeries, ...], slice_mm: float = 2.0) -> list[object]:
    (found,) = mine_wang([series(list(lesions), marks, slice_mm=slice_mm)], WangSettings(with_missing=False))
    return drawn(found.positives[len(marks) :])  # type: ignore[return-value]  # a list is invariant


MARK = annotation(7, 0, 6)
LESION = Seen(0, range(3, 10), {"universal": 0.1})


def test_a_label_is_carried_to_both_neighbours_and_no_farther() -> None:
    assert carried(LESION, marks=(MARK,)) == [("propagation", 0, [5]), ("propagation", 0, [7])]


def test_a_neighbour_with_labels_gets_no_others() -> None:
    assert carried(LESION, marks=(MARK, annotation(8, 100, 7))) == [("propagation", 0, [5])]


def test_a_neighbour_of_two_annotated_slices_gets_its_boxes_once() -> None:
    marks = (MARK, annotation(8, 0, 8))
    assert carried(LESION, marks=marks) == [("propagation", 0, [k]) for k in (5, 7, 9)]


def test_thin_slices_share_the_neighbour_two_millimetres_away() -> None:
    # Grid slice 3 at 6 mm shows the slices 5 and 6 of 1 mm; those beside it show 3 and 4, and 7 and 8.
    assert carried(LESION, marks=(annotation(7, 0, 6),), slice_mm=1.0) == [
        ("propagation", 0, [7, 8]),
    ]
    assert carried(Seen(0, range(2, 5), {"universal": 0.1}), marks=(annotation(7, 0, 6),), slice_mm=1.0) == [
        ("propagation", 0, [3, 4]),
        ("propagation", 0, [7, 8]),
    ]


def test_thick_slices_have_the_next_slice_as_neighbour() -> None:
    # Slices of 5 mm are shown by the grid slices 0, 3, 5, 8, 10, ...
    assert carried(Seen(0, range(12), {"universal": 0.1}), marks=(annotation(7, 0, 2),), slice_mm=5.0) == [
        ("propagation", 0, [1]),
        ("propagation", 0, [3]),
    ]


def test_the_first_and_the_last_slice_have_one_neighbour() -> None:
    whole = Seen(0, range(60), {"universal": 0.1})
    assert carried(whole, marks=(annotation(7, 0, 0),)) == [("propagation", 0, [1])]
    assert carried(whole, marks=(annotation(7, 0, 59),)) == [("propagation", 0, [58])]


def test_a_carried_label_is_the_lesion_it_comes_from() -> None:
    other = Seen(200, range(5, 8), {"lung": 0.95})
    (found,) = mine_wang([series([LESION, other], (MARK,))], PUBLISHED)
    assert drawn(found.positives) == [
        ("annotation", 0, [6]),
        ("missing on slice", 200, [6]),
        *[("propagation", x, [k]) for x in (0, 200) for k in (5, 7)],
    ]
    assert [label.lesion for label in found.positives] == [0, 1, 0, 0, 1, 1]
    assert [label.annotation_ids for label in found.positives] == [(7,), (), (7,), (7,), (), ()]
    assert (found.ignored, found.negatives) == ((), ())


def test_missing_ground_truth_is_sought_in_the_copies_where_there_are_some() -> None:
    sure, unsure = (Seen(200, range(5, 8), {"lung": score}) for score in (0.97, 0.6))
    one = series([unsure], (MARK,))
    copied = type(one)(1, 1, 1, 60, one.proposals, annotations=(MARK,), augmented=(proposals([sure]),) * 2)
    assert len(mine_wang([one], PUBLISHED)[0].positives) == 1
    assert "missing on slice" in {label.rule for label in mine_wang([copied], PUBLISHED)[0].positives}


def test_without_annotations_there_is_nothing_to_start_from() -> None:
    (found,) = mine_wang([series([LESION])], PUBLISHED)
    assert found.positives == ()


@pytest.mark.parametrize(("name", "value"), [("min_iou", -0.5), ("min_score", 1.5), ("min_support", 3)])
def test_impossible_settings_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        WangSettings(**{name: value})  # type: ignore[arg-type]  # any of them
