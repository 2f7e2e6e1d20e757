import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # the name under which everybody knows it

from lens_engine.errors import ExportError
from lens_engine.findings import Split
from lens_engine.io.annotations.annotation_file import read_annotations
from lens_engine.io.annotations.imported import KnownSeries
from lens_engine.io.annotations.manual_test_set import import_manual_test_set
from lens_engine.io.series import read_volume, scan
from lens_engine.phantom import cohort
from lens_engine.phantom.cohort import CohortPlan, CohortReport, PlannedPatient, plan_demo, write_cohort
from lens_engine.phantom.patient import DEMO_SEEDS, TEST_SEEDS, PhantomSeries, PhantomSettings
from lens_engine.phantom.write_dicom import write_dicom_series
from lens_engine.phantom.write_nifti import write_nifti_series


def _remade(report: CohortReport, number: int, settings: PhantomSettings) -> tuple[PhantomSeries, ...]:
    planned = PlannedPatient(1, 21, "universal", Split.TRAIN, studies=2, series_per_study=2)
    others = {3: PlannedPatient(3, 23, "universal", Split.TEST), 4: PlannedPatient(4, 24, "liver", Split.TRAIN)}
    return cohort.make_planned_patient(others.get(number, planned), settings).series


def test_dicom_series_read_by_itk_has_the_voxels_and_places_that_were_made(small_cohort, small_settings):
    folder = small_cohort.rawdata_folder("universal", Split.TRAIN) / "000001_02_01"
    made = _remade(small_cohort, 1, small_settings)[2].volume
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    assert np.array_equal(sitk.GetArrayFromImage(image)[::-1], made.voxels)
    corner = image.TransformIndexToPhysicalPoint((0, 0, made.geometry.shape[0] - 1))
    assert corner == pytest.approx(made.geometry.origin_mm, abs=1e-4)
    assert image.GetSpacing() == pytest.approx(made.geometry.spacing_mm[::-1], abs=1e-5)


def test_nifti_and_dicom_of_one_scan_are_the_same_volume(tmp_path: Path, small_settings):
    planned = PlannedPatient(5, 31, "lung", Split.TRAIN)
    patient = cohort.make_planned_patient(planned, small_settings)
    write_dicom_series(tmp_path / "dicom", patient, patient.series[0])
    write_nifti_series(tmp_path / "scan.nii.gz", patient.series[0])
    volumes = [read_volume(scan([tmp_path / name]).found[0].source) for name in ("dicom", "scan.nii.gz")]
    for volume in volumes:
        assert np.array_equal(volume.voxels, patient.series[0].volume.voxels)
        assert volume.geometry.origin_mm == pytest.approx(patient.series[0].volume.geometry.origin_mm, abs=1e-3)
        assert volume.geometry.spacing_mm == pytest.approx(patient.series[0].volume.geometry.spacing_mm, abs=1e-4)


def test_file_names_of_a_series_tell_nothing_of_the_order(small_cohort):
    folder = small_cohort.rawdata_folder("universal", Split.VAL) / "000002_01_01"
    files = sorted(folder.glob("*.dcm"))
    levels = [float(sitk.ReadImage(str(file)).GetMetaData("0020|1041")) for file in files]
    assert levels not in (sorted(levels), sorted(levels, reverse=True))


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
def test_dicom_files_satisfy_the_validator(small_cohort):
    for folder in sorted((small_cohort.folder / "universal" / "rawdata").glob("*/*_*_*")):
        if folder.is_dir():
            file = next(folder.glob("*.dcm"))
            done = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
            assert "Error" not in done.stderr + done.stdout
            assert done.returncode == 0


def test_every_scan_is_found_under_its_name(small_cohort):
    report = scan([small_cohort.folder / "universal" / "rawdata", small_cohort.folder / "liver" / "rawdata"])
    assert not report.problems
    assert sorted(found.given_name for found in report.found) == sorted(series.name for series in small_cohort.series)


def _known(report: CohortReport, dataset: str) -> list[KnownSeries]:
    found = scan([report.folder / dataset / "rawdata"]).found
    return [KnownSeries(item.given_name, item.source.series_uid, item.geometry) for item in found]


