from dataclasses import replace

import pytest
from sqlalchemy import text
from support.projects.readings import BOX, OTHER, SHIFTED, Reader, read
from support.projects.store_samples import AddSeries, MakeDecision, sections

from lens_engine.errors import StoreError
from lens_engine.findings import Split, Verdict
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.readings.readings import Readings
from lens_engine.store.readings.records import ReadingRound

ADJUDICATION = ReadingRound.ADJUDICATION


def test_a_reader_who_begins_again_goes_on(database: Database, add_series: AddSeries) -> None:
    series = add_series("a", Split.TEST)
    first = Readings(database).start(series.id, "Anna")
    assert Readings(database).start(series.id, "Anna") == first
    other = Readings(database).start(series.id, "Bert")
    assert Readings(database).all() == (first, other)
    assert (first.is_complete, first.is_blind, first.seconds) == (False, True, 0.0)


@pytest.mark.parametrize("problem", ["train", "no images"])
def test_a_series_that_can_never_be_measured_on_is_not_read(
    database: Database, add_series: AddSeries, problem: str
) -> None:
    values = {} if problem == "train" else {"source": None, "geometry": None}
    series = add_series("a", Split.TRAIN if problem == "train" else Split.TEST, **values)
    with pytest.raises(StoreError, match=problem):
        Readings(database).start(series.id, "Anna")


def test_time_adds_up_and_aids_are_never_forgotten(database: Database, add_series: AddSeries) -> None:
    readings = Readings(database)
    reading = readings.start(add_series("a", Split.TEST).id, "Anna")
    readings.work(reading.id, 30.0)
    shown = readings.show_aids(reading.id)
    again = readings.show_aids(reading.id)
    done = readings.complete(reading.id, 12.5)
    assert (shown.is_blind, done.is_blind, done.seconds) == (False, False, 42.5)
    assert shown.aids_shown_at is not None
    assert again.aids_shown_at == shown.aids_shown_at == done.aids_shown_at


def test_completing_an_unchanged_series_makes_it_a_normal_scan_of_the_test_set(
    database: Database, add_series: AddSeries
) -> None:
    series = add_series("a", Split.VAL)
    done = read(database, series.id, "Anna")
    assert done.is_complete
    record = Catalog(database).series(series.id)
    assert (record.is_complete, record.test_set_part) == (True, "val")
    assert Readings(database).complete(done.id) == done


def test_what_is_marked_in_a_reading_is_known_in_no_other_and_not_in_the_review(
    database: Database, add_series: AddSeries, make_candidate, make_decision: MakeDecision
) -> None:
    series = add_series("a", Split.TEST)
    Candidates(database).replace_open("v1", [make_candidate(series.id, BOX)], [0.5])
    mine = Reader.begin(database, series.id, "Anna").mark(BOX)
    others = Reader.begin(database, series.id, "Bert").mark(OTHER)
    readings, decisions = Readings(database), Decisions(database)
    assert [item.box for item in readings.lesions(mine.reading.id)] == [BOX]
    assert [item.box for item in readings.lesions(others.reading.id)] == [OTHER]
    assert decisions.current() == decisions.added(series.id) == decisions.history(series.id) == ()
    (asked,) = Candidates(database).queue(split=None)
    assert asked.decision is None


def test_a_marked_lesion_is_changed_and_deleted_within_its_reading(database: Database, add_series: AddSeries) -> None:
    reader = Reader.begin(database, add_series("a", Split.TEST).id, "Anna").mark(BOX)
    readings, decisions = Readings(database), Decisions(database)
    (marked,) = readings.lesions(reader.reading.id)
    changed = decisions.change_added(marked.id, reader.decision(Verdict.ADDED, SHIFTED))
    assert [item.box for item in readings.lesions(reader.reading.id)] == [SHIFTED]
    decisions.change_added(changed.id, reader.decision(Verdict.WITHDRAWN, SHIFTED))
    assert readings.lesions(reader.reading.id) == ()


def test_nobody_marks_in_another_ones_reading_nor_in_a_complete_one(database: Database, add_series: AddSeries) -> None:
    reader = Reader.begin(database, add_series("a", Split.TEST).id, "Anna")
    for wrong in ({"reader": "Bert"}, {"round": 2}, {"reading_id": 77}):
        with pytest.raises(StoreError):
            Decisions(database).add(replace(reader.decision(Verdict.ADDED, BOX), **wrong))
    reader.complete()
    with pytest.raises(StoreError, match="complete"):
        reader.mark(BOX)
    Readings(database).reopen(reader.reading.id)
    reader.mark(BOX)
    assert len(Readings(database).lesions(reader.reading.id)) == 1


def test_a_reopened_reading_leaves_the_test_set_unless_another_one_is_complete(
    database: Database, add_series: AddSeries
) -> None:
    series = add_series("a", Split.TEST)
    first, second = (read(database, series.id, name) for name in ("Anna", "Bert"))
    assert not Readings(database).reopen(first.id).is_complete
    assert Catalog(database).series(series.id).is_complete
    Readings(database).reopen(second.id)
    record = Catalog(database).series(series.id)
    assert (record.is_complete, record.test_set_part) == (False, None)


