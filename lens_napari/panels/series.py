"""Any series to look at, and whether the one on screen is completely annotated."""

from collections.abc import Iterable

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QVBoxLayout, QWidget

from lens_engine.store.catalog import SeriesRecord
from lens_napari.panels.parts import button, label
from lens_napari.review.wording import series_line
from lens_napari.viewer.palette import BAD, MUTED, UNDECIDED

NO_SCANS = "No scans in this project yet"
NOT_SEARCHED = "Not searched for lesions yet: no boxes."
LEAST_LETTERS = 24
"""The closed list shows at least so many letters of a series; the open one shows all of them."""


class SeriesBox(QWidget):  # type: ignore[misc]  # qtpy carries no types
    """A list of series with the mark of the chosen one."""

    series_chosen = Signal(int)
    completeness_chosen = Signal(bool)
    add_requested = Signal()
    find_requested = Signal()
    reload_requested = Signal()
    """The reader wants to see what was found since the series came on screen."""

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
        self.add_button = button("Add scans …", "Bring CT scans into the project; or drop their folders on this window")
        self.search_label = label(style=f"color: {UNDECIDED};")
        self.find_button = button("Find lesions", "Let the detector look at every scan that it has not seen")
        self.show_found_button = button("Show what was found", "Show this scan again, with the boxes that were found")
        for widget in (
            self.list_box,
            self.search_label,
            self.find_button,
            self.show_found_button,
            self.complete_box,
            self.note_label,
            self.add_button,
        ):
            column.addWidget(widget)
        self.show_series(())
        self.show_searched(True)
        self.add_button.clicked.connect(lambda _: self.add_requested.emit())
        self.find_button.clicked.connect(lambda _: self.find_requested.emit())
        self.show_found_button.clicked.connect(lambda _: self.reload_requested.emit())
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
        is_empty = self.list_box.count() == 0
        self.list_box.setEnabled(not is_empty)
        self.complete_box.setVisible(not is_empty)
        if is_empty:
            self.list_box.addItem(NO_SCANS, None)

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

    def show_searched(self, is_searched: bool) -> None:  # a state, not a mode
        """Say whether the series on screen was searched: no box means something only then."""
        self.search_label.setText("" if is_searched else NOT_SEARCHED)
        self.search_label.setVisible(not is_searched)
        self.find_button.setVisible(not is_searched)
        self.show_found_button.hide()

    def show_found(self) -> None:
        """Say that the series was searched after it came on screen."""
        self.show_searched(True)
        self.show_found_button.show()

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
