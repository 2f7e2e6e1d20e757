"""Small widgets of the test-set window: a lock, the list of keys, what a reading is."""

from collections.abc import Sequence
from html import escape

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QLabel

from lens_napari.panels.parts import Panel, label
from lens_napari.viewer.palette import BAD, MUTED, UNDECIDED

LOCK_PIXELS = 18


class RulesPanel(Panel):
    """What a complete work is; it does nothing."""

    def __init__(self, rules: str) -> None:
        super().__init__("lens-test-set-rules")
        self.column.addWidget(label(rules, style=f"color: {MUTED};"))
        self.column.addStretch(1)


class NoticePanel(Panel):
    """A panel that says what became of a key, and what went wrong."""

    key_rows: Sequence[tuple[str, str]]
    """The keys of its window, with what they do."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.notice_label = label(style=f"color: {UNDECIDED};")
        self.problem_label = label(style=f"color: {BAD};")
        self._is_unsaved = False

    def show_notice(self, text: str) -> None:
        """Say what became of a key; a problem that was told before is over, unless something was not saved."""
        self.notice_label.setText(text)
        if not self._is_unsaved:
            self.problem_label.setText("")

    def show_problem(self, text: str) -> None:
        """Say what went wrong."""
        self.problem_label.setText(text)

    def show_unsaved(self, text: str) -> None:
        """Say why what the reader has marked or settled was not saved; it stands until something else is."""
        self._is_unsaved = True
        self.notice_label.setText("")  # it said what became of it
        self.show_problem(text)

    def forget_unsaved(self) -> None:
        """Go on after something was saved."""
        if self._is_unsaved:
            self._is_unsaved = False
            self.problem_label.setText("")


def lock_picture(colour: str, *, is_closed: bool) -> QPixmap:
    """Return a lock; no font has to have one."""
    pixels = QPixmap(LOCK_PIXELS, LOCK_PIXELS)
    pixels.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixels)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(colour), 2))
    shackle = QRectF(5, 2, 8, 11) if is_closed else QRectF(9, 2, 8, 11)
    painter.drawArc(shackle, 0, 180 * 16)  # Qt counts sixteenths of a degree
    painter.fillRect(QRectF(3, 8, 12, 9), QColor(colour))
    painter.end()
    return pixels


def keys_table(rows: Sequence[tuple[str, str]]) -> QLabel:
    """Return keys with what they do."""
    cells = [f"<tr><td><b>{escape(key)}</b>&nbsp;&nbsp;</td><td>{escape(words)}</td></tr>" for key, words in rows]
    made = label(f"<table>{''.join(cells)}</table>", style=f"color: {MUTED};")
    made.setTextFormat(Qt.TextFormat.RichText)
    return made
