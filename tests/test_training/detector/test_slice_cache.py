"""Samples from single slices of a scan are those from the whole of it, in every layout, with the cache and without."""

import errno
import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from support.files.published_data import FEET_FIRST, SHAPE, save_dicom, save_metaimage, save_nifti, save_pngs, scene

from lens_engine.detector.config import InputConfig
from lens_engine.detector.preprocess import Augmentation, make_grid
from lens_engine.errors import SeriesError
from lens_engine.findings import Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.series import SeriesFormat, SeriesSource, scan
from lens_engine.volume import Volume
from lens_training.datasets.case import Case, ScanFiles
from lens_training.datasets.published.listing import SeriesFiles
from lens_training.datasets.published.sub_volumes import SubVolume, SubVolumeFiles
from lens_training.detector import slice_cache
from lens_training.detector.planes import PlaneCache, Planes, ReadPlanes, planes_of
from lens_training.detector.slice_cache import SliceCache

CONFIG = InputConfig(pixel_mm=0.8, grid_mm=2.0, max_side=128)
LIMIT_BYTES = 2**30

Layout = Callable[[Path, Volume], ScanFiles]


def png(folder: Path, volume: Volume) -> ScanFiles:
    save_pngs(folder / "000001_01_01", volume, 39)
    part = SubVolume(folder / "000001_01_01", 39, 39 + len(volume.voxels) - 1)
    return SubVolumeFiles(part, replace(volume.geometry, first_slice_number=39))


def dicom(folder: Path, volume: Volume) -> ScanFiles:
    save_dicom(folder, volume)
    return found_in(folder)


def metaimage(folder: Path, volume: Volume) -> ScanFiles:
    save_metaimage(folder / "scan.mhd", volume, (0, 1, 2), (False, False, True))
    return image(folder / "scan.mhd", SeriesFormat.METAIMAGE)


def feet_first_metaimage(folder: Path, volume: Volume) -> ScanFiles:
    save_metaimage(folder / "scan.mhd", volume, *FEET_FIRST)
    return image(folder / "scan.mhd", SeriesFormat.METAIMAGE)


def packed_metaimage(folder: Path, volume: Volume) -> ScanFiles:
    metaimage(folder, volume)
    sitk.WriteImage(sitk.ReadImage(str(folder / "scan.mhd")), str(folder / "packed.mhd"), useCompression=True)
    assert (folder / "packed.zraw").is_file()
    return image(folder / "packed.mhd", SeriesFormat.METAIMAGE)


def nifti(folder: Path, volume: Volume) -> ScanFiles:
    save_nifti(folder / "scan.nii", volume.voxels, volume.geometry, (2, 1, 0), (True, False, True))
    return image(folder / "scan.nii", SeriesFormat.NIFTI)


def packed_nifti(folder: Path, volume: Volume) -> ScanFiles:
    save_nifti(folder / "scan.nii.gz", volume.voxels, volume.geometry)
    return image(folder / "scan.nii.gz", SeriesFormat.NIFTI)


def sagittal_nifti(folder: Path, volume: Volume) -> ScanFiles:
    """Return a file in which no plane is a slice."""
    save_nifti(folder / "scan.nii", volume.voxels, volume.geometry, (0, 1, 2))
    return image(folder / "scan.nii", SeriesFormat.NIFTI)


def found_in(path: Path) -> SeriesFiles:
    (found,) = scan([path]).found
    return SeriesFiles("scan", found.source, found.geometry)


def image(path: Path, kind: SeriesFormat) -> SeriesFiles:
    source = SeriesSource(kind, (path,))
    return SeriesFiles("scan", source, found_in(path).geometry)


OPEN: tuple[Layout, ...] = (png, dicom, metaimage, feet_first_metaimage, nifti)
PACKED: tuple[Layout, ...] = (packed_nifti, packed_metaimage, sagittal_nifti)


def case_of(files: ScanFiles, name: str = "scan", load: Callable[[], Volume] | None = None) -> Case:
    read = load or files.load  # type: ignore[attr-defined]  # both kinds of files have it
    geometry: VolumeGeometry = files.geometry  # type: ignore[attr-defined]  # as above
    return Case(name, "patient", "lung", Split.TRAIN, geometry, (), read, files=files)


