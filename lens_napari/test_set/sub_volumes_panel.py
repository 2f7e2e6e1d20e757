"""The sub-volumes of the test set with what this reader has done of them, and what is left."""

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QListWidget, QListWidgetItem

from lens_napari.panels.parts import Panel, button, heading, label
from lens_napari.review.readings.store import ReadingState, SubVolume
from lens_napari.review.readings.wording import NO_SUB_VOLUMES, sub_volume_line, tally_words
from lens_napari.review.settings import KeySettings, spoken
from lens_napari.viewer.palette import GOOD, MUTED, UNDECIDED

COLOUR_OF_STATE = {
    ReadingState.IN_PROGRESS: UNDECIDED,
    ReadingState.COMPLETE: GOOD,
    ReadingState.CLOSED: MUTED,
}


class SubVolumesPanel(Panel):
    """A list with one line for each sub-volume; emits which one is wanted."""

    chosen = Signal(int)
    """Carries the id of a series."""
    next_requested = Signal()

    def __init__(self, keys: KeySettings) -> None:
        super().__init__("lens-sub-volumes")
        self._shown: tuple[Sequence[SubVolume], int | None] | None = None
        self.tally_label = label(style="font-weight: bold;")
        self.list = QListWidget()
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.next_button = button(f"Next one left [{spoken(keys.next_lesion)}]", "The next sub-volume to read")
        self.column.addWidget(heading("Test set"))
        self.column.addWidget(self.tally_label)
        self.column.addWidget(self.list, stretch=1)
        self.column.addWidget(self.next_button)
        self.list.itemClicked.connect(lambda item: self.chosen.emit(item.data(Qt.ItemDataRole.UserRole)))
        self.next_button.clicked.connect(lambda _: self.next_requested.emit())

    def show_list(self, items: Sequence[SubVolume], shown: int | None) -> None:
        """Show all sub-volumes, and which one is on screen; there may be a thousand, and nothing is done twice."""
        if self._shown is not None and self._shown[0] is items and self._shown[1] == shown:
            return
        self._shown = items, shown
        self.tally_label.setText(tally_words(items) if items else NO_SUB_VOLUMES)
        self.list.clear()
        for item in items:
            row = QListWidgetItem(sub_volume_line(item))
            row.setData(Qt.ItemDataRole.UserRole, item.series.id)
            row.setToolTip(f"{item.series.split.value} · {item.series.description}")
            if item.state in COLOUR_OF_STATE:
                row.setForeground(QColor(COLOUR_OF_STATE[item.state]))
            if item.state is ReadingState.CLOSED:
                row.setFlags(Qt.ItemFlag.NoItemFlags)
            self.list.addItem(row)
            if item.series.id == shown:
                self.list.setCurrentItem(row)
