"""What readings make true, and that everything which asks for the truth of a series hears the same."""

import json
from pathlib import Path

import pytest
from support.projects.readings import BOX, OTHER, SHIFTED, THIRD, Reader, read
from support.projects.store_samples import AddSeries, MakeDecision, sections

from lens_engine.errors import ExportError, StoreError
from lens_engine.findings import Box3D, Split, Verdict
from lens_engine.io.annotations.manual_test_set import read_json, read_pickle
from lens_engine.snapshot import LabelSet
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.catalog import SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.exchange.exporting import complete_rows, export_test_set
from lens_engine.store.labels.completeness import (
    known_lesions,
    mark_complete,
    measured_series,
    said_of,
    true_boxes,
)
from lens_engine.store.labels.left_out import why_left_out
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.readings.readings import Readings
from lens_engine.store.readings.records import ReadingRound

MEAN = (11.0, 10.0, 2.0, 21.0, 20.0, 6.0)
"""Of `BOX` and `SHIFTED`."""


@pytest.fixture
def series(add_series: AddSeries) -> SeriesRecord:
    return add_series("a", Split.VAL)


def truth(database: Database, series_id: int) -> tuple[Box3D, ...]:
    return true_boxes(Annotations(database).of_series(series_id), said_of(database, series_id).decisions)


def adjudicate(database: Database, series_id: int, **said: Box3D | None) -> Reader:
    """Let Carl settle what each named reader marked alone: with a box, or as none."""
    judge = Reader.begin(database, series_id, "Carl", ReadingRound.ADJUDICATION)
    for place in Readings(database).comparison(judge.reading.id).places:
        marked = place.marked[0]
        box = said[marked.decision.reader]
        judge.settle(marked.id, Verdict.ADDED if box else Verdict.REJECTED, box or marked.box)
    return judge


def test_lesions_of_a_sole_complete_reading_are_true(database: Database, series: SeriesRecord) -> None:
    reader = Reader.begin(database, series.id, "Anna").mark(BOX, OTHER)
    assert truth(database, series.id) == ()
    reader.complete()
    assert truth(database, series.id) == (BOX, OTHER)
    Reader.begin(database, series.id, "Bert").mark(THIRD)  # in progress: it says nothing yet
    assert truth(database, series.id) == (BOX, OTHER)


def test_a_lesion_of_both_readers_is_true_once_with_the_mean_of_both_boxes(
    database: Database, series: SeriesRecord
) -> None:
    read(database, series.id, "Anna", BOX)
    read(database, series.id, "Bert", SHIFTED)
    assert truth(database, series.id) == (MEAN,)
    assert [item.id for item in measured_series(database, Split.VAL).series] == [series.id]


def test_how_many_lesions_a_reading_has_is_told_when_it_is_settled(database: Database, series: SeriesRecord) -> None:
    assert known_lesions(database, series.id) == 0
    anna = Reader.begin(database, series.id, "Anna").mark(BOX, OTHER)
    assert known_lesions(database, series.id) == 0
    anna.complete()
    assert known_lesions(database, series.id) is None
    read(database, series.id, "Bert", SHIFTED)
    assert known_lesions(database, series.id) is None
    adjudicate(database, series.id, Anna=OTHER).complete()
    assert known_lesions(database, series.id) == 2


def test_mean_boxes_cover_whole_slices(database: Database, series: SeriesRecord) -> None:
    read(database, series.id, "Anna", BOX)
    read(database, series.id, "Bert", (10.0, 10.0, 3.0, 20.0, 20.0, 7.0))
    assert truth(database, series.id) == ((10.0, 10.0, 2.0, 20.0, 20.0, 7.0),)


def test_two_readings_that_differ_leave_the_series_out_by_name_until_they_are_adjudicated(
    database: Database, add_series: AddSeries, series: SeriesRecord, tmp_path: Path
) -> None:
    read(database, series.id, "Anna", BOX, OTHER)
    read(database, series.id, "Bert", SHIFTED, THIRD)
    train = add_series("train", Split.TRAIN)
    label = NewAnnotation(train.id, BOX, sections(BOX), AnnotationRole.LABEL, AnnotationOrigin.INSTANCE_MASK)
    Annotations(database).add([label])

    def frozen() -> tuple[Box3D, ...] | None:
        (one,) = (item for item in Snapshots(database).compose(LabelSet.CURATED).series if item.name == series.name)
        assert one.lesions == ()
        return one.truth if one.is_complete_truth else None

    measured = measured_series(database, Split.VAL)
    assert (measured.series, measured.left_out, measured.disputed) == ((), (), (series.name,))
    assert "differ" in why_left_out((), measured.disputed)
    assert complete_rows(database) == {"val": {}, "test": {}}
    assert frozen() is None
    with pytest.raises(ExportError, match=f"Left out is {series.name}, which two readers have read"):
        export_test_set(database, "json", tmp_path / "set.json")
    with pytest.raises(StoreError, match="differ"):
        mark_complete(database, series.id)
    judge = adjudicate(database, series.id, Anna=None, Bert=THIRD)
    assert measured_series(database, Split.VAL).disputed == (series.name,)  # not complete yet
    judge.complete()
    assert truth(database, series.id) == frozen() == (MEAN, THIRD)
    assert [item.id for item in measured_series(database, Split.VAL).series] == [series.id]
    assert len(complete_rows(database)["val"][series.name]) == 2


