"""Names that lead out of the given folder, and what lies in a folder that is no file to read."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.processes import reading_untrusted

from lens_engine.io.series import scan

OUTSIDE = "names a file outside its folder"


def header_naming(kind: str, named: str) -> str:
    if kind == "scan.mhd":
        return (
            "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementSpacing = 1 1 1\nElementType = MET_SHORT\n"
            f"ElementDataFile = {named}\n"
        )
    return (
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nspacings: 1 1 1\nencoding: raw\nendian: little\n"
        f"data file: {named}\n"
    )


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret" / "voxels.raw"
    path.parent.mkdir()
    path.write_bytes(bytes(range(16)))
    return path


@pytest.mark.parametrize("kind", ["scan.mhd", "scan.nhdr"])
@pytest.mark.parametrize(
    "named", ["{secret}", "../secret/voxels.raw", "sub/../../secret/voxels.raw", "..\\secret\\voxels.raw", "C:\\v.raw"]
)
def test_a_header_reads_no_file_outside_its_folder(kind, named, tmp_path, secret):
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / kind).write_text(header_naming(kind, named.format(secret=secret)))
    report = scan([folder])
    assert not report.found
    assert OUTSIDE in str(report.problems[0])
    assert "secret" not in str(report.problems[0])


@pytest.mark.parametrize("kind", ["scan.mhd", "scan.nhdr"])
@pytest.mark.parametrize("named", ["LIST\n../secret/voxels.raw", "slice%03d.raw 1 2 1", "list 2"])
def test_a_header_reads_no_list_and_no_pattern_of_files(kind, named, tmp_path, secret):
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / kind).write_text(header_naming(kind, named))
    assert "names a list of files" in str(scan([folder]).problems[0])


@pytest.mark.parametrize("kind", ["scan.mhd", "scan.nhdr"])
def test_a_header_may_name_a_file_below_its_folder(kind, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "voxels.raw").write_bytes((b"\x18\xfc" + b"\x40\x00") * 4)
    (tmp_path / kind).write_text(header_naming(kind, "data/voxels.raw"))
    (found,) = scan([tmp_path / kind]).found
    assert found.geometry.shape == (2, 2, 2)


def test_pipes_sockets_links_to_nowhere_and_circles_are_no_scans_and_hold_nobody_up(tmp_path, write_dicom, monkeypatch):
    write_dicom(tmp_path / "ct")
    os.mkfifo(tmp_path / "pipe.mhd")
    os.mkfifo(tmp_path / "DL_info.csv")
    (tmp_path / "device.nii").symlink_to("/dev/zero")
    (tmp_path / "nowhere.nii.gz").symlink_to(tmp_path / "gone.nii.gz")
    (tmp_path / "circle.nrrd").symlink_to(tmp_path / "circle.nrrd")
    (tmp_path / "ct" / "above").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("listening.mha")
        report = scan([tmp_path])
    assert len(report.found) == 1
    assert report.skipped["pipe or device, not a file"] == 4
    assert sorted(Path(str(problem).split()[0]).name for problem in report.problems) == [
        "circle.nrrd",
        "nowhere.nii.gz",
    ]


@pytest.mark.parametrize("kind", ["scan.mhd", "scan.nhdr"])
def test_voxels_in_a_pipe_are_not_waited_for(kind, tmp_path):
    os.mkfifo(tmp_path / "voxels.raw")
    (tmp_path / kind).write_text(header_naming(kind, "voxels.raw"))
    assert "cannot be read" in str(scan([tmp_path / kind]).problems[0])


def test_a_name_that_is_no_text_ends_neither_the_process_nor_the_folder(tmp_path, write_image, write_dicom):
    write_dicom(tmp_path / "ct")
    broken = os.fsdecode(os.fsencode(tmp_path) + b"/Z\xfcrich.nii.gz")
    os.rename(write_image(tmp_path / "scan.nii.gz"), broken)
    csv = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.csv")
    Path(csv).write_text("a,b\n1,2\n")
    program = [sys.executable, reading_untrusted.__file__, str(tmp_path), broken, csv]
    result = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    assert "The name of " in result.stdout
    assert "Z?rich.nii.gz is not valid text" in result.stdout
    assert result.stderr == ""
    assert len(scan([tmp_path]).found) == 1
