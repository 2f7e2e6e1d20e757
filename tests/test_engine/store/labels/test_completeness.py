from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from support.projects.store_samples import BOX, AddSeries, MakeDecision, sections

from lens_engine.errors import StoreError
from lens_engine.findings import Box3D, Split, Verdict
from lens_engine.io.annotations.imported import TestSetPart
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.catalog import Catalog, CompleteSeries
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.labels.completeness import (
    MeasuredSeries,
    mark_complete,
    measurable_elsewhere,
    measured_series,
    true_boxes,
    unmark_complete,
)

OTHER = (40.0, 40.0, 10.0, 50.0, 50.0, 14.0)
THIRD = (10.0, 40.0, 20.0, 18.0, 50.0, 24.0)
KEY_SLICE = (10.0, 10.0, 4.0, 20.0, 20.0, 5.0)

Annotate = Callable[..., None]


@pytest.fixture
def annotate(database: Database) -> Annotate:
    """Add one annotation; a label in 3D unless said otherwise."""

    def add(series_id: int, box: Box3D, role: AnnotationRole = AnnotationRole.LABEL, **values: Any) -> None:
        new = NewAnnotation(series_id, box, sections(box), role, AnnotationOrigin.INSTANCE_MASK)
        Annotations(database).add([replace(new, **values)])

    return add


def truth(database: Database, series_id: int) -> tuple[Box3D, ...]:
    return true_boxes(Annotations(database).of_series(series_id), Decisions(database).current(series_id))


@pytest.mark.parametrize("split", [Split.VAL, Split.TEST])
def test_a_complete_series_joins_the_part_of_its_patient(
    database: Database, add_series: AddSeries, split: Split
) -> None:
    record = mark_complete(database, add_series("a", split).id)
    assert (record.is_complete, record.test_set_part) == (True, split.value)
    assert Catalog(database).series(record.id) == record


def test_an_imported_part_is_kept(database: Database, add_series: AddSeries) -> None:
    series = add_series("a", Split.VAL)
    Catalog(database).mark_complete(series.id, TestSetPart.TEST.value)
    assert mark_complete(database, series.id).test_set_part == "test"


def test_unmarking_takes_back_everything_that_marking_did(
    database: Database, add_series: AddSeries, annotate: Annotate
) -> None:
    before = add_series("a", Split.TEST)
    annotate(before.id, BOX)
    annotations = Annotations(database).of_series(before.id)
    mark_complete(database, before.id)
    assert unmark_complete(database, before.id) == before
    assert Annotations(database).of_series(before.id) == annotations


def test_an_unknown_series_is_neither_marked_nor_unmarked(database: Database) -> None:
    for change in (mark_complete, unmark_complete):
        with pytest.raises(StoreError, match="id 77"):
            change(database, 77)


def test_a_series_that_a_detector_learns_from_is_refused(database: Database, add_series: AddSeries) -> None:
    series = add_series("a", Split.TRAIN)
    with pytest.raises(StoreError, match="val and test patients only") as refusal:
        mark_complete(database, series.id)
    assert series.name in str(refusal.value)
    assert not Catalog(database).series(series.id).is_complete


def test_a_series_without_images_is_refused(database: Database, add_series: AddSeries) -> None:
    series = add_series("a", Split.TEST, geometry=None, source=None)
    with pytest.raises(StoreError, match="has no images"):
        mark_complete(database, series.id)


def test_a_lesion_on_one_slice_only_is_refused_until_it_is_known_in_3d(
    database: Database, add_series: AddSeries, annotate: Annotate, make_decision: MakeDecision
) -> None:
    series = add_series("a", Split.VAL)
    annotate(series.id, KEY_SLICE, key_slice=4)
    annotate(series.id, OTHER)
    with pytest.raises(StoreError, match="1 of 2 annotations on one slice only"):
        mark_complete(database, series.id)
    Decisions(database).add(make_decision(series.id, Verdict.ACCEPTED, box=BOX))
    assert mark_complete(database, series.id).is_complete


