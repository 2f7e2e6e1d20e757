"""The lines of the list of lesions as Qt wants them: made when they are painted, however many there are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from lens_napari.review.box_table import BoxState
from lens_napari.review.wording import MEANINGS, SYMBOLS
from lens_napari.review.worklist.rows import WorklistRow, WorklistRows
from lens_napari.viewer.palette import BAD, GOOD, MUTED, UNDECIDED

COLUMNS = ("", "why", "score", "says", "patient", "slice")
WIDTHS = (24, 34, 44, 84, 56, 42)
TIPS = {"score": "What the surest expert says about the place", "says": "The surest expert, whose score it is"}
COLOUR_OF_STATE = {BoxState.ACCEPTED: GOOD, BoxState.REJECTED: BAD, BoxState.UNSURE: UNDECIDED}
ROW_HEIGHT = 22


class RowsModel(QAbstractTableModel):  # type: ignore[misc]  # qtpy carries no types
    """Rows of the worklist as Qt wants them."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = WorklistRows.none()
        self._made: tuple[WorklistRows, int, WorklistRow] | None = None

    def replace(self, rows: WorklistRows) -> None:
        """Show other rows; where a single lesion came or went, the view keeps all others as they are."""
        before, after = self.rows.positions, rows.positions
        if np.array_equal(before, after):
            differing = rows.differing_from(self.rows)
            self.rows = rows
            if len(differing):
                first, last = int(differing[0]), int(differing[-1])
                self.dataChanged.emit(self.index(first, 0), self.index(last, len(COLUMNS) - 1))
        elif (gone := _one_more(before, after)) is not None:
            self.beginRemoveRows(QModelIndex(), gone, gone)
            self.rows = rows
            self.endRemoveRows()
        elif (come := _one_more(after, before)) is not None:
            self.beginInsertRows(QModelIndex(), come, come)
            self.rows = rows
            self.endInsertRows()
        else:
            self.beginResetModel()
            self.rows = rows
            self.endResetModel()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: N802, B008  # Qt's signature
        """Return the number of lesions."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: N802, B008  # Qt's signature
        """Return the number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Any, role: int = 0) -> Any:  # noqa: N802  # Qt's name
        """Return the name of a column."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.ToolTipRole:
            return TIPS.get(COLUMNS[section])
        return COLUMNS[section] if role == Qt.ItemDataRole.DisplayRole else None

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """Return text or colour of a cell."""
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ForegroundRole, Qt.ItemDataRole.ToolTipRole):
            return None
        row = self._row(index.row())
        if role == Qt.ItemDataRole.DisplayRole:
            return row.cells[index.column()]
        if role == Qt.ItemDataRole.ForegroundRole and row.state in COLOUR_OF_STATE:
            return QColor(COLOUR_OF_STATE[row.state] if index.column() == 0 else MUTED)
        if role == Qt.ItemDataRole.ToolTipRole and index.column() == 1:
            return "; ".join(MEANINGS[rule] for rule, sign in SYMBOLS.items() if sign in row.why)
        return None

    def _row(self, number: int) -> WorklistRow:
        """Return a line; Qt asks for the cells of one after the other, several times each."""
        if self._made is None or self._made[0] is not self.rows or self._made[1] != number:
            self._made = (self.rows, number, self.rows[number])
        return self._made[2]


def rows_table(model: RowsModel) -> QTableView:
    """Return the view of the rows; every line has the same height, so that none is measured."""
    table = QTableView()
    table.setModel(model)
    table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.verticalHeader().hide()
    table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
    header = table.horizontalHeader()
    header.setMinimumSectionSize(20)
    for column, width in enumerate(WIDTHS):
        table.setColumnWidth(column, width)
    header.setSectionResizeMode(COLUMNS.index("says"), QHeaderView.ResizeMode.Stretch)
    return table


def _one_more(longer: NDArray[np.int64], other: NDArray[np.int64]) -> int | None:
    """Return where a list has one lesion that another lacks; None where that is not all they differ in."""
    if len(longer) != len(other) + 1:
        return None
    differing = np.flatnonzero(longer[:-1] != other)
    place = int(differing[0]) if len(differing) else len(other)
    return place if np.array_equal(longer[place + 1 :], other[place:]) else None
