from support.projects.store_samples import BOX, AddSeries, sections

from lens_engine.findings import Split
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.database import Database

OTHER = (30.0, 30.0, 3.0, 40.0, 40.0, 4.0)


def annotation(series_id: int, box: tuple[float, ...] = BOX, **values: object) -> NewAnnotation:
    defaults = {"role": AnnotationRole.LABEL, "origin": AnnotationOrigin.RTSTRUCT, "source_file": "contours.dcm"}
    return NewAnnotation(series_id, box, sections(box), **{**defaults, **values})  # type: ignore[arg-type]


def test_annotations_come_back_in_the_order_of_the_file(database: Database, add_series: AddSeries) -> None:
    series = add_series("a")
    news = [annotation(series.id, OTHER, key_slice=3, lesion_type="lung", is_noisy=True), annotation(series.id)]
    assert Annotations(database).add(news) == 2
    stored = Annotations(database).of_series(series.id)
    assert [(item.box, item.slices, item.key_slice) for item in stored] == [
        (item.box, item.slices, item.key_slice) for item in news
    ]
    assert (stored[0].lesion_type, stored[0].is_noisy, stored[0].source_file) == ("lung", True, "contours.dcm")


def test_second_import_of_the_same_file_changes_nothing(database: Database, add_series: AddSeries) -> None:
    news = [annotation(add_series("a").id, box) for box in (BOX, OTHER)]
    assert (Annotations(database).add(news), Annotations(database).add(news)) == (2, 0)


def test_duplicates_inside_a_file_are_kept(database: Database, add_series: AddSeries) -> None:
    news = [annotation(add_series("a").id)] * 2
    assert (Annotations(database).add(news), Annotations(database).add(news)) == (2, 0)


def test_annotations_can_be_asked_for_by_role_split_and_data_set(database: Database, add_series: AddSeries) -> None:
    train, test = add_series("a", Split.TRAIN), add_series("b", Split.TEST)
    annotations = Annotations(database)
    annotations.add([annotation(train.id), annotation(test.id, role=AnnotationRole.REFERENCE)])
    assert [item.series_id for item in annotations.all(role=AnnotationRole.REFERENCE)] == [test.id]
    assert [item.series_id for item in annotations.all(split=Split.TRAIN)] == [train.id]
    assert len(annotations.all(dataset="universal")) == 2
    assert annotations.all(dataset="lung") == ()
    assert annotations.of_series(train.id, AnnotationRole.REFERENCE) == ()


def test_one_annotation_is_found_by_its_id(database: Database, add_series: AddSeries) -> None:
    annotations = Annotations(database)
    annotations.add([annotation(add_series("a").id, box) for box in (BOX, OTHER)])
    first, second = annotations.all()
    assert annotations.find(second.id) == second
    assert annotations.find(first.id + second.id + 1) is None