def counted(files: ScanFiles, name: str = "scan") -> tuple[Case, list[str]]:
    """Return a case with a list that grows whenever the whole scan is read."""
    reads: list[str] = []

    def load() -> Volume:
        reads.append(name)
        return files.load()  # type: ignore[attr-defined]  # both kinds of files have it

    return case_of(files, name, load), reads


def samples_of(case: Case, slices: SliceCache) -> list[NDArray[np.float32]]:
    """Return samples from all over a scan that has no room in memory."""
    planes = PlaneCache([case], 0, slices).planes(0)
    assert isinstance(planes, ReadPlanes)
    return samples_from(planes)


def expected_of(case: Case) -> list[NDArray[np.float32]]:
    """Return the same samples, from the whole scan."""
    return samples_from(planes_of(case.files.load()))  # type: ignore[union-attr]  # both kinds of files have it


def samples_from(planes: Planes) -> list[NDArray[np.float32]]:
    samples = []
    for depth_mm, shift in ((0.0, (0, 0)), (7.3, (-8, 5)), (13.0, (3, -8)), (26.0, (0, 0))):
        grid = make_grid(planes.geometry, planes.body, CONFIG, Augmentation(1.1, shift, depth_mm))
        samples.append(planes.image(grid, grid.nearest_grid_index(depth_mm / 2), CONFIG).numpy())
    return samples


def entries(folder: Path) -> list[Path]:
    return sorted(path for kind in ("bodies", "slices") for path in (folder / kind).glob("*"))


@pytest.mark.parametrize("layout", OPEN)
def test_single_slices_of_an_open_layout_are_those_of_the_whole_scan(tmp_path: Path, layout: Layout):
    files = layout(tmp_path, scene())
    whole = files.load().voxels  # type: ignore[attr-defined]  # both kinds of files have it
    np.testing.assert_array_equal(whole, scene().voxels)
    for wanted in ((0,), (3, 4, 9), tuple(range(SHAPE[0])), (SHAPE[0] - 1,)):
        found = files.read(wanted)
        assert found is not None
        assert found.dtype == np.int16
        np.testing.assert_array_equal(found, whole[list(wanted)])


@pytest.mark.parametrize("layout", PACKED)
def test_a_packed_layout_says_that_only_the_whole_scan_can_be_read(tmp_path: Path, layout: Layout):
    assert layout(tmp_path, scene()).read((2, 3)) is None


@pytest.mark.parametrize("layout", [*OPEN, *PACKED])
def test_samples_of_every_layout_are_those_of_the_whole_scan_and_the_scan_is_read_whole_once(
    tmp_path: Path, layout: Layout
):
    case, reads = counted(layout(tmp_path / "scan", scene()))
    expected = expected_of(case)
    for _ in range(2):  # the second as another run, which finds what the first one kept
        for found, wanted in zip(samples_of(case, SliceCache(tmp_path / "kept", LIMIT_BYTES)), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert len(reads) == 1
    assert len(entries(tmp_path / "kept")) == 1


@pytest.mark.parametrize("layout", [png, packed_nifti])
def test_without_a_folder_samples_are_the_same_and_it_is_said_once_that_packed_scans_are_slow(
    tmp_path: Path, layout: Layout, caplog: pytest.LogCaptureFixture
):
    cache = SliceCache()
    for name in "ab":
        case = case_of(layout(tmp_path / name, scene()), name)
        for one, other in zip(samples_of(case, cache), expected_of(case), strict=True):
            np.testing.assert_array_equal(one, other)
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == (
        ["No folder keeps the slices of packed scans"] if layout is packed_nifti else []
    )


def test_values_that_are_no_numbers_and_padding_are_the_same_slice_by_slice(tmp_path: Path):
    values = scene().voxels.astype(np.float32)
    values[3], values[5, 10] = np.nan, -3024.6
    save_nifti(tmp_path / "scan.nii", values, scene().geometry)
    files = image(tmp_path / "scan.nii", SeriesFormat.NIFTI)
    found = files.read((3, 5))
    np.testing.assert_array_equal(found, files.load().voxels[[3, 5]])


def test_what_is_kept_of_a_scan_whose_files_have_changed_is_not_believed(tmp_path: Path):
    files = packed_nifti(tmp_path / "scan", scene())
    samples_of(case_of(files), SliceCache(tmp_path / "kept", LIMIT_BYTES))
    packed_nifti(tmp_path / "scan", scene(bright=(10, 20, 2, 30, 40, 9)))
    os.utime(tmp_path / "scan/scan.nii.gz", ns=(1, 1))
    found = samples_of(case_of(files), SliceCache(tmp_path / "kept", LIMIT_BYTES))
    for one, wanted in zip(found, expected_of(case_of(files)), strict=True):
        np.testing.assert_array_equal(one, wanted)


def test_voxels_beside_a_header_are_part_of_what_a_scan_is(tmp_path: Path):
    case, reads = counted(packed_metaimage(tmp_path / "scan", scene()))
    for _ in range(2):
        samples_of(case, SliceCache(tmp_path / "kept", LIMIT_BYTES))
        os.utime(tmp_path / "scan/packed.zraw", ns=(1, 1))
    assert len(reads) == 2


def test_what_was_kept_with_other_settings_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    case, reads = counted(packed_nifti(tmp_path / "scan", scene()))
    samples_of(case, SliceCache(tmp_path / "kept", LIMIT_BYTES))
    monkeypatch.setattr(slice_cache, "CACHE_VERSION", slice_cache.CACHE_VERSION + 1)
    samples_of(case, SliceCache(tmp_path / "kept", LIMIT_BYTES))
    assert len(reads) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "garbage", "gone"])