def test_a_series_whose_lesion_is_no_longer_known_in_3d_is_left_out_until_it_is_again(
    database: Database, add_series: AddSeries, annotate: Annotate, make_decision: MakeDecision
) -> None:
    series, other = add_series("a", Split.TEST), add_series("b", Split.TEST)
    mark_complete(database, other.id)
    annotate(series.id, KEY_SLICE, key_slice=4)
    added = Decisions(database).add(make_decision(series.id, Verdict.ADDED, box=BOX))
    mark_complete(database, series.id)
    both = measured_series(database, Split.TEST)
    assert ([item.id for item in both.series], both.left_out) == ([series.id, other.id], ())
    Decisions(database).add(make_decision(series.id, Verdict.WITHDRAWN, box=BOX, previous_id=added.id))
    left = MeasuredSeries((CompleteSeries(other.id, other.patient_id),), (series.name,))
    assert measured_series(database, Split.TEST) == left
    annotate(series.id, BOX)
    assert measured_series(database, Split.TEST) == both


def test_complete_series_of_the_other_held_out_split_are_pointed_at(database: Database, add_series: AddSeries) -> None:
    assert measurable_elsewhere(database, Split.TEST) == ""
    mark_complete(database, add_series("a", Split.VAL).id)
    assert "1 complete series is in the val part" in measurable_elsewhere(database, Split.TEST)
    assert measurable_elsewhere(database, Split.VAL) == ""


def test_a_label_on_one_slice_that_comes_to_a_complete_series_leaves_it_out(
    database: Database, add_series: AddSeries, annotate: Annotate
) -> None:
    series = mark_complete(database, add_series("a", Split.VAL).id)
    assert measured_series(database, Split.VAL).left_out == ()
    annotate(series.id, KEY_SLICE, key_slice=4)
    assert measured_series(database, Split.VAL) == MeasuredSeries((), (series.name,))


def test_an_imported_test_set_is_measured_on_whatever_other_files_mark(
    database: Database, add_series: AddSeries, annotate: Annotate
) -> None:
    series = add_series("a", Split.TEST)
    annotate(series.id, OTHER, AnnotationRole.REFERENCE, origin=AnnotationOrigin.MANUAL_TEST_SET)
    Catalog(database).mark_complete(series.id, TestSetPart.TEST.value)
    annotate(series.id, KEY_SLICE, key_slice=4)
    assert measured_series(database, Split.TEST).left_out == ()


def test_a_doubtful_label_is_no_lesion(database: Database, add_series: AddSeries, annotate: Annotate) -> None:
    series = add_series("a", Split.TEST)
    annotate(series.id, KEY_SLICE, key_slice=4, is_noisy=True)
    annotate(series.id, OTHER, is_noisy=True)
    mark_complete(database, series.id)
    assert truth(database, series.id) == ()


def test_truth_is_references_then_labels_then_accepted_lesions_each_place_once(
    database: Database, add_series: AddSeries, annotate: Annotate, make_decision: MakeDecision
) -> None:
    series = add_series("a", Split.TEST)
    for box in (OTHER, BOX):
        annotate(series.id, box)
    annotate(series.id, BOX, AnnotationRole.REFERENCE)
    for box in (OTHER, THIRD):
        Decisions(database).add(make_decision(series.id, Verdict.ACCEPTED, box=box))
    assert truth(database, series.id) == (BOX, OTHER, THIRD)


@pytest.mark.parametrize("verdict", [Verdict.REJECTED, Verdict.UNSURE])
def test_what_readers_did_not_accept_is_not_true(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, verdict: Verdict
) -> None:
    series = add_series("a", Split.TEST)
    Decisions(database).add(make_decision(series.id, verdict, box=BOX))
    assert truth(database, series.id) == ()


def test_an_accepted_part_of_an_accepted_lesion_is_no_second_one(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    series = add_series("a", Split.VAL)
    x1, y1, z1, x2, y2, _ = OTHER
    part = (x1, y1, z1, x2, y2, z1 + 2)
    for verdict, box in [(Verdict.ACCEPTED, OTHER), (Verdict.ACCEPTED, part)]:
        Decisions(database).add(make_decision(series.id, verdict, box=box))
    assert truth(database, series.id) == (OTHER,)
    Decisions(database).add(make_decision(series.id, Verdict.ADDED, box=part))  # the reader's own hand says: two
    assert truth(database, series.id) == (OTHER, part)
