"""The patches of all samples in one file, cut while their scan is at hand; read through the page cache.

A record is the box in voxels of the patch, and the voxels in half precision. Where there are more samples than room,
false positives make way for what comes later, by numbers drawn in advance (`pool_numbers`). What stays depends on
nothing else: not on the order of the scans, nor on who was killed meanwhile. Where it lies follows from that order, so
that every process that knows it knows the file.
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

_STAYS = -1.0
"""Below all numbers that are drawn: what has it makes way for nothing."""

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
        if not self.path.exists():
            return not self._row_of
        with self.path.open("rb") as file:  # a network share knows the size of what is open
            size = file.seek(0, os.SEEK_END)
        return size >= len(self._row_of) * self._type.itemsize

    def clear(self) -> None:
        """Forget everything."""
        self._row_of.clear()
        self._dispensable.clear()
        self.path.unlink(missing_ok=True)

    def remember(self, case: int, samples: Sequence[Sample]) -> None:
        """Take the samples of a case for stored, as `put` has done before; cases come in the same order."""
        self._rows_for(case, samples)

    def cut(self, case: int, volume: Volume, samples: Sequence[Sample]) -> NDArray[np.void]:
        """Return a record for each sample of a case, from head to feet; empty ones where there is no room any more."""
        records = np.zeros(len(samples), dtype=self._type)
        cutter = PatchCutter(volume, self._config)
        for row, (sample, number) in enumerate(zip(samples, self._numbers(case, samples), strict=True)):
            if self._has_room(number):
                records[row]["voxels"], records[row]["box"] = cutter.cut(sample.box)
        return records

    def put(self, case: int, samples: Sequence[Sample], records: NDArray[np.void]) -> None:
        """Store the records that `cut` has made for the samples of a case, as far as there is room for them.

        Raises
        ------
        TrainingInterruptedError
            If the disk refuses.
        """
        rows = self._rows_for(case, samples)
        try:
            with self.path.open("r+b" if self.path.exists() else "w+b") as file:
                for record, row in zip(records, rows, strict=True):
                    if row is not None:
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
        keys = [(case, place) for place in range(len(samples))]
        for key, number in zip(keys, self._numbers(case, samples), strict=True):
            if not self._has_room(number):
                continue
            is_full = len(self._row_of) == self._most
            row = self._row_of.pop(heappop(self._dispensable)[1]) if is_full else len(self._row_of)
            self._row_of[key] = row
            if number != _STAYS:
                heappush(self._dispensable, (-number, key))
        return [self._row_of.get(key) for key in keys]

    def _numbers(self, case: int, samples: Sequence[Sample]) -> list[float]:
        """Return a number for each sample of a case; the false positives with the highest ones make way."""
        drawn = pool_numbers(case, len(samples), self._seed).tolist()
        return [
            number if sample.meaning is Meaning.FALSE_POSITIVE else _STAYS
            for sample, number in zip(samples, drawn, strict=True)
        ]

    def _has_room(self, number: float) -> bool:
        """Return whether there is a free record, or one of a false positive with a higher number."""
        if len(self._row_of) < self._most:
            return True
        return bool(self._dispensable) and -self._dispensable[0][0] > number
