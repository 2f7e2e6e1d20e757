"""The patches of all samples in one file, cut while their scan is at hand; read through the page cache.

A record is the box in voxels of the patch, and the voxels in half precision. Where there are more samples than room,
false positives make way for what comes later, by numbers drawn in advance (`pool_numbers`): what stays depends on
nothing else, and a run that was killed comes to the same file.
"""

import os
from collections.abc import Sequence
from heapq import heappop, heappush
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lens_engine.detector.false_positive_reduction.config import FprConfig
from lens_engine.detector.false_positive_reduction.patches import PatchCutter
from lens_engine.volume import Volume
from lens_training.errors import TrainingInterruptedError
from lens_training.false_positive_reduction.samples import Meaning, Sample
from lens_training.false_positive_reduction.sampling import pool_numbers

PATCHES_FILE = "patches.bin"

_GIB = 2**30

_Key = tuple[int, int]
"""A case, and the number of a sample among its own."""


def record_type(config: FprConfig) -> np.dtype[np.void]:
    """Return the type of one record: `box` float32 (6,) and `voxels` float16 (depth, height, width)."""
    return np.dtype([("box", "<f4", (6,)), ("voxels", "<f2", config.patch)])


class PatchShelf:
    """A file with the patches of samples, filled scan by scan.

    Parameters
    ----------
    most
        How many records it may hold.
    seed
        Decides which false positives make way.
    """

    def __init__(self, path: Path, config: FprConfig, most: int, seed: int) -> None:
        self.path = path
        self._config = config
        self._type = record_type(config)
        self._most = most
        self._seed = seed
        self._row_of: dict[_Key, int] = {}
        self._dispensable: list[tuple[float, _Key]] = []  # false positives, the first to make way first

    @property
    def is_filled(self) -> bool:
        """Whether the file holds all records that it should."""
        size = self.path.stat().st_size if self.path.exists() else 0
        return size >= len(self._row_of) * self._type.itemsize

    def clear(self) -> None:
        """Forget everything."""
        self._row_of.clear()
        self._dispensable.clear()
        self.path.unlink(missing_ok=True)

    def remember(self, case: int, samples: Sequence[Sample]) -> None:
        """Take the samples of a case for stored, as `put` has done before; cases come in the same order."""
        self._rows_for(case, samples)

    def put(self, case: int, volume: Volume, samples: Sequence[Sample]) -> None:
        """Cut the patches of the samples of a case, from head to feet, and store those that there is room for.

        Raises
        ------
        TrainingInterruptedError
            If the disk refuses.
        """
        rows = self._rows_for(case, samples)
        cutter, record = PatchCutter(volume, self._config), np.zeros((), dtype=self._type)
        try:
            with self.path.open("r+b" if self.path.exists() else "w+b") as file:
                for sample, row in zip(samples, rows, strict=True):
                    if row is not None:
                        record["voxels"], record["box"] = cutter.cut(sample.box)
                        file.seek(row * self._type.itemsize)
                        file.write(record.tobytes())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            size = min(self._most, len(self._row_of)) * self._type.itemsize
            raise TrainingInterruptedError(
                f"The patches cannot be written to {self.path} ({error.strerror})",
                f"{size / _GIB:.1f} GiB of disk space are needed so far",
                "Free some space, choose another folder, or lower patches_gib of the recipe",
            ) from error

    def rows(self, samples: Sequence[Sample]) -> NDArray[np.intp]:
        """Return the record of each of all samples, ordered by case; -1 where it made way."""
        places: dict[int, int] = {}
        found = []
        for sample in samples:
            number = places.get(sample.case, 0)
            places[sample.case] = number + 1
            found.append(self._row_of.get((sample.case, number), -1))
        return np.asarray(found, dtype=np.intp)

    def records(self) -> NDArray[np.void]:
        """Return all records of the file."""
        return np.memmap(self.path, dtype=self._type, mode="r", shape=(len(self._row_of),))

    def _rows_for(self, case: int, samples: Sequence[Sample]) -> list[int | None]:
        """Decide where the samples of a case are stored; None for those that are not, or not any more."""
        drawn = pool_numbers(case, len(samples), self._seed)
        keys = [(case, number) for number in range(len(samples))]
        for key, sample, number in zip(keys, samples, drawn.tolist(), strict=True):
            is_dispensable = sample.meaning is Meaning.FALSE_POSITIVE
            row: int | None = len(self._row_of)
            if row == self._most:
                row = self._row_made_free(number if is_dispensable else -1.0)
            if row is None:
                continue
            self._row_of[key] = row
            if is_dispensable:
                heappush(self._dispensable, (-number, key))
        return [self._row_of.get(key) for key in keys]

    def _row_made_free(self, number: float) -> int | None:
        """Take the record of the false positive with the highest number, if that is above `number`."""
        if not self._dispensable or -self._dispensable[0][0] <= number:
            return None
        return self._row_of.pop(heappop(self._dispensable)[1])
