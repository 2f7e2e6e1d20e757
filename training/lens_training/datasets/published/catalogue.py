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
from lens_training.errors import DatasetError

__all__ = [
    "LAYOUTS",
    "PUBLISHED_COUNTS",
    "DatasetName",
    "Effect",
    "OddFile",
    "Oddity",
    "Reading",
    "ReadingOptions",
    "dataset_folder",
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


_FOLDER_NAMES: Mapping[DatasetName, frozenset[str]] = {
    DatasetName.DEEPLESION: frozenset({"deeplesion"}),
    DatasetName.LUNA16: frozenset({"luna16"}),
    DatasetName.LITS: frozenset({"lits"}),
    DatasetName.NIH_LN: frozenset({"nihln", "ctlymphnodes"}),
}
"""Letters and digits of the folders' names, as the downloads or we call them."""


def dataset_folder(parent: Path, name: DatasetName) -> Path | None:
    """Return the folder of a data set, under our name or that of its download; None where there is none.

    Raises
    ------
    DatasetError
        If there are several.
    """
    wanted = _FOLDER_NAMES[name]
    found = [path for path in sorted(parent.iterdir()) if _letters(path.name) in wanted and path.is_dir()]
    if len(found) > 1:
        raise DatasetError(
            f"{parent} has {' and '.join(path.name for path in found)}, which are both {name}",
            "One folder for each data set is needed",
            "Move the other ones away",
        )
    return found[0] if found else None


def _letters(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


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
