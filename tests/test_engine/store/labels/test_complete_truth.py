from support.projects.readings import Reader, read
from support.projects.store_samples import BOX, AddSeries, MakeDecision, sections

from lens_engine.findings import Split, Verdict, slices_of_box
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.labels.complete_truth import TrueLesion, complete_truth
from lens_engine.store.labels.completeness import mark_complete
from lens_engine.store.readings.readings import Readings
from lens_engine.store.readings.records import ReadingRound

OTHER = (40.0, 40.0, 10.0, 50.0, 50.0, 14.0)
THIRD = (10.0, 40.0, 20.0, 18.0, 50.0, 24.0)


def label(series_id: int, **values: object) -> NewAnnotation:
    return NewAnnotation(
        **{
            "series_id": series_id,
            "box": BOX,
            "slices": sections(BOX),
            "role": AnnotationRole.LABEL,
            "origin": AnnotationOrigin.INSTANCE_MASK,
            **values,
        }
    )


def test_a_complete_series_has_its_labels_and_accepted_lesions_with_their_slices(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    series = add_series("a", Split.TEST).id
    Annotations(database).add([label(series), label(series, box=THIRD, slices=())])
    Decisions(database).add(make_decision(series, Verdict.ADDED, box=OTHER))
    assert complete_truth(database, series) is None
    mark_complete(database, series)
    assert complete_truth(database, series) == (
        TrueLesion(BOX, sections(BOX)),
        TrueLesion(THIRD, slices_of_box(THIRD)),
        TrueLesion(OTHER, sections(OTHER)),
    )


def test_a_normal_scan_has_a_truth_without_lesions(database: Database, add_series: AddSeries) -> None:
    series = add_series("a", Split.VAL).id
    mark_complete(database, series)
    assert complete_truth(database, series) == ()


def test_a_lesion_on_one_slice_leaves_the_series_without_a_truth(database: Database, add_series: AddSeries) -> None:
    series = add_series("a", Split.TEST).id
    Catalog(database).mark_complete(series, "test")
    flat = (10.0, 10.0, 4.0, 20.0, 20.0, 5.0)
    Annotations(database).add([label(series, box=flat, slices=sections(flat), key_slice=4)])
    assert complete_truth(database, series) is None


def test_a_sole_reading_is_no_truth_to_show_and_one_that_two_readers_settle_is(
    database: Database, add_series: AddSeries
) -> None:
    series = add_series("a", Split.TEST).id
    read(database, series, "Anna", BOX, OTHER)
    assert Catalog(database).series(series).is_complete
    assert complete_truth(database, series) is None  # a second reader would see what the first one has marked
    read(database, series, "Bert", BOX)
    assert complete_truth(database, series) is None
    judge = Reader.begin(database, series, "Carl", ReadingRound.ADJUDICATION)
    (place,) = Readings(database).comparison(judge.reading.id).places
    judge.settle(place.marked[0].id, Verdict.REJECTED, place.marked[0].box)
    judge.complete()
    truth = complete_truth(database, series)
    assert truth is not None
    assert [lesion.box for lesion in truth] == [BOX]
