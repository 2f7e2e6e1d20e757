"""All keys of a window over the picture, and what of napari is off meanwhile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
}
MENU = ("Window", "the standard arrangement of the panels")
WIDTH = 1260
COLUMNS: tuple[tuple[KeyGroup, ...], ...] = (
    (KeyGroup.VERDICT, KeyGroup.REASON),
    (KeyGroup.MOVING, KeyGroup.BOX),
    (KeyGroup.PICTURE,),
)
Rows = Sequence[tuple[str, str]]
"""Keys as they stand on a keyboard, with what they do."""


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """A column of the help.

    Attributes
    ----------
    lists
        Headings, each with the keys below it.
    share
        Of the width.
    """

    lists: tuple[tuple[str, Rows], ...]
    share: int = 4


@dataclass(frozen=True, slots=True)
class KeyLists:
    """What the help of a window says.

    Attributes
    ----------
    title
        Whose keys they are.
    has_tour
        Whether it offers the tour through the review.
    """

    title: str
    columns: tuple[KeyColumn, ...]
    has_tour: bool = False


def review_lists(keys: KeySettings) -> KeyLists:
    """Return all keys of the review."""
    first, second, third = (tuple((group, _rows_of(keys, group)) for group in groups) for groups in COLUMNS)
    columns = (KeyColumn(first), KeyColumn((*second, mouse_list(MENU)), 5), KeyColumn(third))
    return KeyLists("Keys of the review", columns, has_tour=True)


def mouse_list(*more: tuple[str, str]) -> tuple[str, Rows]:
    """Return what the mouse does, and what of napari is useful."""
    return "The mouse, keys and menus of napari", [*MOUSE.items(), *more]


def named_rows(keys: KeySettings, names: Sequence[str]) -> Rows:
    """Return keys by their names in the settings."""
    return [(spoken(getattr(keys, name)), KeySettings.words(name)) for name in names]


class KeyHelp(QFrame):  # type: ignore[misc]  # qtpy carries no types
    """Comes with the help key and goes with it or with a click; the other keys act meanwhile. It offers the tour, too.

    Parameters
    ----------
    main
        The napari window; the help lies over its middle, panels included: the picture alone has no room for so many.
    listed
        What it lists.
    off
        What of napari is off, by its words, with the keys that usually do it.
    """

    tour_wanted = Signal()

    def __init__(self, main: QMainWindow, listed: KeyLists, off: Mapping[str, Sequence[str]]) -> None:
        super().__init__(main)
        self.setObjectName("lens-key-help")
        self.setStyleSheet(
            "#lens-key-help { background: #16181c; border: 1px solid #5a6370; }"
            "#lens-key-help QLabel { font-size: 10pt; }"
        )
        column = QVBoxLayout(self)
        columns = QHBoxLayout()
        columns.setSpacing(24)
        self.lists = ["".join(_heading(name) + _rows(rows) for name, rows in one.lists) for one in listed.columns]
        for text, one in zip(self.lists, listed.columns, strict=True):
            columns.addWidget(_rich(text), one.share)
        self.off_label = label(_off(off), style=f"color: {MUTED};")
        self.tour_button = button("Tour through the review", "A few words about each panel; it can be left at once")
        self.tour_button.clicked.connect(self._begin_tour)
        self.tour_button.setVisible(listed.has_tour)
        top = QHBoxLayout()
        top.addWidget(heading(f"{listed.title}   [{HELP_KEY}] or a click closes this"), 1)
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


def _rows_of(keys: KeySettings, group: KeyGroup) -> Rows:
    return named_rows(keys, [name for name in KeySettings.model_fields if KeySettings.group(name) is group])


def _rows(rows: Rows) -> str:
    cells = [f"<tr><td><b>{escape(key)}</b>&nbsp;&nbsp;</td><td>{escape(words)}</td></tr>" for key, words in rows]
    return f"<table>{''.join(cells)}</table>"


def _heading(text: str) -> str:
    return f'<p style="color: {MUTED}; margin-bottom: 2px;">{escape(text)}</p>'


def _off(off: Mapping[str, Sequence[str]]) -> str:
    listed = [f"{words} ({', '.join(keys)})" if keys else words for words, keys in off.items()]
    return (
        "Off while this is open, by key, button and menu, so that the picture stays what its letters say: "
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
