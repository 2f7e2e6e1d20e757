"""Small valid files with changed bytes: each reader gives a result or one of our errors, quickly, and says no more."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)
from support.files.rtstruct_file import write_rtstruct
from support.processes.reading_untrusted import messages_of

from lens_engine.geometry import VolumeGeometry
from lens_engine.io.annotations.imported import KnownSeries, TestSetPart
from lens_engine.io.annotations.manual_test_set import ManualSubVolume, write_json, write_pickle

EXAMPLES = int(os.environ.get("LENS_TEST_EXAMPLES", "12"))
"""Of each kind of file; a thousand with `make soak`."""
SLOWEST_MS = 60_000
GEOMETRY = VolumeGeometry((6, 8, 10), spacing_mm=(2.5, 0.8, 0.7), origin_mm=(-35.5, -20.25, 110.0))
KNOWN = (KnownSeries("chest", "1.2.3.4", GEOMETRY), KnownSeries("000001_01_02_039-044", None, GEOMETRY))
ROWS = np.asarray([[1.0, 2.0, 40.0, 3.0, 4.0, 41.0]])
SUB_VOLUMES = (ManualSubVolume(TestSetPart.VAL, "000410_02_02_039-099", ROWS),)

Write = Callable[[str], Path]


def compress_by_gdcm(dataset: Dataset, compressor: str, beside: Path) -> None:
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetUseCompression(True)
    writer.SetCompressor(compressor)
    writer.SetFileName(str(beside))
    writer.Execute(sitk.GetImageFromArray(dataset.pixel_array[None]))
    compressed = pydicom.dcmread(beside)
    dataset.file_meta.TransferSyntaxUID = compressed.file_meta.TransferSyntaxUID
    dataset["PixelData"] = compressed["PixelData"]


def write_packed(path: Path) -> Path:
    voxels = np.arange(-1000, -760).reshape(4, 6, 10).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(voxels * 3), str(path), useCompression=True)
    return path


def write_mask(path: Path) -> Path:
    labels = np.zeros((6, 8, 10), np.uint8)
    labels[2:4, 3:5, 4:7] = 1
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(path))
    return path


def write_contours(path: Path) -> Path:
    corners = np.asarray([(2, 1.5, 2.5), (2, 1.5, 6.5), (2, 4.5, 6.5), (2, 4.5, 2.5)])
    return write_rtstruct(path, [("GTV", "GTV", [GEOMETRY.index_to_mm(corners)])])


def write_test_set(path: Path) -> Path:
    (write_json if path.suffix == ".json" else write_pickle)(path, SUB_VOLUMES)
    return path


ENCODINGS: dict[str, Callable[[Dataset, Path], None]] = {
    "DICOM": lambda dataset, _: None,
    "DICOM implicit": lambda dataset, _: setattr(dataset.file_meta, "TransferSyntaxUID", ImplicitVRLittleEndian),
    "DICOM deflated": lambda data, _: setattr(data.file_meta, "TransferSyntaxUID", DeflatedExplicitVRLittleEndian),
    "DICOM RLE": lambda dataset, _: dataset.compress(RLELossless),
    "DICOM JPEG-LS": lambda dataset, _: dataset.compress(JPEGLSLossless),
    "DICOM JPEG": lambda dataset, beside: compress_by_gdcm(dataset, "JPEG", beside),
    "DICOM JPEG 2000": lambda dataset, beside: compress_by_gdcm(dataset, "JPEG2000", beside),
}
OF_ONE_FILE: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "MetaImage packed": ("packed.mha", write_packed),
    "mask": ("mask.nrrd", write_mask),
    "contours": ("gtv.dcm", write_contours),
    "test set as JSON": ("set.json", write_test_set),
    "test set as pickle": ("set.pkl", write_test_set),
}
IMAGES = {
    "NIfTI": "scan.nii",
    "NIfTI packed": "scan.nii.gz",
    "MetaImage": "scan.mha",
    "MetaImage header": "scan.mhd",
    "NRRD": "scan.nrrd",
    "NRRD header": "scan.nhdr",
}
KINDS = [*ENCODINGS, *OF_ONE_FILE, *IMAGES, "DICOM enhanced", "PNG", "CSV"]


@pytest.fixture
def write_seed(tmp_path, write_dicom, write_enhanced, write_image, write_png_series, write_csv) -> Write:
    """Return a function that writes a valid file of a kind, with its company, and returns the file to be changed."""

    def write(kind: str) -> Path:
        if kind in ENCODINGS:
            beside = tmp_path.parent / f"{tmp_path.name}.compressed"
            return write_dicom(tmp_path / "ct", lambda dataset, _: ENCODINGS[kind](dataset, beside))[3]
        if kind in OF_ONE_FILE:
            name, write_one = OF_ONE_FILE[kind]
            return write_one(tmp_path / name)
        if kind in IMAGES:
            return write_image(tmp_path / IMAGES[kind])
        if kind == "DICOM enhanced":
            return write_enhanced(tmp_path / "enhanced.dcm")
        table = write_csv(tmp_path)
        write_png_series(tmp_path / "000001_01_02", (39, 40, 41))
        return table if kind == "CSV" else tmp_path / "000001_01_02" / "040.png"

    return write


PLACES = st.floats(0, 1, exclude_max=True)
DIGITS = st.text("0123456789-+.eE,:()[]{} naif", max_size=6).map(str.encode)
EDITS = st.lists(st.tuples(PLACES, st.one_of(st.binary(max_size=6), DIGITS), st.integers(0, 6)), max_size=5)
LENGTHS = st.one_of(st.just(1.0), st.just(1.0), PLACES)


def changed(content: bytes, edits: list[tuple[float, bytes, int]], length: float) -> bytes:
    """Return the bytes with some replaced, more of them near the start, where headers are, and the end cut off."""
    edited = bytearray(content)
    for place, piece, replaced in edits:
        at = int(place * place * len(edited))
        edited[at : at + replaced] = piece
    return bytes(edited[: int(length * len(edited))])


def check(seed: Path, edits: list[tuple[float, bytes, int]], length: float, content: bytes) -> None:
    seed.write_bytes(changed(content, edits, length))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        messages = messages_of(seed, KNOWN) + messages_of(seed.parent, KNOWN)
    assert [str(warning.message) for warning in told] == []
    assert all(message.replace("\n", " ").isprintable() for message in messages)


BY_HAND = settings(
    deadline=SLOWEST_MS, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.parametrize("kind", KINDS)
def test_changed_bytes_give_a_result_or_an_error_of_ours(kind, write_seed, capfd):
    seed = write_seed(kind)
    content = seed.read_bytes()

    @settings(BY_HAND, max_examples=EXAMPLES)
    @given(EDITS, LENGTHS)
    @example([], 0.5)
    @example([(0.0, b"\n", 0)], 1.0)
    @example([(0.5, b"\\\0", 0)], 1.0)  # a letter escaped as none is
    def try_it(edits, length):
        check(seed, edits, length, content)

    try_it()
    assert capfd.readouterr() == ("", "")
