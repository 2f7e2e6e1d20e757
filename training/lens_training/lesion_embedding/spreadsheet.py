"""The first sheet of an .xlsx file as rows of text: all that is needed of one, without a library for the rest."""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from lens_engine.errors import AnnotationFileError
from lens_engine.io.limits import MAX_TABLE_BYTES

_SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_SHEET = "xl/worksheets/sheet1.xml"
_STRINGS = "xl/sharedStrings.xml"
_COLUMN = re.compile(r"[A-Z]+")


def read_spreadsheet(path: Path, columns: int) -> list[tuple[str, ...]]:
    """Return the first columns of every row; an empty cell is an empty text.

    Raises
    ------
    AnnotationFileError
        If the file is missing or no such spreadsheet.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            strings = _texts(_member(archive, _STRINGS)) if _STRINGS in archive.namelist() else []
            rows = ElementTree.fromstring(_member(archive, _SHEET)).iter(f"{_SPACE}row")
            return [_row(row, strings, columns) for row in rows]
    except (OSError, KeyError, ValueError, IndexError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise AnnotationFileError(
            f"The spreadsheet {path} cannot be read ({error})", "An .xlsx file is needed", "Copy it again"
        ) from error


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > MAX_TABLE_BYTES:
        raise ValueError(f"it unpacks to more than {MAX_TABLE_BYTES >> 20} MiB")
    return archive.read(name)


def _texts(content: bytes) -> list[str]:
    return [_text(item) for item in ElementTree.fromstring(content).iter(f"{_SPACE}si")]


def _row(row: ElementTree.Element, strings: Sequence[str], columns: int) -> tuple[str, ...]:
    cells = [""] * columns
    for cell in row.iter(f"{_SPACE}c"):
        column = _column_of(cell.get("r", ""))
        if column < columns:
            value = cell.findtext(f"{_SPACE}v", "")
            kind = cell.get("t")
            cells[column] = strings[int(value)] if kind == "s" else _text(cell) if kind == "inlineStr" else value
    return tuple(cells)


def _text(element: ElementTree.Element) -> str:
    return "".join(part.text or "" for part in element.iter(f"{_SPACE}t"))


def _column_of(reference: str) -> int:
    """Return the number of a column, from 0, of a cell such as `AB12`."""
    letters = _COLUMN.match(reference)
    if letters is None:
        raise ValueError(f"a cell is called {reference!r}")
    number = 0
    for letter in letters.group():
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1