def test_boxes_at_one_place_that_overlap_too_little_are_settled_together(
    database: Database, series: SeriesRecord
) -> None:
    inside = (12.0, 12.0, 3.0, 16.0, 16.0, 5.0)
    read(database, series.id, "Anna", BOX)
    read(database, series.id, "Bert", inside)
    judge = Reader.begin(database, series.id, "Carl", ReadingRound.ADJUDICATION)
    (place,) = Readings(database).comparison(judge.reading.id).places
    assert [item.box for item in place.marked] == [BOX, inside]
    judge.settle(place.marked[1].id, Verdict.ADDED, inside)
    judge.complete()
    assert truth(database, series.id) == (inside,)


def test_what_the_review_says_gives_way_to_a_complete_reading_and_comes_back_with_it(
    database: Database, series: SeriesRecord, make_decision: MakeDecision
) -> None:
    Decisions(database).add(make_decision(series.id, Verdict.ADDED, box=THIRD))
    reading = read(database, series.id, "Anna", BOX)
    assert truth(database, series.id) == (BOX,)
    Readings(database).reopen(reading.id)
    assert truth(database, series.id) == (THIRD,)


def test_annotations_in_3d_stay_true_beside_a_reading(database: Database, series: SeriesRecord) -> None:
    label = NewAnnotation(series.id, OTHER, sections(OTHER), AnnotationRole.LABEL, AnnotationOrigin.RTSTRUCT)
    Annotations(database).add([label])
    read(database, series.id, "Anna", BOX, OTHER)
    assert truth(database, series.id) == (OTHER, BOX)


def test_the_json_form_says_who_read_what_and_is_read_again(
    database: Database, series: SeriesRecord, tmp_path: Path
) -> None:
    reader = Reader.begin(database, series.id, "Anna").mark(BOX)
    Readings(database).show_aids(reader.reading.id)
    reader.complete(90.0)
    read(database, series.id, "Bert", OTHER)
    adjudicate(database, series.id, Anna=BOX, Bert=None).complete()
    report = export_test_set(database, "json", tmp_path / "set.json")
    assert report.readings_file is None
    (item,) = read_json(tmp_path / "set.json")
    assert item.rows.tolist() == [[10, 10, 3, 19, 19, 6]]
    file = json.loads((tmp_path / "set.json").read_text())
    assert file["version"] == 2
    first, second, judge = file["readings"][series.name]
    assert (first["reader"], first["round"], first["is_blind"], first["seconds"]) == ("Anna", 1, False, 90.0)
    assert first["aids_shown_at"] is not None
    assert (second["is_blind"], second["boxes"]) == (True, [[40, 40, 11, 49, 49, 14]])
    assert (judge["reader"], judge["round"], judge["boxes"]) == ("Carl", 2, [[10, 10, 3, 19, 19, 6]])


def test_the_published_form_has_the_readings_in_a_table_beside_it(
    database: Database, series: SeriesRecord, tmp_path: Path
) -> None:
    read(database, series.id, "Anna", BOX)
    report = export_test_set(database, "manual-pickle", tmp_path / "set.pkl")
    (item,) = read_pickle(tmp_path / "set.pkl")
    assert item.rows.tolist() == [[10, 10, 3, 19, 19, 6]]
    assert report.readings_file == tmp_path / "set_readings.csv"
    header, row = (tmp_path / "set_readings.csv").read_text().splitlines()
    assert header == "name,reader,round,is_blind,has_reviewed,aids_shown_at,started_at,completed_at,seconds,lesions"
    assert row.startswith(f"{series.name},Anna,1,True,False,,")


def test_an_export_says_who_had_reviewed_the_series_before(
    database: Database, series: SeriesRecord, tmp_path: Path, ask, make_decision: MakeDecision
) -> None:
    (asked,) = ask(series.id, THIRD)
    Decisions(database).add(make_decision(series.id, Verdict.REJECTED, asked.id, THIRD, reader="Anna"))
    for name in ("Anna", "Bert"):
        read(database, series.id, name, BOX)
    export_test_set(database, "json", tmp_path / "set.json")
    readings = json.loads((tmp_path / "set.json").read_text())["readings"][series.name]
    assert [(one["reader"], one["has_reviewed"]) for one in readings] == [("Anna", True), ("Bert", False)]


def test_without_readings_the_files_are_as_they_were(database: Database, series: SeriesRecord, tmp_path: Path) -> None:
    mark_complete(database, series.id)
    export_test_set(database, "json", tmp_path / "set.json")
    file = json.loads((tmp_path / "set.json").read_text())
    assert (file["version"], "readings" in file) == (1, False)
    assert export_test_set(database, "manual-pickle", tmp_path / "set.pkl").readings_file is None
