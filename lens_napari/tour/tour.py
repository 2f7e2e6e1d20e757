"""Leads through the review in a line above the picture, with a frame around what it speaks of; nothing is covered."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QPoint, QRect, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QRegion
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QToolBar, QWidget

from lens_napari.panels.parts import button
from lens_napari.review.settings import KeySettings, spoken
from lens_napari.tour.steps import About, steps

FRAME_COLOUR = "#E6C15A"
NAME = "lens-tour"
NEXT, DONE, LEAVE = "Next", "Done", "Leave the tour"

LINE_PIXELS, MARGIN = 2, 4
LINES = 2
"""Of text that have room."""
Show = Callable[[], Sequence[QWidget]]
"""Brings a panel forward and returns what the frame goes around, the first of it in any case."""


class Tour(QObject):  # type: ignore[misc]  # qtpy carries no types
    """The steps one after the other, until the reader has seen all of them or leaves.

    Parameters
    ----------
    main
        The napari window.
    places
        What each step is about.
    keys
        The keys as they are bound.
    """

    ended = Signal()
    """The reader has seen it, or has left it."""

    def __init__(self, main: Any, places: Mapping[About, Show], keys: KeySettings) -> None:
        super().__init__()
        self._main, self._places, self._keys = main, dict(places), keys
        self._steps = steps(keys)
        self._at: int | None = None
        self._framed: tuple[QWidget, ...] = ()
        self._bar: QToolBar | None = None
        self._frame: QFrame | None = None
        self.label: QLabel
        """What is said; made when the tour begins, like the buttons."""
        self.next_button: Any = None
        self.leave_button: Any = None
        self._follow_later = QTimer(self)
        self._follow_later.setSingleShot(True)
        self._follow_later.timeout.connect(self._follow)
        self._size = QSize()
        """Of the window before the line, which makes one grow that has no room for it."""
        self._shrink_later = QTimer(self)
        self._shrink_later.setSingleShot(True)
        self._shrink_later.timeout.connect(self._shrink)

    @property
    def at(self) -> int | None:
        """Index of the step on screen; None while there is none."""
        return self._at

    def go_on(self) -> None:
        """Begin, or show the next step; behind the last one the tour ends."""
        following = 0 if self._at is None else self._at + 1
        if following == len(self._steps):
            self.leave()
            return
        if self._at is None:
            self._make()
        self._at = following
        self._show()

    def leave(self) -> None:
        """End the tour, wherever it is."""
        if self._at is not None:
            self._take_apart()
            self.ended.emit()

    def close(self) -> None:
        """Take the tour off the window without a word."""
        if self._at is not None:
            self._take_apart()
        self._shrink_later.stop()
        self._main = None  # napari waits for nobody to know its window when it closes
        self._places.clear()

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # Qt's name
        """Follow what the frame goes around."""
        if event.type() in (QEvent.Type.Resize, QEvent.Type.Move, QEvent.Type.Show, QEvent.Type.LayoutRequest):
            self._follow_later.start()
        return False

    def _make(self) -> None:
        self._size = self._main.size()
        self._bar = QToolBar("Tour", self._main)
        self._bar.setObjectName(NAME)
        self._bar.setMovable(False)
        self._bar.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(2 * MARGIN, MARGIN, 2 * MARGIN, MARGIN)
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.label.setTextFormat(Qt.TextFormat.RichText)
        self.label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.next_button = button("")
        self.leave_button = button(f"{LEAVE} [{spoken(self._keys.tour_leave)}]")
        self.next_button.clicked.connect(lambda _: self.go_on())
        self.leave_button.clicked.connect(lambda _: self.leave())
        line.setFixedHeight(LINES * self.label.fontMetrics().lineSpacing() + 2 * MARGIN)
        row.addWidget(self.label, 1)
        row.addWidget(self.next_button)
        row.addWidget(self.leave_button)
        self._bar.addWidget(line)
        self._main.addToolBar(Qt.ToolBarArea.TopToolBarArea, self._bar)
        self._frame = QFrame(self._main)
        self._frame.setStyleSheet(f"background: {FRAME_COLOUR};")
        self._frame.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._main.installEventFilter(self)

    def _show(self) -> None:
        if self._at is None:
            return
        step = self._steps[self._at]
        count = f"{self._at + 1} of {len(self._steps)}"
        self.label.setText(f'<span style="color: {FRAME_COLOUR};">{count} · <b>{step.about}</b></span>  {step.text}')
        is_last = self._at + 1 == len(self._steps)
        self.next_button.setText(f"{DONE if is_last else NEXT} [{spoken(self._keys.tour)}]")
        self._let_go()
        self._framed = tuple(self._places[step.about]())
        for widget in self._framed:
            widget.installEventFilter(self)
        self._follow_later.start()

    def _follow(self) -> None:
        frame, around = self._frame, [one for one in self._framed if isalive(one) and one.isVisible()]
        if frame is None or not around:
            return
        place = QRect()
        for one in around:
            place |= QRect(one.mapTo(self._main, QPoint(0, 0)), one.size())
        place = place.adjusted(-LINE_PIXELS, -LINE_PIXELS, LINE_PIXELS, LINE_PIXELS) & self._main.rect()
        frame.setGeometry(place)
        inside = frame.rect().adjusted(LINE_PIXELS, LINE_PIXELS, -LINE_PIXELS, -LINE_PIXELS)
        frame.setMask(QRegion(frame.rect()) - QRegion(inside))  # nothing lies over the picture
        frame.show()
        frame.raise_()

    def _shrink(self) -> None:
        if self._main is not None and isalive(self._main):
            self._main.resize(self._size)

    def _let_go(self) -> None:
        for widget in filter(isalive, self._framed):
            widget.removeEventFilter(self)
        self._framed = ()
        if self._frame is not None:
            self._frame.hide()

    def _take_apart(self) -> None:
        self._follow_later.stop()
        self._at = None
        self._let_go()
        if isalive(self._main):
            self._main.removeEventFilter(self)
            self._main.removeToolBar(self._bar)
        for widget in (self._bar, self._frame):
            if widget is not None and isalive(widget):
                widget.hide()
                widget.deleteLater()
        self._bar = self._frame = None
        if isalive(self._main) and self._main.height() > self._size.height() and not self._main.isMaximized():
            self._shrink_later.start()
