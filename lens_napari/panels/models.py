"""The models dock: every version and its parent, how good it is, and which one the project uses."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QFont
from qtpy.QtWidgets import QHBoxLayout, QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from lens_napari.panels.outdated_list import OutdatedListBox
from lens_napari.panels.parts import Panel, button, label
from lens_napari.review.versions.models_view import ModelLine
from lens_napari.review.wording import DEMO_ADVICE
from lens_napari.viewer.palette import UNDECIDED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("version", "from", "labels", "sens.")
TIPS = (
    "Every model of this project, the newest first",
    "The version that it was trained from",
    "The snapshot of labels that it learned from",
    "Average share of the true lesions that it finds on the complete test series, in percent",
)
FIGURE_HEIGHT = 300


class ModelsPanel(Panel):
    """Versions as a table, FROC below."""

    promote_requested = Signal(str)
    evaluate_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__("lens-models")
        self.setMinimumWidth(330)
        self.notice_label = label(style=f"color: {UNDECIDED}; font-weight: bold;")
        self.tree = QTreeWidget()
        self.tree.setHeaderLabels(COLUMNS)
        for column, tip in enumerate(TIPS):
            self.tree.headerItem().setToolTip(column, tip)
        self.tree.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.tree.setRootIsDecorated(False)
        self.tree.setMaximumHeight(170)
        self.tree.header().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.promote_button = button("Use this version", "Promote it, or roll back to it")
        self.evaluate_button = button(
            "Measure it", "Compare it with the version it came from, on the completely annotated test series"
        )
        buttons = QHBoxLayout()
        buttons.addWidget(self.promote_button)
        buttons.addWidget(self.evaluate_button)
        self.outdated_list = OutdatedListBox()
        self.words_label = label()
        self._canvas: QWidget | None = None
        self.column.addWidget(self.notice_label)
        self.column.addWidget(self.tree)
        self.column.addLayout(buttons)
        self.column.addWidget(self.outdated_list)
        self.column.addWidget(self.words_label)
        self.column.addStretch(1)
        self._rows: tuple[ModelLine, ...] = ()
        self.tree.currentItemChanged.connect(lambda *_: self._show_buttons())
        self.promote_button.clicked.connect(lambda _: self._emit(self.promote_requested.emit))
        self.evaluate_button.clicked.connect(lambda _: self._emit(self.evaluate_requested.emit))
        self._show_buttons()

    @property
    def chosen_version(self) -> str | None:
        """The marked version."""
        item = self.tree.currentItem()
        return None if item is None else str(item.text(0).split(" ")[0])

    @property
    def rows(self) -> tuple[ModelLine, ...]:
        """What is listed, newest first."""
        return self._rows

    def show_models(self, rows: Sequence[ModelLine]) -> None:
        """Show all versions, newest first."""
        chosen = self.chosen_version
        self._rows = tuple(rows)
        self.tree.clear()
        for row in rows:
            record = row.record
            text = f"{record.version} ● in use" if record.is_promoted else record.version
            item = QTreeWidgetItem([text, record.parent or "–", (record.snapshot_id or "–")[:8], row.average])
            if record.is_promoted:
                font = QFont(item.font(0))
                font.setBold(True)
                item.setFont(0, font)
            item.setToolTip(0, f"{record.notice}\n{record.created_at:%Y-%m-%d %H:%M}\n{', '.join(record.experts)}")
            self.tree.addTopLevelItem(item)
            if record.version == chosen or (chosen is None and record.is_promoted):
                self.tree.setCurrentItem(item)
        in_use = next((row.record for row in rows if row.record.is_promoted), None)
        self.notice_label.setText(DEMO_ADVICE if in_use is not None and in_use.is_demo else "")
        self.notice_label.setVisible(bool(self.notice_label.text()))
        self._show_buttons()

    def show_figure(self, figure: "Figure | None", words: str, details: str) -> None:
        """Show FROC curves with a sentence, and details to who points at it; None clears them."""
        if self._canvas is not None:
            self.column.removeWidget(self._canvas)
            self._canvas.deleteLater()
            self._canvas = None
        self.words_label.setText(words)
        self.words_label.setToolTip(details)
        if figure is not None:
            from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg  # as slow to import as its figures

            self._canvas = FigureCanvasQTAgg(figure)  # type: ignore[no-untyped-call]  # matplotlib has no types here
            self._canvas.setMinimumHeight(FIGURE_HEIGHT)
            self.column.insertWidget(self.column.count() - 1, self._canvas)

    def _show_buttons(self) -> None:
        chosen = next((row.record for row in self._rows if row.record.version == self.chosen_version), None)
        self.promote_button.setEnabled(chosen is not None and not chosen.is_promoted)
        self.evaluate_button.setEnabled(chosen is not None)

    def _emit(self, emit: Callable[[str], None]) -> None:
        if self.chosen_version is not None:
            emit(self.chosen_version)
