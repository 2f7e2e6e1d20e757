"""The published data sets by name, and what their publishers counted in them."""

from collections.abc import Callable, Mapping
from pathlib import Path

from lens_engine.progress import ProgressCallback
from lens_training.datasets.published import deeplesion, lits, luna16, nih_ln
from lens_training.datasets.published.manual_test_set import manual_test_cases
from lens_training.datasets.published.reading import (
    DEFAULT_OPTIONS,
    DatasetName,
    Effect,
    OddFile,
    Oddity,
    Reading,
    ReadingOptions,
)

__all__ = [
    "LAYOUTS",
    "PUBLISHED_COUNTS",
    "DatasetName",
    "Effect",
    "OddFile",
    "Oddity",
    "Reading",
    "ReadingOptions",
    "manual_test_cases",
    "read_dataset",
]

PUBLISHED_COUNTS: Mapping[DatasetName, Mapping[str, float]] = {
    DatasetName.DEEPLESION: deeplesion.PUBLISHED,
    DatasetName.LUNA16: luna16.PUBLISHED,
    DatasetName.LITS: lits.PUBLISHED,
    DatasetName.NIH_LN: nih_ln.PUBLISHED,
}
"""Counts of papers and release notes; those that end in three zeros are rounded there."""

LAYOUTS: Mapping[DatasetName, str] = {
    DatasetName.DEEPLESION: deeplesion.LAYOUT,
    DatasetName.LUNA16: luna16.LAYOUT,
    DatasetName.LITS: lits.LAYOUT,
    DatasetName.NIH_LN: nih_ln.LAYOUT,
}
"""What a folder must hold."""

_READERS: Mapping[DatasetName, Callable[[Path, ReadingOptions, ProgressCallback | None], Reading]] = {
    DatasetName.DEEPLESION: deeplesion.read,
    DatasetName.LUNA16: luna16.read,
    DatasetName.LITS: lits.read,
    DatasetName.NIH_LN: nih_ln.read,
}


def read_dataset(
    name: DatasetName,
    folder: Path,
    options: ReadingOptions = DEFAULT_OPTIONS,
    on_progress: ProgressCallback | None = None,
) -> Reading:
    """Return the cases of a data set with their labels; voxels are read when a case is loaded.

    Raises
    ------
    DatasetError
        If the folder does not hold the data set in its published layout.
    AnnotationFileError
        If its table is broken; single bad files and rows are noted in the reading instead.
    """
    return _READERS[name](folder, options, on_progress)
