"""The published manual 3D test set, in and out: complete boxes of named sub-volumes, as pickle or JSON.

The JSON form has room for who read each sub-volume; beside a pickle that is a table of its own.

A row is `[x1, y1, z1, x2, y2, z2]` of whole numbers with inclusive ends; z counts slices of the whole series as its
name does (`000410_02_02_039-099` begins with slice 39). `boxes_from_rows` and `rows_from_boxes` are the only way
between rows and canonical boxes. A pickle from outside can run code, so it is read by an unpickler that knows three
numpy names.
"""

import io
import pickle
import pickletools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from lens_engine.boxes import from_inclusive, to_inclusive
from lens_engine.errors import AnnotationFileError, LensError
from lens_engine.findings import Box3D, Segment2D, slices_of_box
from lens_engine.io.annotations.imported import (
    AnnotationFormat,
    ImportedAnnotations,
    ImportedLesion,
    ImportedSubVolume,
    TestSetPart,
)
from lens_engine.io.atomic_files import write_bytes_atomically, write_text_atomically
from lens_engine.io.limits import read_table_bytes
from lens_engine.io.series_source import GivenName, parse_series_name
from lens_engine.io.tables import write_text_table

PICKLE_PROTOCOL = 3
"""The protocol of the published file; numpy 1 and 2 can both read its numpy globals."""

READING_COLUMNS = (
    "name", "reader", "round", "is_blind", "has_reviewed", "aids_shown_at", "started_at", "completed_at", "seconds",
    "lesions",
)  # fmt: skip

