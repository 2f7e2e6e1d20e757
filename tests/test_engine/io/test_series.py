import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid

from lens_engine.errors import SeriesError, StoppedError
from lens_engine.io.series import (
    ScanReport,
    SeriesFormat,
    SeriesSource,
    files_of,
    read_series,
    read_volume,
    scan,
    series_uid_of,
    whole_series,
)
from lens_engine.progress import WorkHandle
from lens_engine.volume import Volume

DOSE_REPORT = "1.2.840.10008.5.1.4.1.1.88.67"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
NOBODY = 65534


def only_problem(report: ScanReport) -> str:
    assert not report.found
    (problem,) = report.problems
    return str(problem)


def assert_is_phantom(volume: Volume, phantom: Volume) -> None:
    np.testing.assert_array_equal(volume.voxels, phantom.voxels)
    np.testing.assert_allclose(volume.geometry.spacing_mm, phantom.geometry.spacing_mm, atol=1e-5)
    np.testing.assert_allclose(volume.geometry.origin_mm, phantom.geometry.origin_mm, atol=1e-4)
    np.testing.assert_allclose(volume.geometry.directions, phantom.geometry.directions, atol=1e-6)


def test_shuffled_dicom_slices_become_the_canonical_volume(tmp_path, write_dicom, phantom):
    write_dicom(tmp_path)
    (found,) = scan([tmp_path]).found
    assert found.geometry == read_volume(found.source).geometry
    assert_is_phantom(read_volume(found.source), phantom)


@pytest.mark.parametrize(("frames", "key"), [(("1.2.9",), "dicom:1.2.9"), (("",), None), (("1.2.9", "1.2.8"), None)])
def test_the_coordinates_of_a_series_have_a_name_where_all_headers_give_one(frames, key, tmp_path, write_dicom):
    def name_frame(dataset, index):
        dataset.FrameOfReferenceUID = frames[index % len(frames)]

    write_dicom(tmp_path, edit=name_frame)
    (found,) = scan([tmp_path]).found
    assert found.frame_key == key


def test_headers_give_keys_date_and_description_but_no_name(tmp_path, write_dicom):
    write_dicom(tmp_path)
    (found,) = scan([tmp_path]).found
    assert (found.patient_key, found.study_key, found.series_key) == ("dicom:patient-7", "dicom:1.2.3", "dicom:1.2.3.4")
    assert found.study_date is not None
    assert found.study_date.isoformat() == "2024-02-29"
    assert found.description == "chest"
    assert "Doe" not in repr(found)


def test_series_mixed_in_nested_folders_are_told_apart_and_their_company_is_counted(tmp_path, write_dicom):
    write_dicom(tmp_path / "a", series_uid="1.1")
    write_dicom(tmp_path / "a" / "b", series_uid="1.2")
    company = {"IMAGE": DOSE_REPORT, "SHOT": SECONDARY_CAPTURE, "MR": MR_IMAGE}
    for name, sop_class in company.items():

        def as_company(dataset, index, sop_class=sop_class):
            dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
            dataset.Modality = "MR" if sop_class == MR_IMAGE else "SR"

        write_dicom(tmp_path / "a" / name, as_company, series_uid=generate_uid())

    def as_scout(dataset, index):
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    write_dicom(tmp_path / "scout", as_scout, series_uid="1.9")
    (tmp_path / "a" / "readme.txt").write_text("hello")
    report = scan([tmp_path])
    assert sorted(found.series_key for found in report.found) == ["dicom:1.1", "dicom:1.2"]
    assert report.skipped == {
        "dose sheet": 6,
        "secondary capture": 6,
        "wrong modality MR": 6,
        "scout": 6,
        "not an image of a scan": 1,
    }
    assert not report.problems


def test_progress_counts_every_file(tmp_path, write_dicom):
    write_dicom(tmp_path)
    calls: list[tuple[int, int]] = []
    scan([tmp_path, tmp_path], lambda done, total: calls.append((done, total)))
    assert calls == [(done, 6) for done in range(1, 7)]


