"""The patches of all looks in one file of equal records, made once and read in any order."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from lens_engine.errors import GeometryError, SeriesError
from lens_engine.io.atomic_files import replacement_of, write_text_atomically
from lens_engine.lesion_embedding.config import EmbeddingConfig
from lens_engine.lesion_embedding.patches import cut_patch
from lens_training.datasets.unreadable import UnreadableScans
from lens_training.errors import TrainingInterruptedError
from lens_training.lesion_embedding.looks import Look, ScanLooks
from lens_training.running.progress import Stage
from lens_training.running.runner import Reports

PATCHES_FILE = "patches.bin"
LOOKS_FILE = "looks.json"
"""Written after the patches: where it is, they are complete."""
UNREADABLE_SHARE = 0.01
"""Of the scans; that of a detector's training is `sampling.unreadable_share`."""


class _Looks(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    looks: tuple[Look, ...]


def record_type(config: EmbeddingConfig) -> np.dtype[Any]:
    """Return what the file holds of each patch; half precision is finer than the noise of a scan."""
    side = config.patch_side
    return np.dtype([("pixels", np.float16, (3, side, side)), ("box", np.float32, (4,))])


def write_patches(
    folder: Path, scans: Iterable[ScanLooks], total: int, config: EmbeddingConfig, fingerprint: str, reports: Reports
) -> tuple[Look, ...]:
    """Cut the patches of all looks, one scan after another, and return the looks.

    Scans that cannot be read are named and left out, up to `UNREADABLE_SHARE` of them.

    Parameters
    ----------
    total
        Number of scans, for the progress.

    Raises
    ------
    TrainingStoppedError
        If the process was asked to end.
    TrainingInterruptedError
        If the disk refuses, or too many scans cannot be read.
    """
    (folder / LOOKS_FILE).unlink(missing_ok=True)
    record = np.zeros((), dtype=record_type(config))
    looks: list[Look] = []
    unreadable = UnreadableScans(total, UNREADABLE_SHARE)
    try:
        with replacement_of(folder / PATCHES_FILE) as temporary, temporary.open("wb") as file:
            for done, scan in enumerate(scans):
                reports.stop.check()
                reports.log.report(Stage.PREPARE, done, total)
                try:
                    volume = scan.load()
                except (SeriesError, GeometryError) as error:
                    unreadable.add(done, scan.looks[0].scan, error)
                    continue
                for look in scan.looks:
                    record["pixels"], record["box"] = cut_patch(volume, config, look.slice_index, look.box)
                    file.write(record.tobytes())
                looks += scan.looks
    except OSError as error:
        raise TrainingInterruptedError(
            f"The patches cannot be written to {folder / PATCHES_FILE} ({error.strerror})",
            "Enough space on the disk is needed",
            "Free some space, or choose another folder",
        ) from error
    reports.log.report(Stage.PREPARE, total, total, {"looks": len(looks)})
    stored = _Looks(fingerprint=fingerprint, looks=tuple(looks))
    write_text_atomically(folder / LOOKS_FILE, stored.model_dump_json())
    return stored.looks


def known_looks(folder: Path, config: EmbeddingConfig, fingerprint: str) -> tuple[Look, ...] | None:
    """Return the looks whose patches `write_patches` has cut; None if there are none of this run."""
    try:
        stored = _Looks.model_validate_json((folder / LOOKS_FILE).read_text(encoding="utf-8"))
        size = (folder / PATCHES_FILE).stat().st_size
    except (OSError, ValidationError):
        return None
    is_whole = size == len(stored.looks) * record_type(config).itemsize
    return stored.looks if stored.fingerprint == fingerprint and is_whole else None


def open_patches(folder: Path, config: EmbeddingConfig, count: int) -> NDArray[np.void]:
    """Return the records that `write_patches` made, (count,)."""
    return np.memmap(folder / PATCHES_FILE, dtype=record_type(config), mode="r", shape=(count,))
