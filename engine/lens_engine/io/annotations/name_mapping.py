"""Which scan hides behind an exported, pseudonymous name: a table that stays when the export leaves."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lens_engine.io.atomic_files import write_text_atomically
from lens_engine.io.series_source import SeriesSource

COLUMNS = ("exported_name", "series_name", "format", "series_uid", "first_file")


@dataclass(frozen=True, slots=True)
class NameMapping:
    """One exported sub-volume.

    Attributes
    ----------
    exported_name
        As in the exported file.
    series_name
        Name of the series in the project.
    source
        Its files; None if the project knows only its annotations.
    """

    exported_name: str
    series_name: str
    source: SeriesSource | None


def write_name_mapping(path: Path, mappings: Sequence[NameMapping]) -> None:
    """Write the table as CSV.

    Raises
    ------
    ExportError
        If it cannot be written; an older one is unchanged.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for mapping in mappings:
        writer.writerow([mapping.exported_name, mapping.series_name, *_place(mapping.source)])
    write_text_atomically(path, text.getvalue())


def _place(source: SeriesSource | None) -> tuple[str, str, str]:
    if source is None:
        return "", "", ""
    return source.format.value, source.series_uid or "", str(source.paths[0])
