"""The field for a reader's own words about a lesion, below what other readers have written."""

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QFocusEvent, QKeyEvent, QTextCursor
from qtpy.QtWidgets import QPlainTextEdit, QSizePolicy, QVBoxLayout, QWidget

from lens_engine.findings import MAX_COMMENT
from lens_napari.panels.parts import label
from lens_napari.review.saying.remark_card import RemarkCard
from lens_napari.review.settings import spoken
from lens_napari.viewer.palette import MUTED

ONE_LINE, TWO_LINES = 26, 38
"""Height of the field without words and with them; what is longer is scrolled, for the window must not grow."""
KEEP_TIP = "Enter keeps it, Escape leaves it as it was"


class CommentField(QPlainTextEdit):  # type: ignore[misc]  # qtpy carries no types
    """Takes words, and every key while it has the keyboard: none of them decides anything."""

    typed = Signal(str)
    entered = Signal()
    kept = Signal()
    left = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(ONE_LINE)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setStyleSheet("QPlainTextEdit { border: 1px solid #4a5058; background: #23262b; }")
        self.setToolTip(KEEP_TIP)
        self._is_shown = False
        self.textChanged.connect(self._on_text)

    def show_text(self, text: str) -> None:
        """Show words that were not typed here."""
        if text != self.toPlainText():
            self._is_shown = True
            self.setPlainText(text)
            self.moveCursor(QTextCursor.MoveOperation.End)
            self._is_shown = False

    def focusInEvent(self, event: QFocusEvent) -> None:  # Qt's name
        """Take the keyboard."""
        self.entered.emit()
        super().focusInEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # Qt's name
        """Type, keep or leave; what is no letter stays here, too."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.kept.emit()
        elif event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        else:
            super().keyPressEvent(event)
        event.accept()

    def _on_text(self) -> None:
        text = self.toPlainText()
        excess = len(text) - MAX_COMMENT
        if excess > 0:  # what was typed or pasted last goes, not what stood there before
            place = self.textCursor().position()
            kept = max(place - excess, 0) if place else MAX_COMMENT
            self.show_text((text[:kept] + text[kept + excess :])[:MAX_COMMENT])
            cursor = self.textCursor()
            cursor.setPosition(kept)
            self.setTextCursor(cursor)
        self.setFixedHeight(TWO_LINES if self.toPlainText() else ONE_LINE)
        if not self._is_shown:
            self.typed.emit(self.toPlainText())


class CommentBox(QWidget):  # type: ignore[misc]  # qtpy carries no types
    """What readers say of a lesion in their own words."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = spoken(key)
        self.others_label = label()
        self.others_label.setTextFormat(Qt.TextFormat.PlainText)
        self.axes_label = label()
        self.title_label = label(style=f"color: {MUTED};")
        self.field = CommentField()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        for widget in (self.axes_label, self.others_label, self.title_label, self.field):
            column.addWidget(widget)
        for one in (self.axes_label, self.others_label, self.title_label):
            # Else it asks for the height that it would have in a narrower panel, and the window grows.
            one.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self.hide()

    def show_axes(self, words: str) -> None:
        """Show the lengths of a lesion's axes, and who drew them; an empty text hides the line."""
        self.axes_label.setText(words)
        self.axes_label.setVisible(bool(words))

    def show_remark(self, card: RemarkCard | None) -> None:
        """Show what is said of a lesion; None where keys are about none."""
        self.setVisible(card is not None)
        if card is None:
            return
        title = f"{card.about} [{self._key}]"
        self.title_label.setText(f"{title}{card.state}")
        self.title_label.setVisible(bool(card.state))
        self.field.setPlaceholderText(title)
        self.others_label.setText("\n".join(f"{one.reader}: “{one.text}”" for one in card.others))
        self.others_label.setVisible(bool(card.others))
        if card.comment != self.field.toPlainText().strip():
            self.field.show_text(card.comment)
