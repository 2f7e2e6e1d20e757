"""Small widgets of the test-set window: a lock, the list of keys, what a reading is."""

from collections.abc import Sequence
from html import escape

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QLabel

from lens_napari.panels.parts import Panel, label
from lens_napari.review.settings import KeySettings, spoken
from lens_napari.viewer.palette import MUTED

LOCK_PIXELS = 18
RULES = (
    "Mark every lesion of the sub-volume: draw it on one slice, then let the box reach over all its slices. White "
    "boxes came with the data and count already; one that is on a single slice has to be drawn. Without any lesion "
    "the scan is a normal one: that is said with the same key."
)


class RulesPanel(Panel):
    """What a complete reading is; it does nothing."""

    def __init__(self) -> None:
        super().__init__("lens-test-set-rules")
        self.column.addWidget(label(RULES, style=f"color: {MUTED};"))
        self.column.addStretch(1)


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


def keys_table(keys: KeySettings) -> QLabel:
    """Return the keys with which the test set is read."""
    cells = [
        f"<tr><td><b>{escape(key)}</b>&nbsp;&nbsp;</td><td>{escape(words)}</td></tr>" for key, words in _rows(keys)
    ]
    made = label(f"<table>{''.join(cells)}</table>", style=f"color: {MUTED};")
    made.setTextFormat(Qt.TextFormat.RichText)
    return made


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
