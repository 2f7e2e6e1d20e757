import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.projects.store_samples import BOX, AddSeries, MakeDecision, sections

from lens_engine.errors import ExportError
from lens_engine.findings import RecistAxes, Split, Verdict
from lens_engine.io.annotations.imported import TestSetPart
from lens_engine.io.annotations.manual_test_set import LesionRemark, read_json, read_pickle
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.candidates import CandidateRecord
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.exchange.exporting import complete_rows, export_test_set
from lens_engine.store.labels.completeness import mark_complete, unmark_complete

OTHER = (40.0, 40.0, 10.0, 50.0, 50.0, 14.0)
Ask = Callable[..., tuple[CandidateRecord, ...]]


def refer(database: Database, series_id: int) -> None:
    new = NewAnnotation(series_id, BOX, sections(BOX), AnnotationRole.REFERENCE, AnnotationOrigin.DRAWN)
    Annotations(database).add([new])


def test_complete_series_is_exported_with_inclusive_ends_and_slice_numbers(
    database: Database, add_series: AddSeries
) -> None:
    series = add_series("a", Split.VAL)
    refer(database, series.id)
    assert complete_rows(database) == {"val": {}, "test": {}}
    Catalog(database).mark_complete(series.id, None)
    rows = complete_rows(database)["val"][series.name]
    assert rows.dtype == np.float64
    assert rows.tolist() == [[10, 10, 3, 19, 19, 6]]
    assert complete_rows(database, TestSetPart.TEST) == {"test": {}}


def test_complete_series_without_lesion_is_an_empty_array(database: Database, add_series: AddSeries) -> None:
    series = add_series("a", Split.TEST)
    Catalog(database).mark_complete(series.id, "test")
    assert complete_rows(database)["test"][series.name].shape == (0, 6)


