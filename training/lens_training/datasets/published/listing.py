"""What was derived from the files of one scan, kept on disk until a file changes, and the way from it to a case."""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from lens_engine.errors import JobError, SeriesError
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.atomic_files import write_text_atomically
from lens_engine.io.series import SeriesFormat, SeriesSource, files_of, read_series, read_slices
from lens_engine.snapshot import Lesion, LesionOrigin, LesionRole, SnapshotSource
from lens_engine.volume import Volume
from lens_engine.worker.file_lock import FileLock
from lens_training.datasets.case import Case, LesionFacts
from lens_training.datasets.published.mask_lesions import MaskLesion
from lens_training.datasets.published.reading import DatasetName, Oddity, ReadingOptions
from lens_training.errors import DatasetError

CACHE_VERSION = 1
"""Counts up when lesions are derived in another way, so that no old cache is believed."""

_LOCK_SECONDS = 3600.0


class ListedScan(BaseModel):
    """One scan and the lesions in its mask.

    Attributes
    ----------
    geometry
        What `VolumeGeometry.as_dict` returns.
    remarks
        What is odd about it although it can be used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    geometry: dict[str, Any]
    source: SnapshotSource
    lesions: tuple[MaskLesion, ...]
    remarks: tuple[tuple[Oddity, str], ...] = ()

    @property
    def volume_geometry(self) -> VolumeGeometry:
        """Size, spacing and position of the scan."""
        return VolumeGeometry.from_dict(self.geometry)


@dataclass(frozen=True, slots=True)
class SeriesFiles:
    """The files of a scan that was listed before.

    Attributes
    ----------
    name
        What messages call the scan.
    geometry
        As it was listed; the labels were made for it.
    """

    name: str
    source: SeriesSource
    geometry: VolumeGeometry

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file, the slices in the order of their position."""
        return files_of(self.source, self.name)

    def load(self) -> Volume:
        """Read the whole scan.

        Raises
        ------
        SeriesError, GeometryError
            If its files are gone, broken, or no longer those that were listed.
        """
        volume = read_series(self.source, self.name)
        if volume.geometry.shape != self.geometry.shape:
            raise SeriesError(
                f"Series {self.name} has the shape {volume.geometry.shape}",
                f"The labels were made for {self.geometry.shape}",
                "Restore the scan, or make the labels anew",
            )
        return volume

    def read(self, slices: Sequence[int]) -> NDArray[np.int16] | None:
        """Read some slices; None where only the whole scan gives them."""
        return read_slices(self.source, self.name, self.geometry, slices)


class ListingCache:
    """Keeps listed scans as JSON files; several processes list each of them once.

    Parameters
    ----------
    folder
        Made if need be; None keeps nothing.

    Raises
    ------
    DatasetError
        If the folder cannot be made.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatasetError(
                f"The cache folder {folder} cannot be made ({error.strerror})", "A writable place", "Choose another one"
            ) from error

    def get(self, name: str, files: Sequence[Path], make: Callable[[], ListedScan]) -> ListedScan:
        """Return what was kept of a scan if its files have the same names, sizes and times as then, else make it.

        Raises
        ------
        LensError
            Whatever `make` raises; nothing is kept then.
        """
        if self._folder is None:
            return make()
        path = self._folder / f"{name}.json"
        fingerprint = _fingerprint(files)
        found = _kept(path, fingerprint)
        if found is not None:
            return found
        with ExitStack() as locked:
            with suppress(JobError):  # a file system without locks: every process lists for itself
                locked.enter_context(FileLock(self._folder / "listing.lock", "list scans", _LOCK_SECONDS))
            found = _kept(path, fingerprint)  # another process of the run may have listed it meanwhile
            if found is not None:
                return found
            listed = make()
            content = {"fingerprint": fingerprint, "scan": listed.model_dump(mode="json")}
            write_text_atomically(path, json.dumps(content))
        return listed


def _kept(path: Path, fingerprint: str) -> ListedScan | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return ListedScan.model_validate(kept["scan"]) if kept["fingerprint"] == fingerprint else None
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None  # nothing kept yet, or nothing that this version understands


def case_of_scan(
    name: str, dataset: DatasetName, listed: ListedScan, lesion_type: str, options: ReadingOptions
) -> Case:
    """Return the case of a scan whose lesions were all drawn; the scan is a patient of its own."""
    geometry = listed.volume_geometry
    lesions = listed.lesions
    files = SeriesFiles(name, _series_source(listed.source), geometry)
    return Case(
        name=name,
        patient=name,
        dataset=dataset.value,
        split=options.split_of(name),
        geometry=geometry,
        lesions=tuple(drawn_lesion(name, lesion) for lesion in lesions),
        load=files.load,
        facts=tuple(LesionFacts(lesion_type, _diameter_mm(lesion, geometry)) for lesion in lesions),
        tight_margin_voxels=options.tight_margin_voxels,
        files=files,
    )


def drawn_lesion(series: str, lesion: MaskLesion) -> Lesion:
    """Return the label of a lesion that was drawn on every slice, without a margin."""
    return Lesion(
        series=series,
        box=lesion.box,
        slices=lesion.slices,
        role=LesionRole.POSITIVE,
        origin=LesionOrigin.ANNOTATION,
        is_tight=True,
    )


def _series_source(source: SnapshotSource) -> SeriesSource:
    return SeriesSource(SeriesFormat(source.format), source.resolve({}), source.series_uid)


def _diameter_mm(lesion: MaskLesion, geometry: VolumeGeometry) -> float:
    """Return the mean of width and height of the largest cross-section."""
    boxes = np.asarray(lesion.slices)[:, 1:]
    sides_mm = (boxes[:, 2:] - boxes[:, :2]) * geometry.spacing_mm[:0:-1]
    return float(sides_mm[sides_mm.prod(axis=1).argmax()].mean())


def _fingerprint(files: Sequence[Path]) -> str:
    digest = hashlib.sha256(str(CACHE_VERSION).encode())
    for file in files:
        status = file.stat()
        digest.update(f"{file}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
