"""Tables of comma-separated text: all cells are read as text, then turned into numbers column by column.

One line is one row. A line that cannot be a row, and a cell that is not what its column needs, are named and do not
stop the others. pandas is imported by the functions that use it: it takes a third of a second, which a viewer that
opens no table should not wait for.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import AnnotationFileError
from lens_engine.io.atomic_files import write_text_atomically
from lens_engine.io.limits import read_table_bytes

SHOWN_CHARACTERS = 60
"""Longer cells and headers are cut in messages."""

_QUOTED_CELL = re.compile(r'"(?<![^,\n]")[^"\n]*(?:""[^"\n]*)*"(?![^,\n])')
"""A cell in quotation marks, between two commas or ends of the line. The first character is no assertion, for speed."""

_FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBERS = re.compile(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?(?:, ?[-+]?[\d.]+(?:[eE][-+]?\d+)?)*")

_KINDS = {int: "whole number", float: "number"}


@dataclass(frozen=True, slots=True, eq=False)
class TextTable:
    """The rows of a table, each cell as text.

    Attributes
    ----------
    lines
        Line of each row in the file, from 1, the header being the first.
    cells
        The cells of each column that was asked for, in the order of `lines`.
    broken
        What is wrong with each line that is no row.
    """

    lines: tuple[int, ...]
    cells: Mapping[str, Sequence[str]]
    broken: Mapping[int, str]


def read_text_table(path: Path, columns: Sequence[str]) -> TextTable:
    """Read the named columns of a table, wherever they stand in it.

    Raises
    ------
    AnnotationFileError
        If the file cannot be read, is no text, or lacks a column or has it twice.
    """
    import pandas as pd

    text = _text(path)
    header, *content = text.split("\n")
    width, *counts = _cells_in_lines(text)
    if width is None:
        raise _refuse_columns(path, f"{path.name} has a broken header: {_shown(header)}", columns)
    if not header.strip():
        raise _refuse_columns(path, f"{path.name} begins with an empty line", columns)
    rows: dict[int, str] = {}
    broken: dict[int, str] = {}
    for number, (line, count) in enumerate(zip(content, counts, strict=True), start=2):
        if not line or line.isspace():
            continue
        if count == width:
            rows[number] = line
        elif count is None:
            broken[number] = "a quotation mark in it is not closed, or stands inside a cell"
        else:
            broken[number] = f"it has {count} cells instead of {width}"
    frame = pd.read_csv(
        io.StringIO("\n".join([header, *rows.values()])),
        header=None,
        dtype=object,
        na_filter=False,
        skip_blank_lines=False,
    )
    names = [str(name).strip() for name in frame.iloc[0]]
    _check_columns(path, names, columns)
    cells = {name: frame.iloc[1:, names.index(name)].tolist() for name in columns}
    return TextTable(tuple(rows), cells, broken)


def write_text_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table; cells that a spreadsheet would take for a formula begin with an apostrophe, which it hides.

    Raises
    ------
    ExportError
        If it cannot be written; an older one is unchanged.
    """
    import pandas as pd

    defused = [[_defused(cell) for cell in row] for row in rows]
    table = pd.DataFrame(defused, columns=list(columns), dtype=object)
    write_text_atomically(path, table.to_csv(index=False, lineterminator="\n"))


