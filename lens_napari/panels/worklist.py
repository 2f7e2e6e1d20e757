"""The worklist dock: which lesions wait, why, how far the review is, the series, and the legend of boxes."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QComboBox, QHBoxLayout, QHeaderView, QTableView

from lens_engine.findings import Rule
from lens_napari.panels.legend import Legend
from lens_napari.panels.parts import Panel, button, heading, label, progress_bar
from lens_napari.panels.series import SeriesBox
from lens_napari.review.box_table import BoxState
from lens_napari.review.cards import WorklistRow
from lens_napari.review.session import Tally
from lens_napari.review.settings import KeySettings
from lens_napari.review.wording import MEANINGS, NOT_FOR_DIAGNOSIS, SYMBOLS
from lens_napari.viewer.palette import BAD, GOOD, MUTED, UNDECIDED

COLUMNS = ("", "why", "score", "says", "patient", "slice")
WIDTHS = (24, 34, 44, 84, 56, 42)
TIPS = {"score": "What the surest expert says about the place", "says": "The surest expert, whose score it is"}
COLOUR_OF_STATE = {BoxState.ACCEPTED: GOOD, BoxState.REJECTED: BAD, BoxState.UNSURE: UNDECIDED}


class RowsModel(QAbstractTableModel):  # type: ignore[misc]  # qtpy carries no types
    """Rows of the worklist as Qt wants them."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: tuple[WorklistRow, ...] = ()

    def replace(self, rows: Sequence[WorklistRow]) -> None:
        """Show other rows; only changed ones are painted again when the lesions are the same."""
        same = [row.candidate_id for row in rows] == [row.candidate_id for row in self.rows]
        if same and self.rows:
            self.rows = tuple(rows)
            self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(COLUMNS) - 1))
        else:
            self.beginResetModel()
            self.rows = tuple(rows)
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
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return row.cells[index.column()]
        if role == Qt.ItemDataRole.ForegroundRole and row.state in COLOUR_OF_STATE:
            return QColor(COLOUR_OF_STATE[row.state] if index.column() == 0 else MUTED)
        if role == Qt.ItemDataRole.ToolTipRole and index.column() == 1:
            return "; ".join(MEANINGS[rule] for rule, sign in SYMBOLS.items() if sign in row.why)
        return None


class Listed(StrEnum):
    """What the list holds, in words."""

    OPEN = "To review"
    ALL = "All lesions"
    WITH_VALIDATION = "Validation patients too"


class WorklistPanel(Panel):
    """The queue of lesions, the series and the legend."""

    lesion_chosen = Signal(int)
    rule_chosen = Signal(object)
    """Carries the `Rule`, or None for any."""
    validation_wanted = Signal(bool)
    """Whether the lesions of validation patients are asked about, too."""
    reload_requested = Signal()

    def __init__(self, colours: Mapping[str, str], thresholds: Mapping[str, float], keys: KeySettings) -> None:
        super().__init__("lens-worklist")
        self.setMinimumWidth(300)
        filters = QHBoxLayout()
        self.show_box = _choices(*((listed.value, listed) for listed in Listed))
        self.rule_box = _choices(("Any reason", None), *((f"{SYMBOLS[rule]}  {rule}", rule) for rule in Rule))
        filters.addWidget(self.show_box, 1)
        filters.addWidget(self.rule_box, 1)
        self.model = RowsModel()
        self.table = _table(self.model)
        self.tally_label = label()
        self.bar = progress_bar()
        self.reload_button = button("Load the new list", "Mining has found new candidates")
        self.reload_button.hide()
        self.series_box = SeriesBox(keys.complete)
        self.legend = Legend(colours, thresholds, keys.dim_boxes)
        self.column.addLayout(filters)
        for widget in (self.table, self.reload_button, self.tally_label, self.bar, heading("Series")):
            self.column.addWidget(widget)
        self.column.addWidget(self.series_box)
        self.column.addWidget(heading("Boxes: shown from which score"))
        self.column.addWidget(self.legend)
        self.column.addWidget(label(NOT_FOR_DIAGNOSIS, style="color: #E6C15A;"))
        self._all_rows: tuple[WorklistRow, ...] = ()
        self._current: int | None = None
        self.show_box.activated.connect(lambda _: self._on_listed())
        self.rule_box.activated.connect(lambda _: self.rule_chosen.emit(self.rule_box.currentData()))
        self.table.clicked.connect(lambda index: self.lesion_chosen.emit(self.model.rows[index.row()].candidate_id))
        self.reload_button.clicked.connect(lambda _: self.reload_requested.emit())

    @property
    def rule(self) -> Rule | None:
        """The reason that the list is narrowed to; None for any."""
        chosen: Rule | None = self.rule_box.currentData()
        return chosen

    def take_filter_off(self) -> None:
        """List the lesions of any reason, as if the reader had chosen that."""
        self.rule_box.setCurrentIndex(self.rule_box.findData(None))
        self.rule_chosen.emit(None)

    def show_rows(self, rows: Sequence[WorklistRow], current: int | None, tally: Tally) -> None:
        """Show the queue with the lesion asked about marked."""
        self._all_rows, self._current = tuple(rows), current
        self._fill()
        done = tally.total - tally.open
        self.bar.setRange(0, max(1, tally.total))
        self.bar.setValue(done)
        self.bar.setFormat("%p % of all")
        waiting = f" · {tally.pending} being saved" if tally.pending else ""
        self.tally_label.setText(f"{tally.open} to review · {tally.decided_now} decided now{waiting}")

    def list_as(self, listed: Listed) -> None:
        """List these lesions."""
        self.show_box.setCurrentIndex(self.show_box.findData(listed))
        self._on_listed()

    def _on_listed(self) -> None:
        self._fill()
        self.validation_wanted.emit(self.show_box.currentData() == Listed.WITH_VALIDATION)

    def _fill(self) -> None:
        with_decided = self.show_box.currentData() == Listed.ALL
        rule = self.rule
        rows = [
            row
            for row in self._all_rows
            if (with_decided or row.state in (BoxState.PLAIN, BoxState.ASKED) or row.candidate_id == self._current)
            and (rule is None or SYMBOLS[rule] in row.why)
        ]
        self.model.replace(rows)
        number = next((i for i, row in enumerate(rows) if row.candidate_id == self._current), None)
        if number is None:
            self.table.clearSelection()
        else:
            self.table.selectRow(number)


def _choices(*entries: tuple[str, object]) -> QComboBox:
    box = QComboBox()
    box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    for text, value in entries:
        box.addItem(text, value)
    return box


def _table(model: RowsModel) -> QTableView:
    table = QTableView()
    table.setModel(model)
    table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setShowGrid(False)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(22)
    header = table.horizontalHeader()
    header.setMinimumSectionSize(20)
    for column, width in enumerate(WIDTHS):
        table.setColumnWidth(column, width)
    header.setSectionResizeMode(COLUMNS.index("says"), QHeaderView.ResizeMode.Stretch)
    return table