def test_imported_recist_boxes_are_the_marks_and_five_pixels(small_cohort):
    (file,) = small_cohort.annotation_files["universal"]
    imported = read_annotations(file, _known(small_cohort, "universal"))
    labelled = [
        (series.name, lesion)
        for series in small_cohort.series
        for lesion in series.lesions
        if series.dataset == "universal" and lesion.is_labelled
    ]
    assert len(imported.lesions) == len(labelled)
    for read, (name, lesion) in zip(imported.lesions, labelled, strict=True):
        ends = np.asarray(lesion.recist).reshape(4, 2) + 0.5
        assert read.series_name == name
        assert read.key_slice == lesion.key_slice
        assert read.slices[0].box == pytest.approx((*(ends.min(axis=0) - 5), *(ends.max(axis=0) + 5)), abs=2e-3)
    assert {volume.name: volume.split for volume in imported.sub_volumes}["000001_01_01"] is Split.TRAIN


def test_imported_masks_give_every_lesion_of_the_type(small_cohort):
    (file,) = small_cohort.annotation_files["liver"]
    imported = read_annotations(file, _known(small_cohort, "liver"))
    (series,) = [series for series in small_cohort.series if series.dataset == "liver"]
    expected = [lesion.box for lesion in series.lesions if lesion.lesion_type == "liver"]
    assert expected
    assert [lesion.box for lesion in imported.lesions] == expected


def test_manual_truth_holds_every_lesion_of_the_held_out_scans(small_cohort):
    imported = import_manual_test_set(small_cohort.manual_truth_file)
    held_out = [series for series in small_cohort.series if series.split is not Split.TRAIN]
    expected = {series.sub_volume_name: series.split.value for series in held_out}
    assert {volume.name: volume.part for volume in imported.sub_volumes} == expected
    written = [lesion.box for series in held_out for lesion in series.lesions]
    for read, tight in zip([lesion.box for lesion in imported.lesions], written, strict=True):
        assert read == (
            max(tight[0] - 5, 0),
            max(tight[1] - 5, 0),
            tight[2],
            *(edge + 5 for edge in tight[3:5]),
            tight[5],
        )


def test_truth_file_lists_all_lesions_and_the_generator(small_cohort):
    content = json.loads(small_cohort.truth_file.read_text(encoding="utf-8"))
    assert content["generator_version"] >= 1
    assert sum(len(series["lesions"]) for series in content["series"]) == small_cohort.lesion_count
    assert small_cohort.labelled_count < small_cohort.lesion_count


def test_writing_again_gives_the_same_bytes(tmp_path: Path, small_settings):
    plan = CohortPlan((PlannedPatient(1, 40, "lymph node", Split.TRAIN),), small_settings)
    seen = []
    first, second = (write_cohort(tmp_path / name, plan, lambda *step: seen.append(step)) for name in ("a", "b"))
    files = [path.relative_to(first.folder) for path in sorted(first.folder.rglob("*.dcm"))]
    assert len(files) == first.series[0].geometry["shape"][0]
    assert all((first.folder / file).read_bytes() == (second.folder / file).read_bytes() for file in files)
    assert seen == [(1, 1, "000001_01_01")] * 2


def test_demo_plan_keeps_test_seeds_for_test_patients():
    plan = plan_demo()
    assert 25 <= plan.series_count <= 35
    for patient in plan.patients:
        assert (patient.seed in TEST_SEEDS) is (patient.split is Split.TEST)
        assert (patient.seed in DEMO_SEEDS) is (patient.split is Split.TRAIN)
    assert {patient.dataset for patient in plan.patients} == {"universal", "lung", "liver", "lymph node"}
    assert {patient.is_nifti for patient in plan.patients} == {True, False}


def test_a_folder_in_use_is_refused(tmp_path: Path):
    (tmp_path / "old.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ExportError, match="is not an empty folder"):
        write_cohort(tmp_path, plan_demo())


def test_two_patients_with_one_number_are_refused(tmp_path: Path):
    patients = (PlannedPatient(7, 1, "lung", Split.TRAIN), PlannedPatient(7, 2, "lung", Split.TRAIN))
    with pytest.raises(ExportError, match=r"numbers \[7\]"):
        write_cohort(tmp_path / "new", CohortPlan(patients))


def test_a_disk_that_refuses_is_named(tmp_path: Path, small_settings):
    (tmp_path / "file").write_text("", encoding="utf-8")
    plan = CohortPlan((PlannedPatient(1, 1, "lung", Split.TRAIN),), small_settings)
    with pytest.raises(ExportError, match="after 0 series: Not a directory"):
        write_cohort(tmp_path / "file" / "below", plan)
