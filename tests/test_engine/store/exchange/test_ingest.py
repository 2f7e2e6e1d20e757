"""Scans and annotation files come into a project as a user brings them."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from lens_engine.errors import LensError, ProjectError, StoppedError
from lens_engine.findings import Scope, Split
from lens_engine.progress import WorkHandle
from lens_engine.project import Project
from lens_engine.store.annotations import Annotations
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.exchange.exporting import complete_rows
from lens_engine.store.exchange.ingest import add_scans, import_annotations


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database.create(Project.create(tmp_path / "project"))
    Catalog(database).add_dataset("universal", Scope.UNIVERSAL)
    return database


def write_scan(path: Path, lesion_at: tuple[int, int, int] = (10, 12, 14)) -> Path:
    voxels = np.full((20, 24, 28), -1000, dtype=np.int16)
    voxels[:, 4:20, 4:24] = 40
    z, y, x = lesion_at
    voxels[z : z + 3, y : y + 4, x : x + 5] = 90
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.8, 0.8, 2.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def test_second_add_of_the_same_scan_changes_nothing(database: Database, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scans" / "a.nii.gz")
    first = add_scans(database, [scan.parent], "universal")
    second = add_scans(database, [scan.parent], "universal")
    assert [len(first.added), first.known] == [1, 0]
    assert [len(second.added), second.known] == [0, 1]
    assert Catalog(database).all_series() == first.added


def test_one_broken_scan_does_not_stop_the_others(database: Database, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scans" / "good.nii.gz")
    (scan.parent / "broken.nii.gz").write_bytes(scan.read_bytes()[:200])
    report = add_scans(database, [scan.parent], "universal")
    assert len(report.added) == 1
    assert ["broken.nii.gz" in str(problem) for problem in report.problems] == [True]


def test_given_split_is_kept(database: Database, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scans" / "000007_01_01.nii.gz")
    (record,) = add_scans(database, [scan], "universal", Split.TEST).added
    assert (record.split, record.name) == (Split.TEST, "000007_01_01_001-020")


def test_unknown_data_set_is_refused_before_anything_is_read(database: Database, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="'lung'"):
        add_scans(database, [tmp_path / "does-not-exist"], "lung")


def test_mask_becomes_the_tight_box_of_its_lesion(database: Database, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scans" / "a.nii.gz")
    (record,) = add_scans(database, [scan], "universal").added
    image = sitk.ReadImage(str(scan))
    mask = sitk.Cast(image == 90, sitk.sitkUInt8)
    mask.CopyInformation(image)
    sitk.WriteImage(mask, str(tmp_path / "a_mask.nii.gz"))
    report = import_annotations(database, tmp_path / "a_mask.nii.gz", lesion_type="liver")
    (annotation,) = Annotations(database).of_series(record.id)
    assert report.annotations_added == 1
    assert annotation.lesion_type == "liver"
    # NIfTI grows from feet to head: canonical slice 0 is the last of the file.
    assert annotation.box == (14, 12, 20 - 13, 19, 16, 20 - 10)


def test_annotation_file_that_fits_no_series_changes_nothing(database: Database, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "a_mask.nii.gz")
    with pytest.raises(LensError):
        import_annotations(database, scan)
    assert Annotations(database).all() == ()


@pytest.mark.real_data
def test_real_lung_scan_gives_the_same_box_from_contours_and_mask(database: Database, real_data: Path) -> None:
    lung = real_data / "lung_ibsi_phantom"
    (dicom,) = add_scans(database, [lung / "dicom" / "image"], "universal").added
    (nifti,) = add_scans(database, [lung / "nifti" / "image"], "universal").added
    import_annotations(database, next((lung / "dicom" / "mask").glob("*.dcm")))
    import_annotations(database, next((lung / "nifti" / "mask").glob("*.nii*")), series_name=nifti.name)
    annotations = Annotations(database)
    (from_contours,) = annotations.of_series(dicom.id)
    (from_mask,) = annotations.of_series(nifti.id)
    assert from_contours.box == from_mask.box


@pytest.mark.real_data
def test_published_test_set_comes_out_as_it_went_in(database: Database, real_data: Path) -> None:
    file = real_data / "deeplesion_manual" / "DeepLesion_manual_1K_test_release.pkl"
    report = import_annotations(database, file)
    assert (report.series_added, report.annotations_added) == (1000, 5447)
    parts = complete_rows(database)
    assert {name: len(part) for name, part in parts.items()} == {"val": 200, "test": 800}
    assert sum(len(rows) for part in parts.values() for rows in part.values()) == 5447


def test_nothing_is_added_when_the_work_is_stopped_while_files_are_read(database: Database, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scans" / "a.nii.gz")
    write_scan(tmp_path / "scans" / "b.nii.gz", (2, 5, 5))
    handle = WorkHandle()
    with pytest.raises(StoppedError):
        add_scans(database, [scan.parent], "universal", on_progress=lambda *_: handle.stop(), handle=handle)
    assert Catalog(database).all_series() == ()


def test_stopping_while_series_are_stored_leaves_whole_ones_and_counts_the_rest(
    database: Database, tmp_path: Path
) -> None:
    for number in range(3):
        write_scan(tmp_path / "scans" / f"{number}.nii.gz", (2 + number, 5, 5))
    handle = StopsWhenAdding("Adding series 2 of 3")
    report = add_scans(database, [tmp_path / "scans"], "universal", handle=handle)
    assert (len(report.added), report.left_over) == (1, 2)
    assert Catalog(database).all_series() == report.added
    again = add_scans(database, [tmp_path / "scans"], "universal")
    assert (len(again.added), again.known) == (2, 1)


class StopsWhenAdding(WorkHandle):
    """A reader who presses Stop at one moment."""

    def __init__(self, moment: str) -> None:
        super().__init__()
        self._moment = moment

    def turn_to(self, what: str) -> None:
        if what == self._moment:
            self.stop()
        super().turn_to(what)
