"""All keys of the review over the picture, and what of napari is off meanwhile."""

from collections.abc import Mapping, Sequence
from html import escape

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import QDockWidget, QFrame, QHBoxLayout, QLabel, QMainWindow, QVBoxLayout, QWidget

from lens_napari.panels.parts import button, heading, label
from lens_napari.review.settings import HELP_KEY, KeyGroup, KeySettings, spoken
from lens_napari.viewer.palette import MUTED

MOUSE = {
    "wheel": "slices",
    "Ctrl+wheel": "zoom, which then stays",
    "Ctrl+click": "coronal and sagittal section through that place",
    "drag": "another part of the slice",
    "right drag": "window and level; or Shift+drag",
    "← →": "slices",
    "Ctrl+0": "the whole slice",
    "Window": "the standard arrangement of the panels",
}
WIDTH = 1260
COLUMNS: tuple[tuple[KeyGroup, ...], ...] = (
    (KeyGroup.VERDICT, KeyGroup.REASON),
    (KeyGroup.MOVING, KeyGroup.BOX),
    (KeyGroup.PICTURE,),
)
SHARES = (4, 5, 4)
"""Of the width, by column."""


class KeyHelp(QFrame):  # type: ignore[misc]  # qtpy carries no types
    """Comes with the help key and goes with it or with a click; the other keys act meanwhile. It offers the tour, too.

    Parameters
    ----------
    main
        The napari window; the help lies over its middle, panels included: the picture alone has no room for so many.
    keys
        The keys as they are bound.
    off
        What of napari is off in the review, by its words, with the keys that usually do it.
    """

    tour_wanted = Signal()

    def __init__(self, main: QMainWindow, keys: KeySettings, off: Mapping[str, Sequence[str]]) -> None:
        super().__init__(main)
        self.setObjectName("lens-key-help")
        self.setStyleSheet(
            "#lens-key-help { background: #16181c; border: 1px solid #5a6370; }"
            "#lens-key-help QLabel { font-size: 10pt; }"
        )
        column = QVBoxLayout(self)
        columns = QHBoxLayout()
        columns.setSpacing(24)
        first, second, third = (_list_of(keys, groups) for groups in COLUMNS)
        mouse = _heading("The mouse, keys and menus of napari") + _rows(list(MOUSE.items()))
        self.lists = [first, second + mouse, third]
        for text, share in zip(self.lists, SHARES, strict=True):
            columns.addWidget(_rich(text), share)
        self.off_label = label(_off(off), style=f"color: {MUTED};")
        self.tour_button = button("Tour through the review", "A few words about each panel; it can be left at once")
        self.tour_button.clicked.connect(self._begin_tour)
        top = QHBoxLayout()
        top.addWidget(heading(f"Keys of the review   [{HELP_KEY}] or a click closes this"), 1)
        top.addWidget(self.tour_button)
        column.addLayout(top)
        column.addLayout(columns)
        column.addWidget(self.off_label)
        self._watched: list[QObject] = [main, main.centralWidget(), *main.findChildren(QDockWidget)]
        self._watched += [child for child in main.findChildren(QWidget) if _is_canvas(child)]
        for one in self._watched:
            one.installEventFilter(self)
        self.hide()

    def toggle(self) -> None:
        """Show the help in the middle of the window, or hide it."""
        if not self.isHidden():
            self.hide()
            return
        room = self.parentWidget().rect()
        width = min(WIDTH, room.width())
        self.setFixedSize(width, min(self.layout().heightForWidth(width), room.height()))
        self.move(max(0, (room.width() - self.width()) // 2), max(0, (room.height() - self.height()) // 2))
        self.show()
        self.raise_()

    def end(self) -> None:
        """Go away for good, and leave the help key to the window."""
        if isalive(self):
            self.hide()
            for one in filter(isalive, self._watched):
                one.removeEventFilter(self)
            self.deleteLater()
        self._watched.clear()

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # Qt's name
        """Take the help key from whatever has the keyboard; napari has no name for a key that is typed with Shift."""
        if event.type() == QEvent.Type.KeyPress and event.text() == HELP_KEY:
            self.toggle()
            return True
        return False

    def _begin_tour(self) -> None:
        self.hide()
        self.tour_wanted.emit()

    def mousePressEvent(self, _event: object) -> None:  # Qt's name
        """Go away."""
        self.hide()


def _list_of(keys: KeySettings, groups: Sequence[KeyGroup]) -> str:
    parts = []
    for group in groups:
        fields = [name for name in KeySettings.model_fields if KeySettings.group(name) is group]
        parts.append(_heading(group))
        parts.append(_rows([(spoken(getattr(keys, name)), KeySettings.words(name)) for name in fields]))
    return "".join(parts)


def _rows(rows: Sequence[tuple[str, str]]) -> str:
    cells = [f"<tr><td><b>{escape(key)}</b>&nbsp;&nbsp;</td><td>{escape(words)}</td></tr>" for key, words in rows]
    return f"<table>{''.join(cells)}</table>"


def _heading(text: str) -> str:
    return f'<p style="color: {MUTED}; margin-bottom: 2px;">{escape(text)}</p>'


def _off(off: Mapping[str, Sequence[str]]) -> str:
    listed = [f"{words} ({', '.join(keys)})" if keys else words for words, keys in off.items()]
    return (
        "Off while a review is open, by key, button and menu, so that the picture stays what its letters say: "
        f"{'; '.join(listed)}."
    )


def _rich(text: str) -> QLabel:
    made = QLabel(text)
    made.setTextFormat(Qt.TextFormat.RichText)
    made.setWordWrap(True)
    made.setAlignment(Qt.AlignmentFlag.AlignTop)
    return made


def _is_canvas(widget: QWidget) -> bool:
    return type(widget).__name__.startswith("CanvasBackend")