def test_adjusted_box_is_rounded_outwards_and_cut_at_the_volume(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    series = add_series("a", Split.TEST)
    box = (-3.0, 10.4, 2.0, 20.2, 20.9, 6.0)
    Decisions(database).add(make_decision(series.id, Verdict.ADDED, box=box))
    mark_complete(database, series.id)
    assert complete_rows(database)["test"][series.name].tolist() == [[0, 10, 3, 20, 20, 6]]


@pytest.mark.parametrize("split", list(Split))
def test_a_reviewed_series_is_not_exported_before_it_is_marked_complete(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask, split: Split
) -> None:
    series = add_series("a", split)
    first, second = ask(series.id, BOX, OTHER)
    Decisions(database).add(make_decision(series.id, Verdict.ACCEPTED, first.id, BOX))
    Decisions(database).add(make_decision(series.id, Verdict.REJECTED, second.id, OTHER))
    assert complete_rows(database) == {"val": {}, "test": {}}
    if split is not Split.TRAIN:
        mark_complete(database, series.id)
        assert len(complete_rows(database)[split.value][series.name]) == 1


def test_a_complete_series_of_a_training_patient_is_exported_from_an_imported_test_set_only(
    database: Database, add_series: AddSeries
) -> None:
    series = add_series("a", Split.TRAIN)
    refer(database, series.id)
    Catalog(database).mark_complete(series.id, None)
    assert complete_rows(database) == {"val": {}, "test": {}}
    Catalog(database).mark_complete(series.id, TestSetPart.TEST.value)
    assert list(complete_rows(database)["test"]) == [series.name]


def test_decided_lesion_at_a_reference_is_not_exported_twice(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    series = add_series("a", Split.TEST)
    refer(database, series.id)
    for box in (BOX, OTHER):
        Decisions(database).add(make_decision(series.id, Verdict.ADDED, box=box))
    mark_complete(database, series.id)
    assert complete_rows(database)["test"][series.name].tolist() == [[10, 10, 3, 19, 19, 6], [40, 40, 11, 49, 49, 14]]


def test_labels_in_3d_of_a_complete_series_are_exported(database: Database, add_series: AddSeries) -> None:
    series = add_series("a", Split.TEST)
    label = NewAnnotation(series.id, BOX, sections(BOX), AnnotationRole.LABEL, AnnotationOrigin.RTSTRUCT)
    Annotations(database).add([label])
    mark_complete(database, series.id)
    assert complete_rows(database)["test"][series.name].tolist() == [[10, 10, 3, 19, 19, 6]]
    unmark_complete(database, series.id)
    assert complete_rows(database)["test"] == {}


@pytest.mark.parametrize(("file_format", "read"), [("manual-pickle", read_pickle), ("json", read_json)])
def test_exported_file_holds_the_same_and_the_mapping_stays_in_the_project(
    database: Database, add_series: AddSeries, tmp_path: Path, file_format: str, read: Callable
) -> None:
    series = add_series("a", Split.TEST, description="chest")
    refer(database, series.id)
    Catalog(database).mark_complete(series.id, "test")
    report = export_test_set(database, file_format, tmp_path / "set.out")
    (item,) = read(tmp_path / "set.out")
    assert (item.name, item.rows.tolist()) == (series.name, [[10, 10, 3, 19, 19, 6]])
    assert (report.series, report.lesions) == (1, 1)
    assert report.mapping_file is not None
    assert report.mapping_file.is_relative_to(database.project.exports_folder)
    assert report.mapping_file.stat().st_mode & 0o077 == 0
    (row,) = csv.DictReader(report.mapping_file.read_text().splitlines())
    assert (row["name"], row["patient"]) == (series.name, series.patient_code)
    assert "scan.nii.gz" not in report.mapping_file.read_text()
    export_test_set(database, file_format, tmp_path / "set.out", with_folders=True)
    (row,) = csv.DictReader(report.mapping_file.read_text().splitlines())
    assert (row["name"], row["folder"], row["description"]) == (series.name, "/data/a/scan.nii.gz", "chest")


def test_a_complete_series_with_a_lesion_on_one_slice_is_left_out_by_name(
    database: Database, add_series: AddSeries, tmp_path: Path
) -> None:
    flat = mark_complete(database, add_series("a", Split.TEST).id)
    box = (10.0, 10.0, 4.0, 20.0, 20.0, 5.0)
    label = NewAnnotation(flat.id, box, sections(box), AnnotationRole.LABEL, AnnotationOrigin.DL_INFO, key_slice=4)
    Annotations(database).add([label])
    with pytest.raises(ExportError, match=f"Left out is {flat.name}"):
        export_test_set(database, "json", tmp_path / "set.json")
    normal = mark_complete(database, add_series("b", Split.TEST).id)
    report = export_test_set(database, "json", tmp_path / "set.json")
    assert (report.series, report.left_out) == (1, (flat.name,))
    assert [item.name for item in read_json(tmp_path / "set.json")] == [normal.name]


@pytest.mark.parametrize(("file_format", "read"), [("manual-pickle", read_pickle), ("json", read_json)])
def test_words_and_axes_of_a_lesion_are_exported_where_the_form_has_room(
    database: Database,
    add_series: AddSeries,
    make_decision: MakeDecision,
    tmp_path: Path,
    file_format: str,
    read: Callable,
) -> None:
    series = add_series("a", Split.TEST)
    axes = RecistAxes(3, (10.5, 12.5, 19.0, 12.5), (14.0, 11.0, 14.0, 18.25))
    said = make_decision(series.id, Verdict.ADDED, comment="two foci", axes=axes)
    Decisions(database).add(said)
    Decisions(database).add(make_decision(series.id, Verdict.ADDED, box=OTHER))
    vessel = (30.0, 5.0, 20.0, 36.0, 11.0, 24.0)
    Decisions(database).add(make_decision(series.id, Verdict.REJECTED, box=vessel, comment="splenic artery"))
    mark_complete(database, series.id)
    export_test_set(database, file_format, tmp_path / "set.out")
    (item,) = read(tmp_path / "set.out")
    remark = LesionRemark(
        box=(10, 10, 3, 19, 19, 6),
        reader=said.reader,
        comment="two foci",
        axes_slice=4,
        long_axis=(10.0, 12.0, 18.5, 12.0),
        short_axis=(13.5, 10.5, 13.5, 17.75),
    )
    assert item.remarks == ((remark,) if file_format == "json" else ())
    assert len(item.rows) == 2


def test_nothing_complete_and_unknown_formats_are_errors(database: Database, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="No series"):
        export_test_set(database, "json", tmp_path / "set.json")
    with pytest.raises(ExportError, match="'xml'"):
        export_test_set(database, "xml", tmp_path / "set.xml")
    assert list(tmp_path.glob("set.*")) == []
