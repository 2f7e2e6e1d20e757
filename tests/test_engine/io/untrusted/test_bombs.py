"""Small files that announce, or unpack to, more than a machine has: each in vain, and in little memory."""

import gzip
import json
import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian
from support.processes import reading_untrusted

from lens_engine.errors import ConfigError, SeriesError
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.limits import MAX_TABLE_BYTES, MEGAVOXELS_VARIABLE, max_voxels, refuse_huge_scan
from lens_engine.io.series import read_volume, scan
from lens_engine.volume import Volume

ZEROS = 1 << 26
PACKED_ZEROS = gzip.compress(bytes(ZEROS), compresslevel=9)
MOST_MIB = 150
"""Far less than any of the files below announces or unpacks to; a read takes some of it for code and buffers."""


def nifti_header(shape: tuple[int, int, int], number_type: type = np.int16) -> bytes:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(number_type)
    header.set_data_shape(shape)
    header["pixdim"][1:4] = 1
    header["magic"], header["vox_offset"] = b"n+1", 352
    return bytes(header.binaryblock) + bytes(4)


def metaimage_header(shape: tuple[int, int, int], **more: str) -> bytes:
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "DimSize": " ".join(map(str, shape)),
        "ElementSpacing": "1 1 1",
        "ElementType": "MET_SHORT",
        **more,
        "ElementDataFile": "LOCAL",
    }
    return "".join(f"{key} = {value}\n" for key, value in fields.items()).encode()


def nrrd_header(shape: tuple[int, int, int], encoding: str) -> bytes:
    sizes = " ".join(map(str, shape))
    return f"NRRD0004\ntype: short\ndimension: 3\nsizes: {sizes}\nendian: little\nencoding: {encoding}\n\n".encode()


def png(rows: int, columns: int, rest: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))

    head = struct.pack(">LLBBBBB", columns, rows, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rest) + chunk(b"IEND", b"")


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def write_bombs(folder: Path, write_dicom: Callable[..., list[Path]]) -> dict[Path, str]:
    """Write each bomb, and return what the message about it says."""
    huge, large = (2000, 2000, 2000), (1000, 1000, 1000)
    zlib_zeros = zlib.compress(bytes(ZEROS), 9)
    contents = {
        "packed.nii.gz": (gzip.compress(nifti_header(huge)) + PACKED_ZEROS * 100, "8000 million"),
        "packed_as_labels.nii.gz": (gzip.compress(nifti_header(huge, np.uint8)) + PACKED_ZEROS * 100, "8000 million"),
        "short.nii": (nifti_header(large), "incomplete"),
        "short.nii.gz": (gzip.compress(nifti_header(large)), "incomplete"),
        "forged_trailer.nii.gz": (
            gzip.compress(nifti_header(large))[:-4] + struct.pack("<L", 352 + 2 * 10**9),
            "incomplete",
        ),
        "goes_on.nii.gz": (gzip.compress(nifti_header((2, 2, 2)) + bytes(16)) + PACKED_ZEROS * 20, "damaged"),
        "late_voxels.nii.gz": (
            gzip.compress(nifti_header((2, 2, 2))[:108] + struct.pack("<f", 4e9) + nifti_header((2, 2, 2))[112:])
            + PACKED_ZEROS * 20,
            "damaged",
        ),
        "huge.mha": (metaimage_header(huge), "8000 million"),
        "short.mha": (metaimage_header(large), "incomplete"),
        "packed.mha": (metaimage_header(large, CompressedData="True") + zlib_zeros, "incomplete"),
        "packed_lie.mha": (
            metaimage_header(large, CompressedData="True", CompressedDataSize=str(10**12)) + zlib_zeros,
            "incomplete",
        ),
        "overflow.mha": (metaimage_header((2**40, 2**40, 2**40)), "at most"),
        "huge.nrrd": (nrrd_header(huge, "raw"), "8000 million"),
        "packed.nrrd": (nrrd_header(huge, "gzip") + PACKED_ZEROS * 100, "8000 million"),
        "goes_on.nrrd": (nrrd_header((2, 2, 2), "gzip") + PACKED_ZEROS * 20, "damaged"),
    }
    told: dict[Path, str] = {}
    for name, (content, message) in contents.items():
        (folder / name).write_bytes(content)
        told[folder / name] = message
    for name in ("table.csv", "set.json", "set.pkl"):
        sparse(folder / name, 20 * MAX_TABLE_BYTES)
        told[folder / name] = "larger than"
    (folder / "memo.pickle").write_bytes(b"\x80\x02}r" + struct.pack("<L", 2**31 - 1) + b".")
    told[folder / "memo.pickle"] = "not a complete pickle"
    empty = pickle.dumps({"val": {"000410_02_02_039-099": np.zeros((0, 6))}}, protocol=3)
    wide = empty.replace(b"K\x00K\x06\x86", b"J\x00\x00\x00\x08K\x06\x86")
    (folder / "wide.pickle").write_bytes(wide)
    told[folder / "wide.pickle"] = "not a"
    picture = folder / "000001_01_01"
    picture.mkdir()
    (picture / "001.png").write_bytes(png(60_000, 60_000, zlib.compress(bytes(10**6))))
    told[picture] = "3600 million"
    rows = folder / "rows"
    write_dicom(rows, lambda dataset, _: setattr(dataset, "Rows", 60_000) or setattr(dataset, "Columns", 60_000))
    told[rows] = "bytes of pixels"
    deflated = folder / "deflated"
    first, *_ = write_dicom(deflated)
    content = first.read_bytes()
    syntax = content.index(b"1.2.840.10008.1.2.1\0")
    uid = DeflatedExplicitVRLittleEndian.encode()
    meta = content[: syntax - 2] + struct.pack("<H", len(uid)) + uid
    packing = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    pieces = [packing.compress(bytes(ZEROS)) for _ in range(60)]
    first.write_bytes(meta + b"".join(pieces) + packing.flush())
    told[first] = "unpacks to more than"
    return told