def test_a_damaged_entry_changes_no_sample_and_is_made_anew(tmp_path: Path, damage: str):
    case, reads = counted(packed_nifti(tmp_path / "scan", scene()))
    cache = SliceCache(tmp_path / "kept", LIMIT_BYTES)
    samples_of(case, cache)
    (entry,) = entries(tmp_path / "kept")
    content = bytearray(entry.read_bytes())
    content[-9] ^= 255
    replaced = {"cut": content[:-4], "flipped": content, "garbage": b"\x00" * 40, "gone": None}[damage]
    entry.unlink() if replaced is None else entry.write_bytes(replaced)
    for kept in (cache, SliceCache(tmp_path / "kept", LIMIT_BYTES)):
        for found, wanted in zip(samples_of(case, kept), expected_of(case), strict=True):
            np.testing.assert_array_equal(found, wanted)
    before = len(reads)
    samples_of(case, SliceCache(tmp_path / "kept", LIMIT_BYTES))
    assert len(reads) == before > 1


def three_scans(folder: Path) -> Sequence[Case]:
    return [case_of(packed_nifti(folder / name, scene()), name) for name in "abc"]


def one_entry_bytes(folder: Path) -> int:
    samples_of(case_of(packed_nifti(folder / "scan", scene())), SliceCache(folder / "kept", LIMIT_BYTES))
    return entries(folder / "kept")[0].stat().st_size


def test_what_was_used_longest_ago_makes_room(tmp_path: Path):
    cases = three_scans(tmp_path)
    cache = SliceCache(tmp_path / "kept", int(2.5 * one_entry_bytes(tmp_path / "one")))
    samples_of(cases[0], cache)
    (first,) = entries(tmp_path / "kept")
    samples_of(cases[1], cache)
    (second,) = set(entries(tmp_path / "kept")) - {first}
    for entry in (first, second):
        os.utime(entry, (0, 0))
    samples_of(cases[0], SliceCache(tmp_path / "kept", LIMIT_BYTES))  # used again
    samples_of(cases[2], cache)
    assert first in entries(tmp_path / "kept")
    assert second not in entries(tmp_path / "kept")
    assert len(entries(tmp_path / "kept")) == 2


def test_what_a_long_run_still_reads_counts_as_used(tmp_path: Path):
    case = case_of(packed_nifti(tmp_path / "scan", scene()))
    planes = PlaneCache([case], 0, SliceCache(tmp_path / "kept", LIMIT_BYTES)).planes(0)
    (entry,) = entries(tmp_path / "kept")
    os.utime(entry, (0, 0))  # opened long ago
    samples_from(planes)
    assert time.time() - entry.stat().st_mtime < slice_cache.USED_SECONDS / 2


