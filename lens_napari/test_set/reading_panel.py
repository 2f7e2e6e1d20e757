"""What this reader has marked in the sub-volume on screen, whether the reading is blind, and the end of it."""

from collections.abc import Sequence

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QWidget

from lens_engine.store.readings.records import ReadingRecord
from lens_napari.panels.parts import button, heading, label
from lens_napari.review.readings.wording import PRESS_AGAIN, SHOW_AIDS, lock_words, time_words
from lens_napari.review.settings import KeySettings, spoken
from lens_napari.test_set.parts import NoticePanel, keys_table, lock_picture
from lens_napari.viewer.palette import GOOD, UNDECIDED

SECOND_PRESS_MS = 8000
"""How long a second press counts as meant."""
LOCK_SIZE = 22
LEAST_SECONDS = 60
"""Time at work that is worth a word."""


class ReadingPanel(NoticePanel):
    """Shows a reading and emits what the reader wants of it.

    Parameters
    ----------
    keys
        The keys as they act while the test set is read.
    boxes
        The marked lesions, which another one shows.
    """

    complete_requested = Signal()
    aids_requested = Signal()

    def __init__(self, keys: KeySettings, boxes: QWidget) -> None:
        super().__init__("lens-reading")
        self.title_label = heading("")
        self.lock_picture = QLabel()
        self.lock_picture.setFixedWidth(LOCK_SIZE)
        self.lock_label = label()
        self.count_label = label()
        self.complete_button = button("", "Every lesion of this sub-volume is marked; the next one comes")
        self.aids_button = button(SHOW_AIDS, "The reading is not blind any more, which is recorded and exported")
        self._complete_key = spoken(keys.complete)
        self.column.addWidget(self.title_label)
        lock = QHBoxLayout()
        lock.addWidget(self.lock_picture)
        lock.addWidget(self.lock_label, stretch=1)
        self.column.addLayout(lock)
        for widget in (self.count_label, self.notice_label, self.problem_label):
            self.column.addWidget(widget)
        self.column.addWidget(boxes)
        self.column.addWidget(self.complete_button)
        self.column.addStretch(1)
        self.key_rows = _rows(keys)
        self.column.addWidget(keys_table(self.key_rows))
        self.column.addWidget(self.aids_button)
        self._meant = QTimer(self)
        self._meant.setSingleShot(True)
        self._meant.setInterval(SECOND_PRESS_MS)
        self._meant.timeout.connect(lambda: self.aids_button.setText(SHOW_AIDS))
        self.complete_button.clicked.connect(lambda _: self.complete_requested.emit())
        self.aids_button.clicked.connect(lambda _: self._ask_for_aids())
        self.show_reading(None, "", 0)

    def show_reading(self, reading: ReadingRecord | None, name: str, lesions: int) -> None:
        """Show a reading, or that none is open."""
        self.title_label.setText(name or "No sub-volume is open")
        for widget in (self.lock_picture, self.lock_label, self.count_label, self.complete_button, self.aids_button):
            widget.setVisible(reading is not None)
        if reading is None:
            return
        colour = GOOD if reading.is_blind else UNDECIDED
        self.lock_picture.setPixmap(lock_picture(colour, is_closed=reading.is_blind))
        self.lock_label.setText(lock_words(reading))
        self.lock_label.setStyleSheet(f"color: {colour};")
        marked = f"{lesions} lesion{'s' if lesions != 1 else ''} marked by you"
        is_told = reading.seconds >= LEAST_SECONDS
        self.count_label.setText(f"{marked} · {time_words(reading.seconds)} until now" if is_told else marked)
        back, done = "Not complete after all", "Complete, next one" if lesions else "Complete: no lesion, next one"
        self.complete_button.setText(f"{back if reading.is_complete else done} [{self._complete_key}]")
        self.aids_button.setVisible(reading.is_blind and not reading.is_complete)

    def forget_first_press(self) -> None:
        """Ask again before anything of the model is shown."""
        self._meant.stop()
        self.aids_button.setText(SHOW_AIDS)

    def _ask_for_aids(self) -> None:
        if self._meant.isActive():
            self.forget_first_press()
            self.aids_requested.emit()
        else:
            self.aids_button.setText("Press again: show it")
            self.show_notice(PRESS_AGAIN)
            self._meant.start()


def _rows(keys: KeySettings) -> Sequence[tuple[str, str]]:
    return (
        (spoken(keys.draw_lesion), "draw a lesion"),
        (f"{spoken(keys.first_up)} {spoken(keys.first_down)}", "first slice: one more, one less"),
        (f"{spoken(keys.last_up)} {spoken(keys.last_down)}", "last slice: one less, one more"),
        (f"{spoken(keys.accept)} or Enter", "keep the box"),
        ("Esc", "drop the box"),
        (spoken(keys.change_box), "change the box chosen in the list"),
        (spoken(keys.delete_drawn), "delete it"),
        (f"{spoken(keys.undo)} {spoken(keys.redo_also)}", "take back, do again"),
        (spoken(keys.complete), "complete, and to the next one left"),
        (f"{spoken(keys.next_lesion)} {spoken(keys.previous_lesion)}", "next one left, previous one"),
    )
