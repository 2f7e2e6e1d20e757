"""Any series to look at, and whether the one on screen is completely annotated."""

from collections.abc import Iterable

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QVBoxLayout, QWidget

from lens_engine.store.catalog import SeriesRecord
from lens_napari.panels.parts import label
from lens_napari.review.wording import series_line
from lens_napari.viewer.palette import BAD, MUTED

LEAST_LETTERS = 24
"""The closed list shows at least so many letters of a series; the open one shows all of them."""


class SeriesBox(QWidget):  # type: ignore[misc]  # qtpy carries no types
    """A list of series with the mark of the chosen one."""

    series_chosen = Signal(int)
    completeness_chosen = Signal(bool)

    def __init__(self, complete_key: str) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        self.list_box = QComboBox()
        self.list_box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list_box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.list_box.setMinimumContentsLength(LEAST_LETTERS)
        self.list_box.setToolTip("Look at any series; J comes back to the review")
        self.complete_box = QCheckBox(f"Completely annotated [{complete_key}]")
        self.complete_box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.complete_box.setEnabled(False)
        self.complete_box.setToolTip(
            "Every lesion of this series is annotated in 3D.\n"
            "Models are then measured on it, and it is exported with the test set.\n"
            "Only for val and test patients; uncheck it to take that back."
        )
        self.note_label = label()
        self.note_label.hide()
        for widget in (self.list_box, self.complete_box, self.note_label):
            column.addWidget(widget)
        self.list_box.activated.connect(lambda _: self.series_chosen.emit(int(self.list_box.currentData())))
        self.complete_box.clicked.connect(self.completeness_chosen.emit)

    @property
    def is_complete(self) -> bool:
        """Whether the mark is set."""
        return bool(self.complete_box.isChecked())

    def show_series(self, series: Iterable[SeriesRecord]) -> None:
        """List the series that can be looked at."""
        self.list_box.clear()
        for record in series:
            self.list_box.addItem(series_line(record), record.id)

    def show_line(self, record: SeriesRecord) -> None:
        """Write the line of one series again."""
        self.list_box.setItemText(self.list_box.findData(record.id), series_line(record))

    def show_shown(self, record: SeriesRecord) -> None:
        """Show which series is on screen, and its mark."""
        self.show_line(record)
        self.list_box.setCurrentIndex(self.list_box.findData(record.id))
        self.complete_box.setEnabled(True)
        self.complete_box.setChecked(record.is_complete)
        self.show_note("")

    def show_saving(self, is_complete: bool) -> None:
        """Show a mark that is not on disk yet."""
        self.complete_box.setChecked(is_complete)
        self.show_note("○ being saved")

    def show_note(self, text: str) -> None:
        """Say something about the mark; an empty text hides it."""
        self._say(text, MUTED)

    def show_problem(self, text: str) -> None:
        """Say why the mark could not be changed."""
        self._say(text, BAD)

    def _say(self, text: str, colour: str) -> None:
        self.note_label.setStyleSheet(f"color: {colour};")
        self.note_label.setText(text)
        self.note_label.setVisible(bool(text))