def test_a_third_reader_who_comes_too_late_is_told_by_name(database: Database, add_series: AddSeries) -> None:
    series = add_series("a", Split.TEST)
    late = Readings(database).start(series.id, "Carl")
    for name in ("Bert", "Anna"):
        read(database, series.id, name)
    with pytest.raises(StoreError, match="Anna and Bert"):
        Readings(database).complete(late.id)
    with pytest.raises(StoreError, match="two readings by Anna and Bert"):
        Readings(database).start(series.id, "Dora")


def test_an_annotation_on_one_slice_has_to_be_drawn_before_a_reading_is_complete(
    database: Database, add_series: AddSeries
) -> None:
    series = add_series("a", Split.TEST)
    flat = (10.0, 10.0, 4.0, 20.0, 20.0, 5.0)
    label = NewAnnotation(series.id, flat, sections(flat), AnnotationRole.LABEL, AnnotationOrigin.DL_INFO, key_slice=4)
    Annotations(database).add([label])
    read_by_another = Reader.begin(database, series.id, "Bert").mark(BOX)
    read_by_another.complete()
    reader = Reader.begin(database, series.id, "Anna")
    with pytest.raises(StoreError, match="1 of 1 annotations on one slice only"):
        reader.complete()
    assert reader.mark(SHIFTED).complete().is_complete


def test_nothing_is_adjudicated_where_readings_agree(database: Database, add_series: AddSeries) -> None:
    series = add_series("a", Split.TEST)
    read(database, series.id, "Anna", BOX)
    with pytest.raises(StoreError, match="nothing to adjudicate"):
        Reader.begin(database, series.id, "Carl", ADJUDICATION)
    read(database, series.id, "Bert", SHIFTED)
    with pytest.raises(StoreError, match="nothing to adjudicate"):
        Reader.begin(database, series.id, "Carl", ADJUDICATION)


def test_an_adjudication_is_complete_when_every_place_is_settled(database: Database, add_series: AddSeries) -> None:
    series = add_series("a", Split.TEST)
    first = read(database, series.id, "Anna", BOX)
    second = read(database, series.id, "Bert", OTHER)
    judge = Reader.begin(database, series.id, "Carl", ADJUDICATION)
    ((mine,), (others,)) = (Readings(database).lesions(one.id) for one in (first, second))
    judge.settle(mine.id, Verdict.ADDED, SHIFTED)
    with pytest.raises(StoreError, match="1 of 2 places"):
        judge.complete()
    judge.settle(others.id, Verdict.REJECTED, OTHER)
    assert judge.complete().is_complete
    with pytest.raises(StoreError, match="complete"):
        judge.settle(others.id, Verdict.ADDED, OTHER)


def test_a_settled_place_is_settled_otherwise_or_left_open_again(database: Database, add_series: AddSeries) -> None:
    series = add_series("a", Split.TEST)
    first = read(database, series.id, "Anna", BOX)
    read(database, series.id, "Bert")
    judge = Reader.begin(database, series.id, "Carl", ADJUDICATION)
    (lesion,) = Readings(database).lesions(first.id)
    judge.settle(lesion.id, Verdict.REJECTED, BOX)
    judge.settle(lesion.id, Verdict.ADDED, SHIFTED)
    (place,) = Readings(database).comparison(judge.reading.id).places
    assert place.settled is not None
    assert (place.settled.verdict, place.settled.box) == (Verdict.ADDED, SHIFTED)
    judge.settle(lesion.id, Verdict.WITHDRAWN, BOX)
    assert Readings(database).comparison(judge.reading.id).open_places == 1
    with pytest.raises(StoreError, match="nothing to withdraw"):
        judge.settle(lesion.id, Verdict.WITHDRAWN, BOX)
    with pytest.raises(StoreError, match="do not differ"):
        judge.settle(77, Verdict.ADDED, BOX)
    with pytest.raises(StoreError, match="settled as unsure"):
        judge.settle(lesion.id, Verdict.UNSURE, BOX)


def test_readings_stay_as_they_are_once_an_adjudication_has_begun(database: Database, add_series: AddSeries) -> None:
    series = add_series("a", Split.TEST)
    first = read(database, series.id, "Anna", BOX)
    read(database, series.id, "Bert")
    Reader.begin(database, series.id, "Carl", ADJUDICATION)
    with pytest.raises(StoreError, match="Carl adjudicates"):
        Readings(database).reopen(first.id)


def test_readings_and_their_events_are_append_only(database: Database, add_series: AddSeries) -> None:
    read(database, add_series("a", Split.TEST).id, "Anna")
    for table, column in (("readings", "round"), ("reading_events", "seconds")):
        for statement in (f"UPDATE {table} SET {column} = 7", f"DELETE FROM {table}"):
            with pytest.raises(StoreError, match="append-only"), database.session() as session:
                session.execute(text(statement))


def test_an_unknown_reading_is_named(database: Database) -> None:
    with pytest.raises(StoreError, match="reading 77"):
        Readings(database).work(77, 1.0)