def test_no_bomb_takes_more_memory_than_it_may(tmp_path, write_dicom):
    told = write_bombs(tmp_path, write_dicom)
    program = [sys.executable, reading_untrusted.__file__, *map(str, told)]
    result = subprocess.run(program, capture_output=True, text=True, timeout=240, check=True)
    answer = json.loads(result.stdout.splitlines()[-1])
    unclear = {
        path.name: answer["files"][path.name]["messages"]
        for path, message in told.items()
        if message not in " ".join(answer["files"][path.name]["messages"])
    }
    assert unclear == {}
    slow = {name: one["seconds"] for name, one in answer["files"].items() if one["seconds"] > 20}
    assert slow == {}
    assert answer["grown_mib"] < MOST_MIB + (MAX_TABLE_BYTES >> 20)
    assert result.stderr == ""


def test_the_limit_is_raised_and_lowered_by_the_variable_that_the_message_names(tmp_path, monkeypatch):
    voxels = np.zeros((100, 100, 101), np.int16)
    voxels[:, :, :50] = -1000
    voxels[:, 0, 0] = np.arange(-500, -400)
    nibabel.save(nibabel.Nifti1Image(voxels * 2, np.eye(4)), tmp_path / "scan.nii.gz")
    (found,) = scan([tmp_path]).found
    monkeypatch.setenv(MEGAVOXELS_VARIABLE, "1")
    (problem,) = scan([tmp_path]).problems
    assert "scan.nii.gz announces 100 x 100 x 101 voxels, 2 million" in problem.happened
    assert f"{MEGAVOXELS_VARIABLE} to 2" in problem.remedy
    with pytest.raises(SeriesError, match="at most 1 million"):
        read_volume(found.source)
    monkeypatch.setenv(MEGAVOXELS_VARIABLE, "2")
    assert scan([tmp_path]).found == (found,)


def test_a_dicom_series_keeps_to_the_limit_as_a_whole(tmp_path, write_dicom, monkeypatch):
    voxels = np.zeros((6, 500, 400), np.int16)
    write_dicom(tmp_path, volume=Volume(voxels, VolumeGeometry(voxels.shape, spacing_mm=(2.5, 0.8, 0.7))))
    monkeypatch.setenv(MEGAVOXELS_VARIABLE, "1")
    assert "announces 6 x 500 x 400 voxels, 2 million" in str(scan([tmp_path]).problems[0])


@pytest.mark.parametrize("text", ["many", "-3", "0", "1.5", "²"])
def test_a_limit_that_is_no_number_is_refused(text, monkeypatch):
    monkeypatch.setenv(MEGAVOXELS_VARIABLE, text)
    with pytest.raises(ConfigError, match=MEGAVOXELS_VARIABLE):
        max_voxels()


def test_an_empty_variable_leaves_the_limit_as_it_is(monkeypatch):
    monkeypatch.setenv(MEGAVOXELS_VARIABLE, " ")
    refuse_huge_scan("scan", (1024, 1024, 1024))
