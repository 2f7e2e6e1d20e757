"""The patches of all samples in one file, cut once; read through the page cache, so that memory stays free.

A record is the box in voxels of the patch, and the voxels in half precision.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lens_engine.detector.false_positive_reduction.config import FprConfig
from lens_engine.detector.false_positive_reduction.patches import PatchCutter
from lens_engine.io.atomic_files import replacement_of
from lens_training.datasets.case import Case
from lens_training.errors import TrainingError
from lens_training.false_positive_reduction.samples import Sample
from lens_training.running.progress import ProgressLog, Stage
from lens_training.running.stopping import StopSignal

PATCHES_FILE = "patches.bin"

_GIB = 2**30


def record_type(config: FprConfig) -> np.dtype[np.void]:
    """Return the type of one record: `box` float32 (6,) and `voxels` float16 (depth, height, width)."""
    return np.dtype([("box", "<f4", (6,)), ("voxels", "<f2", config.patch)])


def write_patches(
    path: Path, cases: Sequence[Case], samples: Sequence[Sample], config: FprConfig, log: ProgressLog, stop: StopSignal
) -> None:
    """Cut the patches of all samples, which are ordered by case; the file is complete or absent.

    Raises
    ------
    TrainingStoppedError
        If the process was asked to end.
    TrainingError
        If the disk refuses.
    """
    try:
        with replacement_of(path) as temporary, temporary.open("wb") as file:
            _write_records(file, cases, samples, config, log, stop)
    except OSError as error:
        size = len(samples) * record_type(config).itemsize
        raise TrainingError(
            f"The patches cannot be written to {path} ({error.strerror})",
            f"{size / _GIB:.1f} GiB of disk space are needed",
            "Free some space, choose another folder, or lower patches_gib of the recipe",
        ) from error


def open_patches(path: Path, count: int, config: FprConfig) -> NDArray[np.void] | None:
    """Return the records of a file that `write_patches` made, (count,); None if there is none of that size."""
    record = record_type(config)
    if not path.exists() or path.stat().st_size != count * record.itemsize:
        return None
    return np.memmap(path, dtype=record, mode="r", shape=(count,))


def _write_records(
    file: BinaryIO,
    cases: Sequence[Case],
    samples: Sequence[Sample],
    config: FprConfig,
    log: ProgressLog,
    stop: StopSignal,
) -> None:
    record = np.zeros((), dtype=record_type(config))
    written = 0
    for number, group in groupby(samples, key=lambda sample: sample.case):
        cutter = PatchCutter(cases[number].load(), config)
        for sample in group:
            stop.check()
            record["voxels"], record["box"] = cutter.cut(sample.box)
            file.write(record.tobytes())
            written += 1
        log.report(Stage.PREPARE, written, len(samples))
