"""Scans that carry the name of a patient wherever one may stand, and a search for it in everything that is left."""

import base64
import binascii
import json
import pickle
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from support.projects.worker_project import SHAPE, write_scan

NAMES = ("Quibblewick", "Zephyrina", "MRN-77123")
"""A surname, a first name and a patient's number that stand nowhere by chance."""

MAY_HOLD_PATHS = {("roots", "name"), ("roots", "path"), ("series", "paths")}
"""Columns of the catalog in which names of files and folders are kept, as the user guide lists them."""


def write_named_dicom(folder: Path, seed: int) -> None:
    """Write the scan of `write_scan` as DICOM slices of a named patient in files and a folder of that name."""
    folder.mkdir(parents=True)
    write_scan(folder / "voxels.nii.gz", seed)
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "voxels.nii.gz")))
    (folder / "voxels.nii.gz").unlink()
    series_uid, study_uid, frame_uid = generate_uid(), generate_uid(), generate_uid()
    for index, pixels in enumerate(voxels):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.PatientName, dataset.PatientID = f"{NAMES[0]}^{NAMES[1]}", NAMES[2]
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study_uid, series_uid
        dataset.FrameOfReferenceUID = frame_uid
        dataset.StudyDate, dataset.SeriesDescription = "20240229", f"Thorax {NAMES[0]} 1.0 B30f"
        dataset.StudyDescription, dataset.ProtocolName = f"CT {NAMES[1]}", NAMES[0]
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 4.0 * index], [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing, dataset.RescaleIntercept, dataset.RescaleSlope = [2, 2], "-1024", "1"
        dataset.Rows, dataset.Columns = SHAPE[1:]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
        dataset.PixelData = np.clip(pixels.astype(np.int32) + 1024, 0, None).astype("<u2").tobytes()
        dataset.save_as(folder / f"{NAMES[0]}_{index:03d}.dcm", enforce_file_format=True)


def traces_below(folder: Path) -> list[str]:
    """Return where a name stands in the files of a project, beside the columns that may hold paths."""
    found: list[str] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        place = path.relative_to(folder).as_posix()
        texts = [("its name", place), *_texts_of(path)]
        found += [f"{place}: {where}" for where, text in texts if has_name(text)]
    return found


def has_name(text: str) -> bool:
    """Return whether one of the names stands in a text, in whatever letters."""
    return any(name.casefold() in text.casefold() for name in NAMES)


def _texts_of(path: Path) -> Iterator[tuple[str, str]]:
    content = path.read_bytes()
    if content.startswith(b"SQLite format 3"):
        yield from _cells_of(path)
    elif path.suffix == ".parquet":
        table = pq.read_table(path)
        yield "rows", repr(table.to_pylist())
        yield "metadata", repr(table.schema.metadata)
    elif path.suffix == ".pkl":
        yield "content", repr(pickle.loads(content))
    elif not path.name.endswith(("-wal", "-shm")):  # their rows are read with the database
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            yield encoding, content.decode(encoding, errors="replace")


def _cells_of(path: Path) -> Iterator[tuple[str, str]]:
    connection = sqlite3.connect(path)
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            rows = connection.execute(f'SELECT * FROM "{table}"')
            columns = [description[0] for description in rows.description]
            for row in rows:
                for column, value in zip(columns, row, strict=True):
                    if (table, column) not in MAY_HOLD_PATHS:
                        yield from ((f"{table}.{column}", text) for text in _decoded(value))
    finally:
        connection.close()


def _decoded(value: object) -> Iterator[str]:
    """Yield a cell as text, and what is packed in it as base64 or JSON."""
    text = value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
    yield text
    with suppress(binascii.Error, ValueError):
        yield base64.b64decode(text, validate=True).decode("utf-8", errors="replace")
    with suppress(ValueError):
        yield json.dumps(json.loads(text), ensure_ascii=False)