_OLD_MODULE = "numpy.core.multiarray"
_NEW_MODULE = "numpy._core.multiarray"
_ALLOWED_GLOBALS = {
    (_OLD_MODULE, "_reconstruct"),
    (_NEW_MODULE, "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}
_NOTING = {"PUT", "BINPUT", "LONG_BINPUT"}
_JSON_DESCRIPTION = (
    "Complete 3D lesion boxes. Each part maps the name of a sub-volume (patient_study_series_first-last slice number)"
    " to its boxes. x and y are pixel indices from 0, x from the patient's right to left, y from front to back;"
    " z is the slice number in the whole series, from head to feet. Both ends are inclusive: size = high - low + 1."
)


class ExportFormat(StrEnum):
    """How annotations leave the project."""

    MANUAL_PICKLE = "manual-pickle"
    """The published layout of the manual 3D test set."""
    JSON = "json"
    """The same content as JSON."""


class LesionRemark(BaseModel):
    """What a reader said of one lesion beside its box.

    Attributes
    ----------
    box
        The lesion, as the boxes of the file are given.
    comment
        The reader's own words; empty without any.
    axes_slice
        The slice number that the axes were drawn on; None without any.
    long_axis, short_axis
        `x1, y1, x2, y2` of both ends as pixel indices, which are whole in the middle of a pixel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    box: tuple[int, int, int, int, int, int]
    reader: str
    comment: str = ""
    axes_slice: int | None = None
    long_axis: Segment2D | None = None
    short_axis: Segment2D | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ManualSubVolume:
    """The complete annotation of one sub-volume, as in the file.

    Attributes
    ----------
    rows
        float64 (n, 6) of whole numbers; n may be 0.
    remarks
        What readers said of some of the lesions beside their boxes; the JSON form alone has room for it.
    """

    part: TestSetPart
    name: str
    rows: NDArray[np.float64]
    remarks: tuple[LesionRemark, ...] = ()

    def __post_init__(self) -> None:
        given = sub_volume_name(self.name)
        problem = _problem_of_rows(self.rows, given)
        if problem:
            raise AnnotationFileError(
                f"The boxes of {self.name} ({self.part}) are not a manual annotation: {problem}",
                "float64 rows x1, y1, z1, x2, y2, z2 of whole numbers with low <= high are needed,"
                " z inside the slice range of the name",
                "Correct the sub-volume",
            )


def sub_volume_name(name: str) -> GivenName:
    """Return the parts of a sub-volume's name.

    Raises
    ------
    AnnotationFileError
        If it is not of the form `000410_02_02_039-099`.
    """
    given = parse_series_name(name)
    if given is None or given.first_slice is None or given.last_slice is None or given.first_slice > given.last_slice:
        raise AnnotationFileError(
            f"{name!r} is not the name of a sub-volume",
            "A name like 000410_02_02_039-099 (patient, study, series, first and last slice) is needed",
            "Correct the name",
        )
    return given


def boxes_from_rows(rows: NDArray[np.float64], first_slice_number: int) -> NDArray[np.float64]:
    """Return rows of the file as canonical half-open boxes (n, 6), slice index 0 being `first_slice_number`."""
    boxes = from_inclusive(rows)
    boxes[:, [2, 5]] -= first_slice_number
    return boxes


def rows_from_boxes(boxes: NDArray[np.float64], first_slice_number: int) -> NDArray[np.float64]:
    """Return canonical half-open boxes (n, 6) as rows of the file, rounded outwards; inverse for whole boxes."""
    rows = to_inclusive(np.asarray(boxes, dtype=np.float64).reshape(-1, 6))
    rows[:, [2, 5]] += first_slice_number
    return rows


def import_manual_test_set(path: Path) -> ImportedAnnotations:
    """Read a manual test set (pickle or JSON) as lesions and sub-volumes in the order of the file.

    Raises
    ------
    AnnotationFileError
        If the file is not one, or its pickle asks for anything but numpy arrays.
    """
    read = read_json if path.suffix.lower() == ".json" else read_pickle
    lesions: list[ImportedLesion] = []
    sub_volumes: list[ImportedSubVolume] = []
    for sub_volume in read(path):
        first = sub_volume_name(sub_volume.name).first_slice or 0
        sub_volumes.append(ImportedSubVolume(sub_volume.name, sub_volume.part))
        for row in boxes_from_rows(sub_volume.rows, first).tolist():
            box: Box3D = (row[0], row[1], row[2], row[3], row[4], row[5])
            lesions.append(ImportedLesion(sub_volume.name, first, box, slices_of_box(box)))
    return ImportedAnnotations(AnnotationFormat.MANUAL_TEST_SET, path.name, tuple(lesions), tuple(sub_volumes))


def read_pickle(path: Path) -> tuple[ManualSubVolume, ...]:
    """Read the published pickle.

    Raises
    ------
    AnnotationFileError
        If the file is not one, or asks for a global other than numpy's arrays.
    """
    content = _bytes_of(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # Python's about how texts are escaped are no news to the user
            _refuse_huge_memo(content)
            parts = _NumpyOnlyUnpickler(io.BytesIO(content)).load()
    except LensError:
        raise
    except (
        pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, AttributeError, IndexError,
        MemoryError, OverflowError, RecursionError,
    ) as error:  # fmt: skip
        raise _not_a_test_set(path, f"it is not a complete pickle ({type(error).__name__})") from error
    if not isinstance(parts, dict) or not set(parts) <= set(TestSetPart):
        raise _not_a_test_set(path, f"it holds {_what_is(parts)}")
    sub_volumes = []
    for part, arrays in parts.items():
        if not isinstance(arrays, dict):
            raise _not_a_test_set(path, f"its part {part} is {_what_is(arrays)}")
        for name, rows in arrays.items():
            if not isinstance(name, str) or not isinstance(rows, np.ndarray):
                raise _not_a_test_set(path, f"{name!r} of part {part} is {_what_is(rows)}")
            if rows.nbytes > len(content):
                raise _not_a_test_set(path, f"{name!r} of part {part} has shape {rows.shape}, more than the file holds")
            sub_volumes.append(ManualSubVolume(TestSetPart(part), name, rows))
    return tuple(sub_volumes)


def write_pickle(path: Path, sub_volumes: Iterable[ManualSubVolume]) -> None:
    """Write the published layout, loadable by numpy 1 and 2 and by a plain `pickle.load`.

    Raises
    ------
    ExportError
        If the file cannot be written; an older one is unchanged.
    """
    parts: dict[str, dict[str, NDArray[np.float64]]] = {part.value: {} for part in TestSetPart}
    for sub_volume in _unique(sub_volumes):
        parts[sub_volume.part.value][sub_volume.name] = np.ascontiguousarray(sub_volume.rows)
    write_bytes_atomically(path, _with_old_module(pickle.dumps(parts, protocol=PICKLE_PROTOCOL)))


def write_predictions(path: Path, part: TestSetPart, predictions: Mapping[str, NDArray[np.float64]]) -> None:
    """Write what a detector found as the official evaluation script wants it: as `write_pickle`, with a score per row.

    Parameters
    ----------
    predictions
        For every sub-volume of the part, also those without any, canonical half-open boxes and scores (n, 7). Edges
        are not rounded: the script's sizes (high - low + 1) are then ours.

    Raises
    ------
    AnnotationFileError
        If a name is not that of a sub-volume.
    ExportError
        If the file cannot be written; an older one is unchanged.
    """
    rows = {name: _scored_rows(found, sub_volume_name(name).first_slice or 0) for name, found in predictions.items()}
    write_bytes_atomically(path, _with_old_module(pickle.dumps({part.value: rows}, protocol=PICKLE_PROTOCOL)))


class SubVolumeReading(BaseModel):
    """One reader's reading of one sub-volume, complete or in progress.

    Attributes
    ----------
    round
        1: one of two that know nothing of each other; 2: an adjudication of where they differ.
    has_reviewed
        Whether this reader had decided about findings of a model in this series before the reading was complete, or
        until now.
    aids_shown_at
        When the reader first asked for what a model found; None for a blind reading.
    completed_at
        None of a reading that is in progress.
    seconds
        How long the reader was at work.
    boxes
        What this reader marked, as the boxes of the file are given; in an adjudication, what was accepted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reader: str
    round: int
    is_blind: bool
    has_reviewed: bool
    aids_shown_at: datetime | None
    started_at: datetime
    completed_at: datetime | None
    seconds: float
    boxes: tuple[tuple[int, int, int, int, int, int], ...]


class TestSetFile(BaseModel):
    """The JSON form; it says itself how to read it. Version 2 has readings and remarks, by the names of sub-volumes."""

    __test__ = False  # pytest must not collect it for its name
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["lens-manual-test-set"] = "lens-manual-test-set"
    version: Literal[1, 2] = 1
    description: str = _JSON_DESCRIPTION
    axis_order: tuple[str, ...] = ("x1", "y1", "z1", "x2", "y2", "z2")
    unit: str = "x, y: pixel index from 0; z: slice number of the series"
    ends: Literal["inclusive"] = "inclusive"
    remarks: dict[str, tuple[LesionRemark, ...]] = {}
    val: dict[str, tuple[tuple[int, int, int, int, int, int], ...]]
    test: dict[str, tuple[tuple[int, int, int, int, int, int], ...]]
    readings: dict[str, tuple[SubVolumeReading, ...]] = {}
    """By the name of the sub-volume."""


def read_json(path: Path) -> tuple[ManualSubVolume, ...]:
    """Read what `write_json` wrote.

    Raises
    ------
    AnnotationFileError
        If the file does not have that form.
    """
    try:
        file = TestSetFile.model_validate_json(_bytes_of(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _not_a_test_set(path, f"{place}: {first['msg']}") from error
    return tuple(
        ManualSubVolume(part, name, np.asarray(rows, dtype=np.float64).reshape(-1, 6), file.remarks.get(name, ()))
        for part, boxes in ((TestSetPart.VAL, file.val), (TestSetPart.TEST, file.test))
        for name, rows in boxes.items()
    )


def write_json(
    path: Path,
    sub_volumes: Iterable[ManualSubVolume],
    readings: Mapping[str, Sequence[SubVolumeReading]] = MappingProxyType({}),
) -> None:
    """Write the same content as JSON that states its axis order, unit and inclusive ends, and who read what.

    Raises
    ------
    ExportError
        If the file cannot be written; an older one is unchanged.
    """
    parts: dict[str, dict[str, Any]] = {part.value: {} for part in TestSetPart}
    remarks: dict[str, tuple[LesionRemark, ...]] = {}
    for sub_volume in _unique(sub_volumes):
        parts[sub_volume.part.value][sub_volume.name] = sub_volume.rows.astype(int).tolist()
        if sub_volume.remarks:
            remarks[sub_volume.name] = sub_volume.remarks
    more = {"readings": {name: tuple(found) for name, found in readings.items()}, "remarks": remarks}
    left_out = {name for name, values in more.items() if not values}
    file = TestSetFile(version=1 if left_out == set(more) else 2, val=parts["val"], test=parts["test"], **more)
    write_text_atomically(path, file.model_dump_json(indent=1, exclude=left_out) + "\n")


def write_readings(path: Path, readings: Mapping[str, Sequence[SubVolumeReading]]) -> None:
    """Write who read what as a table, for the form that has no room for it.

    Raises
    ------
    ExportError
        If the file cannot be written; an older one is unchanged.
    """
    rows = [
        [
            name,
            one.reader,
            str(one.round),
            str(one.is_blind),
            str(one.has_reviewed),
            "" if one.aids_shown_at is None else one.aids_shown_at.isoformat(),
            one.started_at.isoformat(),
            "" if one.completed_at is None else one.completed_at.isoformat(),
            f"{one.seconds:.0f}",
            str(len(one.boxes)),
        ]
        for name, found in readings.items()
        for one in found
    ]
    write_text_table(path, READING_COLUMNS, rows)


class _NumpyOnlyUnpickler(pickle.Unpickler):
    """An unpickler that can build numpy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED_GLOBALS:
            raise AnnotationFileError(
                f"The pickle asks for {module}.{name}, which could run foreign code; nothing of it was loaded",
                "Only numpy arrays may be in a manual test set",
                "Do not use this file; get the original one from its publisher",
            )
        # numpy 1 and 2 keep the same function in modules of different names.
        return np.ndarray.__reduce__(np.empty(0))[0] if name == "_reconstruct" else getattr(np, name)


def _refuse_huge_memo(pickled: bytes) -> None:
    """Refuse a pickle that notes an object under a far number: memory would be taken for all numbers before.

    Raises
    ------
    ValueError
        If it does, or is no complete pickle.
    """
    for count, (code, argument, _) in enumerate(pickletools.genops(pickled)):
        if code.name in _NOTING and isinstance(argument, int) and argument > count:
            raise ValueError(f"the object {argument} of {count}")


def _scored_rows(found: NDArray[np.float64], first_slice_number: int) -> NDArray[np.float64]:
    rows = np.array(found, dtype=np.float64).reshape(-1, 7)
    rows[:, 3:6] -= 1
    rows[:, [2, 5]] += first_slice_number
    return rows


def _with_old_module(pickled: bytes) -> bytes:
    """Return a protocol 3 pickle in which numpy's constructor has the module name that numpy 1 and 2 both know."""
    new = f"c{_NEW_MODULE}\n".encode()
    pieces = []
    done = 0
    for code, argument, position in pickletools.genops(pickled):
        if code.name == "GLOBAL" and str(argument).startswith(f"{_NEW_MODULE} ") and position is not None:
            pieces += [pickled[done:position], f"c{_OLD_MODULE}\n".encode()]
            done = position + len(new)
    return b"".join([*pieces, pickled[done:]])


def _unique(sub_volumes: Iterable[ManualSubVolume]) -> Sequence[ManualSubVolume]:
    listed = list(sub_volumes)
    seen: set[tuple[str, str]] = set()
    for sub_volume in listed:
        key = (sub_volume.part.value, sub_volume.name)
        if key in seen:
            raise AnnotationFileError(
                f"{sub_volume.name} is there twice in part {sub_volume.part}", "Each name may occur once", "Rename one"
            )
        seen.add(key)
    return listed


def _problem_of_rows(rows: NDArray[np.float64], given: GivenName) -> str:
    if rows.dtype != np.float64 or rows.ndim != 2 or rows.shape[1] != 6:
        return f"the array is {rows.dtype} of shape {rows.shape}"
    wrong = (~np.isfinite(rows) | (rows != np.rint(rows))).any(axis=1) | (rows[:, 3:] < rows[:, :3]).any(axis=1)
    outside = (rows[:, 2] < (given.first_slice or 0)) | (rows[:, 5] > (given.last_slice or 0))
    for fault, mask in (("is not a box of whole numbers", wrong), ("leaves the slice range", outside)):
        if mask.any():
            index = int(np.flatnonzero(mask)[0])
            return f"row {index} {rows[index].tolist()} {fault}"
    return ""


def _bytes_of(path: Path) -> bytes:
    try:
        return read_table_bytes(path)
    except OSError as error:
        raise AnnotationFileError(
            f"{path} cannot be read: {error.strerror or error}", "A readable file is needed", "Check the path"
        ) from error


def _what_is(value: object) -> str:
    return f"a dictionary with the keys {list(value)[:3]}" if isinstance(value, dict) else f"a {type(value).__name__}"


def _not_a_test_set(path: Path, why: str) -> AnnotationFileError:
    return AnnotationFileError(
        f"{path.name} is not a manual test set: {why}",
        "A pickle or JSON with the parts val and test is needed, each a dictionary of sub-volume names and boxes",
        "Use the published file or one that was exported here",
    )
