"""DeepLesion's folders of PNG slices: which runs of consecutive slices there are, without opening a file."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lens_engine.geometry import VolumeGeometry
from lens_engine.io.deeplesion_png import read_png_slices, read_slices
from lens_engine.io.series_source import parse_series_name
from lens_engine.volume import Volume

IMAGES_FOLDER = "Images_png"

_SLICE_NAME = re.compile(r"(\d{3,})\.png")


@dataclass(frozen=True, slots=True)
class SubVolume:
    """Consecutive slices of one series; `first` and `last` are slice numbers, both inclusive."""

    folder: Path
    first: int
    last: int

    @property
    def name(self) -> str:
        """As the manual test set calls it: `000410_02_02_039-099`."""
        return f"{self.folder.name}_{self.first:03d}-{self.last:03d}"

    @property
    def count(self) -> int:
        """Number of slices."""
        return self.last - self.first + 1

    def path(self, number: int) -> Path:
        """Return the file of a slice."""
        return self.folder / f"{number:03d}.png"

    def holds(self, number: int) -> bool:
        """Return whether a slice is one of these."""
        return self.first <= number <= self.last


@dataclass(frozen=True, slots=True)
class SubVolumeFiles:
    """The slices of a sub-volume; their names are made when they are needed, for DeepLesion has 928,000."""

    part: SubVolume
    geometry: VolumeGeometry

    @property
    def paths(self) -> list[Path]:
        """The slices, from the head."""
        return [self.part.path(number) for number in range(self.part.first, self.part.last + 1)]

    def load(self) -> Volume:
        """Read all slices.

        Raises
        ------
        SeriesError
            If a PNG is missing, damaged, or of another size than `geometry` says.
        """
        return read_slices(self.paths, self.geometry)[0]

    def read(self, slices: Sequence[int]) -> NDArray[np.int16]:
        """Read some slices, as `load` does."""
        return read_png_slices([self.part.path(self.part.first + index) for index in slices], self.geometry)


def images_folder(folder: Path) -> Path | None:
    """Return where the folders of the series are: below `Images_png`, or directly in `folder`; None if nowhere."""
    below = folder / IMAGES_FOLDER
    if below.is_dir():
        return below
    return folder if next(series_folders(folder), None) is not None else None


def series_folders(images: Path) -> Iterator[Path]:
    """Yield the folders that have the name of a series, such as `000001_01_01`."""
    with os.scandir(images) as entries:
        for entry in entries:
            given = parse_series_name(entry.name)
            if given is not None and given.first_slice is None and entry.is_dir():
                yield Path(entry.path)


def slice_numbers(folder: Path) -> tuple[list[int], list[str]]:
    """Return the numbers of the slices in a folder, ascending, and the names that are no slice but not hidden."""
    numbers, others = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            match = _SLICE_NAME.fullmatch(entry.name)
            if match is not None and entry.name == f"{int(match[1]):03d}.png":
                numbers.append(int(match[1]))
            elif not entry.name.startswith("."):
                others.append(entry.name)
    return sorted(numbers), sorted(others)


def runs_of(folder: Path, numbers: Sequence[int]) -> list[SubVolume]:
    """Split ascending slice numbers wherever one is missing (algorithms 1.2)."""
    runs: list[SubVolume] = []
    for number in numbers:
        if runs and number == runs[-1].last + 1:
            runs[-1] = SubVolume(folder, runs[-1].first, number)
        else:
            runs.append(SubVolume(folder, number, number))
    return runs