def test_a_folder_without_ct_is_a_problem_that_says_what_is_there(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    report = scan([tmp_path])
    assert isinstance(report.problems[0], SeriesError)
    assert f"no CT series in {tmp_path}: 1 x not an image of a scan" in only_problem(report)


def test_an_mr_series_alone_is_refused_by_its_modality(tmp_path, write_dicom):
    def as_mr(dataset, index):
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MR_IMAGE
        dataset.Modality = "MR"

    write_dicom(tmp_path, as_mr)
    assert "6 x wrong modality MR" in only_problem(scan([tmp_path]))


def test_a_pet_image_in_the_class_of_ct_is_refused_by_its_modality(tmp_path, write_dicom):
    write_dicom(tmp_path, lambda dataset, index: setattr(dataset, "Modality", "PT"))
    assert "6 x wrong modality PT" in only_problem(scan([tmp_path]))


def test_a_path_that_does_not_exist_is_a_problem_and_the_others_are_read(tmp_path, write_dicom):
    write_dicom(tmp_path / "ct")
    report = scan([tmp_path / "nowhere", tmp_path / "ct"])
    assert len(report.found) == 1
    assert "nowhere does not exist" in str(report.problems[0])


def test_one_broken_series_does_not_stop_the_others(tmp_path, write_dicom):
    write_dicom(tmp_path / "good", series_uid="1.1")
    write_dicom(tmp_path / "bad", series_uid="1.2")[2].unlink()
    report = scan([tmp_path])
    assert [found.series_key for found in report.found] == ["dicom:1.1"]
    assert "missing" in str(report.problems[0])


def test_a_single_image_is_skipped(tmp_path, write_dicom):
    for path in write_dicom(tmp_path)[1:]:
        path.unlink()
    assert "single image" in only_problem(scan([tmp_path]))


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii", "scan.mhd", "scan.mha", "scan.nrrd", "scan.nhdr"])
def test_image_files_and_dicom_of_one_scan_are_the_same_volume(name, tmp_path, write_dicom, write_image, phantom):
    write_dicom(tmp_path / "dicom")
    write_image(tmp_path / "image" / name)
    volumes = [read_volume(found.source) for found in scan([tmp_path]).found]
    assert len(volumes) == 2
    for volume in volumes:
        assert_is_phantom(volume, phantom)


@pytest.mark.parametrize("name", ["000012_03_04", "000012_03_04_039-044"])
def test_a_deeplesion_like_name_becomes_the_given_name(name, tmp_path, write_dicom, write_image):
    write_dicom(tmp_path / name)
    write_image(tmp_path / "image" / f"{name}.nii.gz")
    found = scan([tmp_path]).found
    assert len(found) == 2
    for series in found:
        assert series.given_name == name
        assert (series.patient_key, series.study_key) == ("name:000012", "name:000012_03")
        assert series.first_slice_number == (39 if "-" in name else 1)
        assert read_volume(series.source).geometry == series.geometry


def test_a_second_scan_and_another_compression_give_the_same_keys(tmp_path, write_image):
    write_image(tmp_path / "a.nii.gz")
    write_image(tmp_path / "b.nrrd")
    first, second = scan([tmp_path]).found
    assert first.series_key == second.series_key == scan([tmp_path]).found[0].series_key


def test_padding_below_air_is_clamped_and_noted(tmp_path, write_dicom, phantom):
    def pad(dataset, index):
        dataset.RescaleIntercept = "-3024"

    write_dicom(tmp_path, pad)
    (found,) = scan([tmp_path]).found
    assert "padding" in " ".join(found.notes)
    assert read_volume(found.source).voxels.min() == -1024


def test_values_that_are_not_hu_get_a_warning(tmp_path, write_dicom):
    write_dicom(tmp_path, lambda dataset, index: setattr(dataset, "RescaleIntercept", "0"))
    (found,) = scan([tmp_path]).found
    assert "do not look like the HU" in " ".join(found.notes)


def test_the_rescale_slope_is_applied(tmp_path, write_dicom, phantom):
    def double(dataset, index):
        dataset.RescaleSlope, dataset.RescaleIntercept = "2", "-2048"

    write_dicom(tmp_path, double)
    (found,) = scan([tmp_path]).found
    np.testing.assert_array_equal(read_volume(found.source).voxels, np.maximum(phantom.voxels * 2, -1024))


def test_a_mask_beside_the_scan_is_skipped(tmp_path, write_image, phantom):
    write_image(tmp_path / "scan.nii.gz")
    mask = sitk.GetImageFromArray((phantom.voxels > 100).astype(np.uint8))
    sitk.WriteImage(mask, str(tmp_path / "mask.nii.gz"))
    report = scan([tmp_path])
    assert len(report.found) == 1
    assert report.skipped == {"label mask": 1}


def test_files_that_went_away_are_named(tmp_path):
    source = SeriesSource(SeriesFormat.NIFTI, (tmp_path / "gone.nii.gz",))
    with pytest.raises(SeriesError, match=r"1 of 1 files .*gone\.nii\.gz"):
        read_volume(source)


def test_files_of_another_series_in_the_old_place_are_refused(tmp_path, write_dicom):
    write_dicom(tmp_path, series_uid="1.1")
    (found,) = scan([tmp_path]).found
    write_dicom(tmp_path, series_uid="1.2")
    with pytest.raises(SeriesError, match=r"no longer a slice of series 1\.1"):
        read_volume(found.source)


def test_hidden_files_are_left_alone(tmp_path: Path, write_dicom: Callable[..., list[Path]]):
    write_dicom(tmp_path / ".cache")
    assert "no files" in only_problem(scan([tmp_path]))


def test_a_pipe_in_the_folder_is_left_alone_and_nobody_waits_for_it(tmp_path, write_dicom):
    write_dicom(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.nii.gz")
    report = scan([tmp_path])
    assert len(report.found) == 1
    assert report.skipped == {"pipe or device, not a file": 2}


def test_a_pipe_alone_is_told(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "1 x pipe or device" in only_problem(scan([tmp_path / "pipe"]))


def test_folders_that_may_not_be_read_are_named_and_the_rest_is_found(write_dicom):
    with as_somebody_else() as folder:
        write_dicom(folder / "mine")
        (folder / "private").mkdir(mode=0o700)
        (folder / "private" / "inner").mkdir()
        with acting_as_nobody():
            report = scan([folder])
            inside = scan([folder / "private" / "inner"])
    assert len(report.found) == 1
    assert [str(problem).split(" Ask")[0] for problem in report.problems] == [
        f"{folder / 'private'} cannot be opened: Permission denied. A file or folder that you may read is needed."
    ]
    assert "inner cannot be opened: Permission denied" in only_problem(inside)


def test_letters_of_every_language_may_stand_in_a_path(tmp_path, write_dicom):
    write_dicom(tmp_path / "Müller Übersicht 肝臓")
    assert len(scan([tmp_path / "Müller Übersicht 肝臓"]).found) == 1


def test_a_name_that_is_no_text_is_refused_in_letters(tmp_path, write_dicom):
    write_dicom(tmp_path)
    (tmp_path / os.fsdecode(b"scan \xff.nii.gz")).write_bytes(b"")
    report = scan([tmp_path])
    assert len(report.found) == 1
    assert "scan ?.nii.gz is not valid text" in str(report.problems[0])


def test_a_scan_shows_what_it_reads_and_ends_when_it_is_asked_to(tmp_path, write_dicom):
    write_dicom(tmp_path)
    handle, seen = WorkHandle(), []

    def look(done: int, total: int) -> None:
        seen.append(handle.current)
        if done == 2:
            handle.stop()

    with pytest.raises(StoppedError, match="stopped"):
        scan([tmp_path], look, handle)
    assert seen == [f"Reading {path.name}" for path in sorted(tmp_path.iterdir())[:2]]


def test_one_slice_stands_for_its_whole_series_and_for_no_other(tmp_path, write_dicom, phantom):
    write_dicom(tmp_path, series_uid="1.1")
    for path in tmp_path.iterdir():
        path.rename(tmp_path / f"first {path.name}")
    write_dicom(tmp_path, series_uid="1.2")
    one = next(path for path in sorted(tmp_path.iterdir()) if series_uid_of(path) == "1.2")
    (found,) = scan(whole_series([one])).found
    assert found.series_key == "dicom:1.2"
    assert_is_phantom(read_volume(found.source), phantom)


def test_files_and_folders_stay_beside_a_slice_that_stands_for_its_series(tmp_path, write_dicom):
    slices = write_dicom(tmp_path / "one")
    write_dicom(tmp_path / "two", series_uid="1.2")
    assert set(whole_series([slices[0], slices[3], tmp_path / "two"])) == {*slices, tmp_path / "two"}


def test_a_slice_beside_one_too_damaged_to_name_its_series_is_refused(tmp_path, write_dicom):
    write_dicom(tmp_path)
    first, *_, last = sorted(tmp_path.iterdir())
    last.write_bytes(last.read_bytes()[:200])
    assert "truncated or damaged" in only_problem(scan(whole_series([first])))


@contextmanager
def as_somebody_else() -> Iterator[Path]:
    """Yield a folder that everybody may look into, unlike pytest's own."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def acting_as_nobody() -> Iterator[None]:
    """Take away the rights of an administrator, who may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    else:
        pytest.skip("only an administrator can make a folder that the reader may not open")
    try:
        yield
    finally:
        os.seteuid(before)


def test_what_is_wrong_with_a_series_that_was_added_is_told_without_the_names_of_its_files(tmp_path, write_dicom):
    folder = tmp_path / "Doe_Jane"
    write_dicom(folder)
    (found,) = scan([folder]).found
    damaged = found.source.paths[2]
    damaged.write_bytes(damaged.read_bytes()[:-40])
    for happened in ("file 3 of 6 is truncated", "1 of 6 files of the series are gone, the first is file 3 of 6"):
        with pytest.raises(SeriesError, match=happened) as refused:
            read_series(found.source, "000001_01_01_001-006")
        assert "Series 000001_01_01_001-006: " in refused.value.happened
        assert damaged.name not in str(refused.value)
        assert "Doe" not in str(refused.value)
        assert refused.value.__suppress_context__
        damaged.unlink(missing_ok=True)


def test_what_the_system_refuses_of_a_series_is_told_in_the_same_way(tmp_path):
    source = SeriesSource(SeriesFormat.NIFTI, (tmp_path / f"{'Doe' * 100}.nii",))  # a name longer than any may be
    for read in (read_series, files_of):
        with pytest.raises(SeriesError, match=r"^Series 000001_01_01") as refused:
            read(source, "000001_01_01")
        assert "Doe" not in str(refused.value)