def test_a_cache_full_of_what_is_in_use_takes_no_more_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    cases = three_scans(tmp_path)
    cache = SliceCache(tmp_path / "kept", int(1.5 * one_entry_bytes(tmp_path / "one")))
    with caplog.at_level(logging.WARNING):
        for case in cases:
            for found, wanted in zip(samples_of(case, cache), expected_of(case), strict=True):
                np.testing.assert_array_equal(found, wanted)
    assert len(entries(tmp_path / "kept")) == 1
    (record,) = caplog.records
    assert "in the last hour" in record.getMessage()


def test_a_file_that_goes_while_room_is_looked_for_does_not_end_the_keeping(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "kept/slices").mkdir(parents=True)
    (tmp_path / "kept/slices/.renamed.part").symlink_to(tmp_path / "gone")  # listed, and not there when asked about
    with caplog.at_level(logging.WARNING):
        samples_of(case_of(packed_nifti(tmp_path / "scan", scene())), SliceCache(tmp_path / "kept", LIMIT_BYTES))
    assert len(entries(tmp_path / "kept")) == 2
    assert not caplog.records


def test_a_full_disk_leads_to_reading_without_the_cache_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def full(_path: object) -> object:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "disk_usage", full)  # the system's answer, which a test cannot bring about
    cache = SliceCache(tmp_path / "kept", LIMIT_BYTES)
    with caplog.at_level(logging.WARNING):
        for case in three_scans(tmp_path):
            for found, wanted in zip(samples_of(case, cache), expected_of(case), strict=True):
                np.testing.assert_array_equal(found, wanted)
    assert entries(tmp_path / "kept") == []
    (record,) = caplog.records
    assert "No space left" in record.getMessage()


def test_a_folder_that_cannot_be_made_leads_to_reading_without_the_cache(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    case = case_of(packed_nifti(tmp_path / "scan", scene()))
    with caplog.at_level(logging.WARNING):
        found = samples_of(case, SliceCache(tmp_path / "file/kept", LIMIT_BYTES))
    np.testing.assert_array_equal(found[0], expected_of(case)[0])
    assert len(caplog.records) == 1


def test_a_scan_that_its_disk_refuses_is_an_error_and_others_are_kept_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    def refused() -> Volume:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    files = packed_nifti(tmp_path / "scan", scene())
    cache = SliceCache(tmp_path / "kept", LIMIT_BYTES)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        samples_of(case_of(files, "refused", refused), cache)
    samples_of(case_of(files), cache)
    assert len(entries(tmp_path / "kept")) == 1
    assert not caplog.records


def test_what_a_killed_run_left_half_written_is_gone_once_its_scan_is_kept(tmp_path: Path):
    case = case_of(packed_nifti(tmp_path / "scan", scene()))
    samples_of(case, SliceCache(tmp_path / "kept", LIMIT_BYTES))
    (entry,) = entries(tmp_path / "kept")
    entry.rename(entry.with_name(f".{entry.name}.0123456789abcdef.part"))
    samples_of(case, SliceCache(tmp_path / "kept", LIMIT_BYTES))
    assert entries(tmp_path / "kept") == [entry]


@pytest.mark.parametrize("layout", [png, dicom, metaimage, packed_nifti])
def test_a_scan_that_is_gone_is_an_error_and_no_fault_of_the_cache(
    tmp_path: Path, layout: Layout, caplog: pytest.LogCaptureFixture
):
    case = case_of(layout(tmp_path / "scan", scene()))
    shutil.rmtree(tmp_path / "scan")
    with pytest.raises(SeriesError):
        samples_of(case, SliceCache(tmp_path / "kept", LIMIT_BYTES))
    assert not caplog.records


def test_a_slice_that_is_gone_is_missed_by_the_samples_that_need_it_alone(tmp_path: Path):
    files = png(tmp_path, scene())
    (tmp_path / "000001_01_01/050.png").unlink()
    assert files.read((0, 1)) is not None
    with pytest.raises(SeriesError, match="050"):
        files.read((10, 11, 12))
