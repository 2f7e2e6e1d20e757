"""The docks of a review in their standard arrangement: the picture is the largest thing on the screen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QDockWidget, QWidget

NAPARI_DOCKS = ("layer list", "layer controls")
AREAS = {
    "left": Qt.DockWidgetArea.LeftDockWidgetArea,
    "right": Qt.DockWidgetArea.RightDockWidgetArea,
    "bottom": Qt.DockWidgetArea.BottomDockWidgetArea,
}


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a panel lies in the standard arrangement.

    Attributes
    ----------
    name
        Of its dock, on the screen and in what is remembered.
    area
        `left`, `right` or `bottom`; of several panels on one side the first is in front.
    pixels
        Width of its side, or height of the bottom; of the first panel there.
    """

    name: str
    panel: QWidget
    area: str
    pixels: int


class ReviewDocks(QObject):  # type: ignore[misc]  # qtpy carries no types
    """Gives every panel its dock, anew where the reader has thrown it away with the cross of its title.

    Parameters
    ----------
    window
        napari's window.
    places
        All panels.
    """

    arranged = Signal()
    """All docks are in the standard arrangement."""

    def __init__(self, window: Any, places: Sequence[Place]) -> None:
        super().__init__()
        self._window = window
        self._places = {place.name: place for place in places}
        self._docks: dict[str, QDockWidget] = {}
        self._raise_later = QTimer(self)  # napari raises what was added last when it gets back to its event loop
        self._raise_later.setSingleShot(True)
        self._raise_later.timeout.connect(self._raise_first)
        self.main: Any = self.dock(places[0].name).window()
        self.main.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
        self.main.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)

    def dock(self, name: str) -> QDockWidget:
        """Return the dock of a panel by its name."""
        dock = self._docks.get(name)
        if dock is None or not isalive(dock) or dock.widget() is None:  # the cross takes the panel out first
            place = self._places[name]
            dock = self._window.add_dock_widget(place.panel, name=name, area=place.area, add_vertical_stretch=False)
            place.panel.show()  # it was hidden when its last dock was thrown away
            self._docks[name] = dock
        return dock

    def bring_forward(self, name: str) -> None:
        """Show a panel, which the reader may have closed, above those that share its place."""
        dock = self.dock(name)
        dock.show()
        dock.raise_()

    def arrange(self) -> None:
        """Put every dock where it is in the standard arrangement, and napari's own out of sight."""
        for dock in self.main.findChildren(QDockWidget):
            if dock.objectName() in NAPARI_DOCKS:
                dock.hide()
        for area, first in self._first_of_areas().items():
            docks = [self.dock(place.name) for place in self._places.values() if place.area == area]
            for dock in docks:
                dock.setFloating(False)
                self.main.addDockWidget(AREAS[area], dock)
                dock.show()
            for dock in docks[1:]:
                self.main.tabifyDockWidget(docks[0], dock)
            is_bottom = area == "bottom"
            along = Qt.Orientation.Vertical if is_bottom else Qt.Orientation.Horizontal
            self.main.resizeDocks([docks[0]], [first.pixels], along)
        self.arranged.emit()
        self._raise_later.start()

    def close(self) -> None:
        """Move nothing any more; another review of the window has docks of its own under these names."""
        self._raise_later.stop()
        for name, dock in self._docks.items():
            if isalive(dock):
                dock.hide()
                dock.setObjectName(f"{name}, closed")
        self._docks.clear()
        self._window = self.main = None  # napari waits for nobody to know its window when it closes

    def _first_of_areas(self) -> dict[str, Place]:
        return {place.area: place for place in reversed(self._places.values())}

    def _raise_first(self) -> None:
        for first in self._first_of_areas().values():
            dock = self._docks.get(first.name)
            if dock is not None and isalive(dock):
                dock.raise_()