class ColumnReader:
    """Turns the columns of a table into arrays with an entry for every row, and notes what is wrong with rows.

    Of several things that are wrong with a row the first one is noted; its entries mean nothing.
    """

    def __init__(self, table: TextTable) -> None:
        self._table = table
        self._refused: dict[int, str] = {}

    @property
    def problems(self) -> dict[int, str]:
        """What is wrong, by line, in the order of the lines; those that are no rows are among them."""
        found = {self._table.lines[row]: what for row, what in self._refused.items()}
        return dict(sorted({**self._table.broken, **found}.items()))

    @property
    def is_sound(self) -> NDArray[np.bool_]:
        """Which rows nothing is wrong with."""
        sound = np.ones(len(self._table.lines), dtype=np.bool_)
        sound[list(self._refused)] = False
        return sound

    def texts(self, column: str) -> list[str]:
        """Return the cells of a column without the spaces around them."""
        return [cell.strip() for cell in self._table.cells[column]]

    def whole_numbers(self, column: str) -> NDArray[np.int64]:
        """Return a column of whole numbers, (rows,)."""
        return self.whole_number_lists(column, 1)[:, 0]

    def whole_number_lists(self, column: str, count: int) -> NDArray[np.int64]:
        """Return a column whose cells hold `count` whole numbers each, (rows, count)."""
        return self._parsed(column, count, int)

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a column of numbers, (rows,); NaN is one, infinity is none."""
        return self.number_lists(column, 1)[:, 0]

    def number_lists(self, column: str, count: int) -> NDArray[np.float64]:
        """Return a column whose cells hold `count` numbers each, (rows, count)."""
        values = self._parsed(column, count, float)
        is_infinite = np.count_nonzero(np.isinf(values), axis=1) > 0
        self.refuse(is_infinite, lambda row: f"an infinite number in {column} {self.shown(column, row)}")
        return values

    def shown(self, column: str, row: int) -> str:
        """Return a cell as messages show it."""
        return _shown(self._table.cells[column][row])

    def refuse(self, is_wrong: NDArray[np.bool_], what: Callable[[int], str]) -> None:
        """Note what is wrong with some rows; `what` is called with the index of a row."""
        for row in np.flatnonzero(is_wrong).tolist():
            if row not in self._refused:
                self._refused[row] = what(row)

    def _parsed(self, column: str, count: int, kind: type[int] | type[float]) -> NDArray[Any]:
        cells = self._table.cells[column]
        try:
            return _parsed(cells, count, kind)
        except (ValueError, OverflowError):
            return np.concatenate([self._parsed_alone(row, column, count, kind) for row in range(len(cells))])

    def _parsed_alone(self, row: int, column: str, count: int, kind: type[int] | type[float]) -> NDArray[Any]:
        """Return the numbers of one cell, (1, count); zeros, noted, where it holds something else."""
        cell = self._table.cells[column][row]
        try:
            return _parsed([cell], count, kind)
        except (ValueError, OverflowError):
            self._refused.setdefault(row, _why_not(column, cell, count, _KINDS[kind]))
            return np.zeros((1, count), dtype=kind)


def _defused(cell: str) -> str:
    """Return a cell that is no formula; numbers, also several of them, may begin with a sign."""
    is_formula = str(cell).startswith(_FORMULA_BEGINNINGS) and _NUMBERS.fullmatch(str(cell)) is None
    return f"'{cell}" if is_formula else cell


def _text(path: Path) -> str:
    try:
        text = read_table_bytes(path).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise AnnotationFileError(
            f"{path} cannot be read: {error.strerror}", "A readable CSV file is needed", "Check the path and the rights"
        ) from error
    except UnicodeDecodeError as error:
        raise AnnotationFileError(
            f"{path.name} is not a text table: its byte {error.start + 1} is no UTF-8",
            "A CSV file is needed, as UTF-8",
            "Copy it again, or save it as CSV in UTF-8",
        ) from error
    if not text.strip():
        raise AnnotationFileError(f"{path.name} is empty", "A CSV file is needed", "Copy it again")
    return text


def _cells_in_lines(text: str) -> list[int | None]:
    """Return how many cells each line has; None where its quotation marks do not stand around whole cells."""
    bare = _QUOTED_CELL.sub("", text)
    return [None if '"' in line else line.count(",") + 1 for line in bare.split("\n")]


def _check_columns(path: Path, names: Sequence[str], columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in names]
    if missing:
        has = f"{path.name} has the columns {_cut(', '.join(names), 10 * SHOWN_CHARACTERS)}"
        raise _refuse_columns(path, f"{has}; missing are {', '.join(missing)}", columns)
    twice = [name for name in columns if names.count(name) > 1]
    if twice:
        raise _refuse_columns(path, f"{path.name} has two columns of the name {twice[0]}", columns)


def _refuse_columns(path: Path, happened: str, columns: Sequence[str]) -> AnnotationFileError:
    expected = f"The columns {', '.join(columns)} are needed, separated by commas"
    return AnnotationFileError(happened, expected, f"Use {path.name} as released")


def _parsed(cells: Sequence[str], count: int, kind: type[int] | type[float]) -> NDArray[Any]:
    """Return the numbers of all cells, (cells, count); all at once, which is many times faster than one by one."""
    if count > 1 and [cell.count(",") for cell in cells].count(count - 1) != len(cells):
        raise ValueError("another count of numbers")
    texts = ",".join(cells).split(",") if count > 1 and cells else cells
    return np.asarray(list(map(kind, texts)), dtype=kind).reshape(-1, count)


def _why_not(column: str, cell: str, count: int, kind: str) -> str:
    if not cell.strip():
        return f"{column} is empty"
    found = cell.count(",") + 1
    if found != count:
        return f"{found} {kind}{'s' if found > 1 else ''} instead of {count} in {column} {_shown(cell)}"
    return f"could not convert {column} {_shown(cell)} to {f'a {kind}' if count == 1 else f'{count} {kind}s'}"


def _shown(text: str) -> str:
    return repr(_cut(text, SHOWN_CHARACTERS))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"
