"""Find CT series in files and folders of any supported format, and read their voxels.

What a scan meets beside CT series is normal and counted; what is wrong with one series never stops the others.
"""

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import ConfigError, GeometryError, LensError, SeriesError
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.deeplesion_png import (
    describe_sub_volume,
    is_deeplesion_png,
    read_png_slices,
    read_png_volume,
    sub_volumes,
)
from lens_engine.io.dicom.headers import CtHeader, DamagedSliceError, read_header
from lens_engine.io.dicom.series import describe_series, read_dicom_slices, read_dicom_volume
from lens_engine.io.images.image_files import (
    describe_image_file,
    image_files_of,
    is_image_file,
    read_image_slices,
    read_image_volume,
)
from lens_engine.io.series_source import (
    FoundSeries,
    ScanReport,
    SeriesFormat,
    SeriesSource,
    SkipReason,
    parse_series_name,
)
from lens_engine.progress import ProgressCallback, WorkHandle
from lens_engine.volume import Volume

__all__ = [
    "FoundSeries",
    "ScanReport",
    "SeriesFormat",
    "SeriesSource",
    "SkipReason",
    "files_of",
    "read_series",
    "read_slices",
    "read_volume",
    "scan",
    "series_uid_of",
    "whole_series",
]


def scan(
    paths: Sequence[Path], on_progress: ProgressCallback | None = None, handle: WorkHandle | None = None
) -> ScanReport:
    """Look through files and folders, nested as they may be, for CT series.

    Parameters
    ----------
    paths
        Files or folders; each should hold a CT.
    on_progress
        Called with the number of files done and of all files.
    handle
        Shows what is read, and ends the scan.

    Returns
    -------
    ScanReport
        Nothing is raised for what lies on the disk: a path that does not exist or holds no CT is one of its problems.

    Raises
    ------
    StoppedError
        If the scan was asked to end.
    """
    survey = _Survey(handle or WorkHandle())
    files = {path: survey.files_below(path) for path in (Path(given).absolute() for given in paths)}
    every_file = list(dict.fromkeys(file for below in files.values() for file in below))
    for done, file in enumerate(every_file, start=1):
        survey.look_at(file)
        if on_progress is not None:
            on_progress(done, len(every_file))
    survey.describe_groups()
    for path, below in files.items():
        survey.complain_without_ct(path, below)
    return ScanReport(tuple(survey.found), survey.skipped, tuple(survey.problems))


