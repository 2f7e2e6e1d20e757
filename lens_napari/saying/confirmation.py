"""One line over the picture after a verdict: what was said of which lesion, and whether it is on disk."""

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QLabel, QWidget

from lens_napari.review.acts import SaveState
from lens_napari.review.box_table import BoxState
from lens_napari.review.saying.said_line import SaidLine
from lens_napari.viewer.palette import BAD, GOOD, UNDECIDED

SHOWN_MS = 4000
FROM_BELOW = 84
"""Pixels that are left to the letter and the texts at the lower edge."""
COLOURS = {BoxState.ACCEPTED: GOOD, BoxState.REJECTED: BAD, BoxState.UNSURE: UNDECIDED}
PLAIN_COLOUR = "#D8DEE9"
STYLE = "color: {colour}; background: rgba(0, 0, 0, 200); padding: 3px 10px; font-size: 11pt; font-weight: bold;"


class Confirmation(QLabel):  # type: ignore[misc]  # qtpy carries no types
    """Lies at the lower edge of the picture, where no lesion comes on screen, and goes by itself.

    It is a widget over the canvas: nothing of the picture is drawn again when it comes or goes.
    """

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self._canvas = canvas
        self._style = ""
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self._ends = QTimer(self)
        self._ends.setSingleShot(True)
        self._ends.setInterval(SHOWN_MS)
        self._ends.timeout.connect(self.hide)
        canvas.installEventFilter(self)
        self.hide()

    def show_line(self, line: SaidLine) -> None:
        """Show a line; it stays until it is on disk, and a few seconds more."""
        style = STYLE.format(colour=COLOURS.get(line.state, PLAIN_COLOUR))
        if style != self._style:
            self._style = style
            self.setStyleSheet(style)
        self.setText(line.words)
        self._arrange()
        self.show()
        self._ends.stop()
        if line.save_state is not SaveState.PENDING:
            self._ends.start()

    def end(self) -> None:
        """Leave the picture as it was."""
        self._ends.stop()
        if isalive(self._canvas):
            self._canvas.removeEventFilter(self)
        if isalive(self):
            self.hide()
            self.deleteLater()

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # Qt's name
        """Follow the size of the picture."""
        if event.type() == QEvent.Type.Resize and not self.isHidden():
            self._arrange()
        return False

    def _arrange(self) -> None:
        self.adjustSize()
        left = (self._canvas.width() - self.width()) // 2
        self.move(max(0, left), max(0, self._canvas.height() - self.height() - FROM_BELOW))
