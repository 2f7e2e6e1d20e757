"""Small widgets that several panels share."""

from qtpy.compat import isalive
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QFrame, QLabel, QProgressBar, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

NARROW_BAR = 8
"""Width of a scroll bar that leaves a panel its room."""


def label(text: str = "", *, style: str = "", wrap: bool = True) -> QLabel:
    """Return a label that wraps and takes no more height than it needs."""
    made = QLabel(text)
    made.setWordWrap(wrap)
    made.setStyleSheet(style)
    made.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
    return made


def heading(text: str) -> QLabel:
    """Return a section heading."""
    return label(text, style="font-weight: bold; font-size: 11pt; margin-top: 4px;")


def line() -> QFrame:
    """Return a thin separating line."""
    made = QFrame()
    made.setFrameShape(QFrame.Shape.HLine)
    made.setStyleSheet("color: #4a5058;")
    return made


def button(text: str, tip: str = "") -> QPushButton:
    """Return a button that never takes the keyboard away from the picture."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return made


class _CalmBar(QProgressBar):  # type: ignore[misc]  # qtpy carries no types
    """Qt paints a bar at once when its value changes, and with it the whole window; this one waits its turn."""

    def setValue(self, value: int) -> None:  # noqa: N802  # Qt's name
        if value != self.value():
            self.setUpdatesEnabled(False)
            super().setValue(value)
            self.setUpdatesEnabled(True)


def progress_bar() -> QProgressBar:
    """Return a flat bar whose filled part can be told from the rest in a dark room."""
    made = _CalmBar()
    made.setFixedHeight(16)
    made.setStyleSheet(
        "QProgressBar { border: 1px solid #4a5058; background: #23262b; text-align: center; }"
        "QProgressBar::chunk { background: #2f6f9f; }"
    )
    return made


def swatch(colour: str, size: int = 12) -> QIcon:
    """Return a filled square as an icon."""
    pixels = QPixmap(QSize(size, size))
    pixels.fill(QColor(colour))
    return QIcon(pixels)


class Panel(QWidget):  # type: ignore[misc]  # qtpy carries no types
    """A column of widgets with narrow margins."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(6, 4, 6, 4)
        self.column.setSpacing(5)


def scrolled(panel: QWidget) -> QScrollArea:
    """Return a frame in which a panel is scrolled where the window is too low for it.

    What changes inside lays out nothing outside: a line of text does not arrange and paint the whole window anew.
    """
    area = QScrollArea()
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setWidgetResizable(True)
    area.setWidget(panel)
    area.setMinimumWidth(panel.minimumWidth() + NARROW_BAR)
    area.verticalScrollBar().setStyleSheet(f"QScrollBar:vertical {{ width: {NARROW_BAR}px; }}")
    return area


def bring_into_view(widget: QWidget) -> None:
    """Scroll the frame in which a widget lies until it is seen, as soon as it has its place; without one do nothing."""

    def scroll() -> None:
        area = widget.parentWidget() if isalive(widget) else None
        while area is not None and not isinstance(area, QScrollArea):
            area = area.parentWidget()
        if area is not None:
            area.ensureWidgetVisible(widget, 0, 0)

    QTimer.singleShot(0, scroll)


class ScoreBar(QWidget):  # type: ignore[misc]  # qtpy carries no types
    """A name, a bar in the expert's colour, and the score as a number."""

    NAME_WIDTH = 92
    NUMBER_WIDTH = 40

    def __init__(self, name: str, colour: str) -> None:
        super().__init__()
        self._name, self._colour = name, QColor(colour)
        self._score: float | None = None
        self._text = ""
        self.setFixedHeight(20)
        self.setMinimumWidth(200)

    @property
    def text(self) -> str:
        """What stands beside the bar."""
        return self._text

    def show_score(self, score: float | None, text: str) -> None:
        """Show a score in [0, 1], or an empty bar, with a text beside it."""
        if (score, text) != (self._score, self._text):
            self._score, self._text = score, text
            self.update()

    def paintEvent(self, event: object) -> None:  # Qt's name
        """Draw the row."""
        painter = QPainter(self)
        height = self.height()
        bar = self.width() - self.NAME_WIDTH - self.NUMBER_WIDTH
        painter.setPen(self.palette().color(self.foregroundRole()))
        vertical = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(0, 0, self.NAME_WIDTH - 6, height, vertical | Qt.AlignmentFlag.AlignLeft, self._name)
        painter.fillRect(self.NAME_WIDTH, 5, bar, height - 10, QColor("#3a4048"))
        if self._score is not None:
            painter.fillRect(self.NAME_WIDTH, 5, round(bar * self._score), height - 10, self._colour)
        right = self.width() - self.NUMBER_WIDTH
        painter.drawText(right, 0, self.NUMBER_WIDTH, height, vertical | Qt.AlignmentFlag.AlignRight, self._text)
        painter.end()