def whole_series(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return files and folders for a scan, each DICOM slice among them with all files of its series in its folder."""
    uids_in: dict[Path, dict[Path, str | None]] = {}
    whole: dict[Path, None] = {}
    for path in (Path(given).absolute() for given in paths):
        wanted = None if path in whole else series_uid_of(path)
        if wanted is None:
            whole[path] = None
        else:
            if path.parent not in uids_in:
                uids_in[path.parent] = _uids_in(path.parent)
            whole.update(dict.fromkeys(_slices_of(wanted, uids_in[path.parent])))
    return tuple(whole)


def series_uid_of(file: Path) -> str | None:
    """Return the SeriesInstanceUID of a DICOM CT slice, damaged or not; None for every other path."""
    if not _is_regular(file) or is_image_file(file):
        return None
    try:
        header = read_header(file)
    except DamagedSliceError as error:
        return error.series_uid
    except LensError:
        return None
    return header.series_uid if isinstance(header, CtHeader) else None


def read_volume(source: SeriesSource) -> Volume:
    """Read the voxels of a series as int16 HU in the canonical frame; the same for every format of one scan.

    Raises
    ------
    SeriesError, GeometryError
        If the files are gone, changed, broken or cannot be decoded.
    """
    return read_volume_with_notes(source)[0]


def read_series(source: SeriesSource, name: str) -> Volume:
    """Read the voxels as `read_volume` does, for everyone but the one who gave the files: errors do not name them.

    Parameters
    ----------
    name
        What the project calls the series.

    Raises
    ------
    SeriesError, GeometryError
        As `read_volume`; of files it says the number in the series, because their names may be those of patients.
    """
    with _errors_without_names(source, name):
        return read_volume(source)


def files_of(source: SeriesSource, name: str) -> tuple[Path, ...]:
    """Return every file that holds voxels of a series or says where they lie.

    Raises
    ------
    SeriesError
        As `read_series`: if a file is gone, the header of an image file is broken, or its voxels are not all there.
    """
    with _errors_without_names(source, name):
        _refuse_missing(source)
        if source.format in (SeriesFormat.DICOM, SeriesFormat.DEEPLESION_PNG):
            return source.paths
        return image_files_of(source.paths[0])


def read_slices(
    source: SeriesSource, name: str, geometry: VolumeGeometry, wanted: Sequence[int]
) -> NDArray[np.int16] | None:
    """Read some slices of a series, int16 HU `[z, y, x]` as `read_series` would; no others where the files allow it.

    Parameters
    ----------
    name
        What the project calls the series.
    geometry
        Of the whole volume.
    wanted
        Numbers of slices, ascending.

    Returns
    -------
    NDArray or None
        None where only all files, or a whole packed one, give the slices.

    Raises
    ------
    SeriesError, GeometryError
        As `read_series`.
    """
    with _errors_without_names(source, name):
        if source.format is SeriesFormat.DICOM:
            return read_dicom_slices(source, geometry, wanted)
        if source.format is SeriesFormat.DEEPLESION_PNG:
            return read_png_slices([source.paths[index] for index in wanted], geometry)
        return read_image_slices(source.paths[0], geometry, wanted)


def read_volume_with_notes(source: SeriesSource) -> tuple[Volume, tuple[str, ...]]:
    """Read the voxels as `read_volume` does, with what was clamped or looks odd in them.

    Raises
    ------
    SeriesError, GeometryError
        As `read_volume`.
    """
    _refuse_missing(source)
    if source.format is SeriesFormat.DICOM:
        return read_dicom_volume(source)
    if source.format is SeriesFormat.DEEPLESION_PNG:
        return read_png_volume(source)
    return read_image_volume(source)


class _Survey:
    """What one scan has met so far."""

    def __init__(self, handle: WorkHandle) -> None:
        self._handle = handle
        self.found: list[FoundSeries] = []
        self.skipped: Counter[str] = Counter()
        self.problems: list[LensError] = []
        self._absent: set[Path] = set()
        self._reasons: dict[Path, str] = {}
        self._used: set[Path] = set()
        self._incomplete: set[str] = set()
        self._unnamed: set[Path] = set()
        self._dicom: dict[str, list[CtHeader]] = {}
        self._png: dict[Path, list[Path]] = {}

    def files_below(self, path: Path) -> list[Path]:
        """Return a file itself, or every file below a folder in a fixed order, hidden ones left out."""
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except OSError as error:
            self._absent.add(path)
            self.problems.append(_unopened(path, error))
            return []
        if not is_folder:
            return [path]
        files: list[Path] = []
        for folder, folders, names in os.walk(path, onerror=self._complain_about_folder):
            self._handle.turn_to(f"Looking into {_printable(Path(folder).name)}")
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            files += [Path(folder) / name for name in sorted(names) if not name.startswith(".")]
        return files

    def look_at(self, file: Path) -> None:
        """Describe a file that is a series, remember a file that is a part of one."""
        self._handle.turn_to(f"Reading {_printable(file.name)}")
        if _is_special(file):
            self._skip(SkipReason.NO_FILE, (file,))
        elif str(file) != _printable(str(file)):
            self._complain(_unnameable(file), (file,))
        elif is_image_file(file):
            self._describe(partial(describe_image_file, file), (file,))
        elif is_deeplesion_png(file):
            self._png.setdefault(file.parent, []).append(file)
        else:
            self._look_at_dicom(file)

    def describe_groups(self) -> None:
        """Describe the series whose files have all been seen."""
        for number, (uid, headers) in enumerate(self._dicom.items(), start=1):
            folder = headers[0].path.parent
            self._handle.turn_to(f"Checking {folder.name}, series {number} of {len(self._dicom)}")
            if uid in self._incomplete or self._lost_an_unnamed_slice(uid, headers):
                self._used.update(header.path for header in headers)
            else:
                self._describe(partial(describe_series, headers), [header.path for header in headers])
        for folder, files in self._png.items():
            self._handle.turn_to(f"Checking {folder.name}")
            for given, run in sub_volumes(folder, files):
                self._describe(partial(describe_sub_volume, given, run), run)

    def complain_without_ct(self, path: Path, files: Sequence[Path]) -> None:
        """Add a problem if `path` gave neither a series nor another problem."""
        if path in self._absent or self._used.intersection(files):
            return
        reasons = Counter(self._reasons[file] for file in files if file in self._reasons)
        seen = ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common()) or "no files"
        self.problems.append(
            SeriesError(
                f"There is no CT series in {path}: {seen}",
                "DICOM CT, NIfTI, MetaImage, NRRD or DeepLesion PNG slices are needed",
                "Choose the folder of the scan",
            )
        )

    def _lost_an_unnamed_slice(self, uid: str, headers: Sequence[CtHeader]) -> bool:
        """Return whether a slice too damaged to name its series must be of this one: no other lies in that folder."""
        folders = {header.path.parent for header in headers} & self._unnamed
        if not folders:
            return False
        others = {header.path.parent for other, rest in self._dicom.items() if other != uid for header in rest}
        return bool(folders - others)

    def _look_at_dicom(self, file: Path) -> None:
        try:
            header = read_header(file)
        except DamagedSliceError as error:
            if error.series_uid is None:
                self._unnamed.add(file.parent)
            else:
                self._incomplete.add(error.series_uid)
            self._complain(error, (file,))
        except LensError as error:
            self._complain(error, (file,))
        else:
            if isinstance(header, CtHeader):
                self._dicom.setdefault(header.series_uid, []).append(header)
            else:
                self._skip(header, (file,))

    def _describe(self, describe: Callable[[], FoundSeries | str], files: Sequence[Path]) -> None:
        try:
            result = describe()
        except LensError as error:
            self._complain(error, files)
            return
        if isinstance(result, FoundSeries):
            self.found.append(result)
            self._used.update(files)
        else:
            self._skip(result, files)

    def _skip(self, reason: str, files: Sequence[Path]) -> None:
        self.skipped[str(reason)] += len(files)
        self._reasons.update(dict.fromkeys(files, str(reason)))

    def _complain_about_folder(self, error: OSError) -> None:
        folder = Path(error.filename)
        self._absent.add(folder)
        self.problems.append(_unopened(folder, error))

    def _complain(self, error: LensError, files: Sequence[Path]) -> None:
        self.problems.append(error)
        self._used.update(files)


def _refuse_missing(source: SeriesSource) -> None:
    missing = [path for path in source.paths if not path.is_file()]
    if missing or not source.paths:
        raise SeriesError(
            f"{len(missing)} of {len(source.paths)} files of the series are gone, the first is {missing[0]}"
            if missing
            else "The series has no files",
            "The files that were added to the project are needed",
            "Restore them, connect the drive, or map its folder in the settings of this machine",
        )


@contextmanager
def _errors_without_names(source: SeriesSource, name: str) -> Iterator[None]:
    try:
        yield
    except (SeriesError, GeometryError, ConfigError) as error:
        kind = SeriesError if isinstance(error, SeriesError) else type(error)
        parts = [_without_file_names(part, source) for part in (error.happened, error.expected, error.remedy)]
        raise kind(f"Series {name}: {parts[0]}", parts[1], parts[2]) from None  # the cause names files
    except OSError as error:
        raise SeriesError(
            f"Series {name} cannot be read: {error.strerror or type(error).__name__}",
            "Files that you may read, on a disk that answers, are needed",
            "Look after the files and their disk, then try again",
        ) from None  # the cause names files


def _without_file_names(text: str, source: SeriesSource) -> str:
    """Return a message with numbers for the files of a series, and without the names of their folders."""
    if source.format is SeriesFormat.DEEPLESION_PNG:
        return text  # its names are numbers, published as they are
    for number, path in enumerate(source.paths, start=1):
        for name in (str(path), path.name):
            text = text.replace(name, f"file {number} of {len(source.paths)}")
    for folder in dict.fromkeys(path.parent for path in source.paths):
        text = text.replace(str(folder), "its folder")
        if parse_series_name(folder.name) is None and folder.name:
            text = text.replace(folder.name, "its folder")
    return text


def _uids_in(folder: Path) -> dict[Path, str | None]:
    """Return the series of every file of a folder, except for image files, which are a series each."""
    beside = [file for file in sorted(folder.glob("*")) if _is_regular(file) and not is_image_file(file)]
    return {file: series_uid_of(file) for file in beside}


def _slices_of(series_uid: str, uids: Mapping[Path, str | None]) -> list[Path]:
    """Return the files of a series; what is too damaged to name its series is of the only one in its folder."""
    if set(uids.values()) - {None} == {series_uid}:
        return list(uids)
    return [file for file, uid in uids.items() if uid == series_uid]


def _is_special(path: Path) -> bool:
    """Return whether something is there that would let its reader wait for ever: a pipe, a socket, a device."""
    return os.path.exists(path) and not os.path.isdir(path) and not _is_regular(path)


def _is_regular(path: Path) -> bool:
    return os.path.isfile(path)


def _printable(name: str) -> str:
    """Return a name with a question mark for every byte of it that is no letter of any language."""
    return name.encode(errors="replace").decode()


def _unnameable(file: Path) -> SeriesError:
    return SeriesError(
        f"The name of {_printable(str(file))} is not valid text",
        "A name in letters is needed",
        "Rename the file or folder",
    )


def _unopened(path: Path, error: OSError) -> SeriesError:
    if isinstance(error, FileNotFoundError):
        return SeriesError(f"{path} does not exist", "A file or folder with a CT is needed", "Check the path")
    return SeriesError(
        f"{path} cannot be opened: {error.strerror or error}",
        "A file or folder that you may read is needed",
        "Ask its owner for the right to read it, or copy the scans to another folder",
    )
