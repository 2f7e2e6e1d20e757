import time
from pathlib import Path

import numpy as np
import pytest
from support.projects.store_samples import BOX, AddSeries, sections

from lens_engine.errors import ProjectError
from lens_engine.findings import Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.annotations.annotation_file import read_annotations
from lens_engine.io.annotations.imported import (
    AnnotationFormat,
    ImportedAnnotations,
    ImportedLesion,
    ImportedSubVolume,
    TestSetPart,
)
from lens_engine.io.annotations.manual_test_set import read_pickle
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.exchange.exporting import export_test_set
from lens_engine.store.exchange.importing import import_lesions, known_series

NAME = "000410_02_02_039-099"


def complete_set(*boxes: tuple[float, ...]) -> ImportedAnnotations:
    lesions = tuple(ImportedLesion(NAME, 39, box, sections(box)) for box in boxes)  # type: ignore[arg-type]
    return ImportedAnnotations(
        AnnotationFormat.MANUAL_TEST_SET, "set.pkl", lesions, (ImportedSubVolume(NAME, TestSetPart.VAL),)
    )


@pytest.mark.real_data
def test_published_test_set_is_stored_quickly_and_given_back_equal(
    database: Database, real_data: Path, tmp_path: Path
) -> None:
    published = real_data / "deeplesion_manual" / "DeepLesion_manual_1K_test_release.pkl"
    imported = read_annotations(published, known_series(database, named_by_source=True))
    start = time.process_time()
    report = import_lesions(database, imported)
    assert time.process_time() - start < 10
    assert (report.series_added, report.series_matched, report.annotations_added) == (1000, 0, 5447)
    again = import_lesions(database, imported)
    assert (again.series_added, again.annotations_added, again.annotations_known) == (0, 0, 5447)
    export_test_set(database, "manual-pickle", tmp_path / "out.pkl")
    ours, theirs = read_pickle(tmp_path / "out.pkl"), read_pickle(published)
    assert [(item.part, item.name) for item in ours] == [(item.part, item.name) for item in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.rows.shape == other.rows.shape
        np.testing.assert_array_equal(one.rows, other.rows)
    splits = {record.split for record in Catalog(database).all_series()}
    assert splits == {Split.VAL, Split.TEST}


def test_test_set_is_reference_and_complete(database: Database) -> None:
    report = import_lesions(database, complete_set(BOX, BOX))
    record = Catalog(database).by_name(NAME)
    stored = Annotations(database).of_series(record.id)
    assert (record.is_complete, record.test_set_part, record.split) == (True, "val", Split.VAL)
    assert [item.role for item in stored] == [AnnotationRole.REFERENCE] * 2
    assert report.summary.startswith("2 lesions added to 1 series")


def test_test_set_finds_the_scan_of_its_name(database: Database, add_series: AddSeries) -> None:
    geometry = VolumeGeometry((61, 64, 64), (2.0, 1.0, 1.0))
    values = {"first_slice_number": 39, "last_slice_number": 99, "geometry": geometry}
    scan = add_series("png", Split.TRAIN, name=NAME, **values)
    report = import_lesions(database, complete_set(BOX))
    assert (report.series_added, report.series_matched) == (0, 1)
    assert Annotations(database).of_series(scan.id)[0].box == BOX
    assert Catalog(database).series(scan.id).split is Split.TRAIN


def test_scan_with_another_number_of_slices_does_not_fit(database: Database, add_series: AddSeries) -> None:
    scan = add_series("png", name=NAME)
    report = import_lesions(database, complete_set(BOX))
    assert report.unmatched == (NAME,)
    assert NAME in report.summary
    assert Annotations(database).of_series(scan.id) == ()
    assert not Catalog(database).series(scan.id).is_complete


OUTSIDE = (900.0, 2.0, 3.0, 910.0, 5.0, 4.0)


def test_a_box_outside_its_image_is_no_label_and_named(database: Database, add_series: AddSeries) -> None:
    scan = add_series("a")
    lesions = tuple(ImportedLesion(scan.name, 1, box, sections(box)) for box in (BOX, OUTSIDE))  # type: ignore[arg-type]
    imported = ImportedAnnotations(
        AnnotationFormat.DEEPLESION_CSV, "DL_info.csv", lesions, (ImportedSubVolume(scan.name),)
    )
    report = import_lesions(database, imported)
    assert [item.box for item in Annotations(database).of_series(scan.id)] == [BOX]
    assert f"1 boxes outside their image were left out, the first one in {scan.name} at x 900 to 910" in report.summary


def test_a_complete_set_with_a_box_outside_the_scan_does_not_fit_it(database: Database, add_series: AddSeries) -> None:
    geometry = VolumeGeometry((61, 64, 64), (2.0, 1.0, 1.0))
    values = {"first_slice_number": 39, "last_slice_number": 99, "geometry": geometry}
    scan = add_series("png", name=NAME, **values)
    report = import_lesions(database, complete_set(BOX, OUTSIDE))
    assert report.unmatched == (NAME,)
    assert Annotations(database).of_series(scan.id) == ()
    assert not Catalog(database).series(scan.id).is_complete


def test_boxes_that_came_before_their_scan_are_kept_and_refuse_another_scan(
    database: Database, add_series: AddSeries
) -> None:
    import_lesions(database, complete_set(BOX, (100.0, 100.0, 3.0, 110.0, 105.0, 4.0)))
    values = {"name": NAME, "first_slice_number": 39, "last_slice_number": 99}
    with pytest.raises(ProjectError, match=f"imported for {NAME} lies outside the scan, which is 64 x 64 x 61"):
        add_series("other", None, geometry=VolumeGeometry((61, 64, 64), (2.0, 1.0, 1.0)), **values)
    scan = add_series("png", None, geometry=VolumeGeometry((61, 512, 512), (2.0, 1.0, 1.0)), **values)
    assert len(Annotations(database).of_series(scan.id)) == 2
    assert Catalog(database).by_name(NAME).source is not None


def test_mask_lesions_become_labels_of_the_given_type(database: Database, add_series: AddSeries) -> None:
    scan = add_series("a")
    lesion = ImportedLesion(scan.name, 1, BOX, sections(BOX))
    names = (ImportedSubVolume(scan.name), ImportedSubVolume("unknown"))
    imported = ImportedAnnotations(AnnotationFormat.INSTANCE_MASK, "mask.nii.gz", (lesion,), names, ("a note",))
    report = import_lesions(database, imported, lesion_type="lung")
    (stored,) = Annotations(database).of_series(scan.id)
    assert (stored.role, stored.origin) == (AnnotationRole.LABEL, AnnotationOrigin.INSTANCE_MASK)
    assert stored.lesion_type == "lung"
    assert report.unmatched == ("unknown",)
    assert "a note" in report.summary


def test_pseudonyms_are_not_offered_to_files_that_speak_of_names(database: Database, add_series: AddSeries) -> None:
    pseudonymous = add_series("a")
    named = add_series("b", name=NAME)
    assert [item.name for item in known_series(database, named_by_source=True)] == [named.name]
    assert {item.name for item in known_series(database, named_by_source=False)} == {pseudonymous.name, named.name}
