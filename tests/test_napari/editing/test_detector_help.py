from hypothesis import given
from hypothesis import strategies as st

from lens_engine.findings import FUSED, Box2D, Finding, SliceBox, box_from_slices
from lens_napari.editing.detector_help import with_detector
from lens_napari.editing.draft import NEW_LESION, Draft, Purpose

SHAPE = (30, 100, 100)
LESION: Box2D = (40.0, 40.0, 60.0, 60.0)


def finding(box: Box2D, first: int, last: int, expert: str = FUSED) -> Finding:
    slices = tuple(SliceBox(index, box, 0.4) for index in range(first, last + 1))
    return Finding(expert, box_from_slices(slices), slices, 0.4)


def drawn(box: Box2D, slice_index: int) -> Draft:
    return Draft.of(Purpose.DRAW, 1, NEW_LESION, SHAPE, ()).with_box(slice_index, box)


def test_the_box_gets_the_slices_of_the_finding_and_keeps_its_own() -> None:
    own = (41.0, 39.0, 62.0, 60.0)
    longer = with_detector(drawn(own, 12), [finding(LESION, 10, 15)])
    assert longer is not None
    assert longer.extent == (10, 15)
    assert (longer.section(12), longer.section(11)) == (own, LESION)
    assert longer.undone().extent == (12, 12)


def test_the_finding_that_overlaps_most_is_meant() -> None:
    beside = finding((30.0, 40.0, 50.0, 60.0), 5, 25)
    longer = with_detector(drawn(LESION, 12), [beside, finding(LESION, 11, 13, "lung"), beside])
    assert longer is not None
    assert longer.extent == (11, 13)


def test_what_lies_beside_the_box_or_on_other_slices_is_no_help() -> None:
    assert with_detector(drawn(LESION, 12), []) is None
    assert with_detector(drawn(LESION, 12), [finding((55.0, 55.0, 75.0, 75.0), 10, 15)]) is None
    assert with_detector(drawn(LESION, 12), [finding(LESION, 14, 20)]) is None


def test_a_finding_on_the_same_slices_changes_nothing() -> None:
    draft = drawn(LESION, 12)
    assert with_detector(draft, [finding(LESION, 12, 12)]) is draft


@given(st.integers(0, 29), st.integers(0, 29), st.integers(0, 29))
def test_the_box_has_no_gap_and_stays_in_the_scan(first: int, last: int, place: int) -> None:
    first, last = sorted((first, last))
    longer = with_detector(drawn(LESION, min(max(place, first), last)), [finding(LESION, first, last + 3)])
    assert longer is not None
    indices = [one.slice_index for one in longer.slices]
    assert indices == list(range(first, min(last + 3, SHAPE[0] - 1) + 1))
