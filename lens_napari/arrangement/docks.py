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
class DockPlace:
    """Where a panel lies in the standard arrangement.

    Attributes
    ----------
    name
        Of its dock, on the screen and in what is remembered.
    area
        `left`, `right` or `bottom`; of several panels on one side the first is in front.
    pixels
        Width of its side, or height of the bottom, which the first panel there decides; height of an extra panel.
    is_extra
        Closed until the reader wants it, and then below the first panel of its side.
    """

    name: str
    panel: QWidget
    area: str
    pixels: int
    is_extra: bool = False


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

    def __init__(self, window: Any, places: Sequence[DockPlace]) -> None:
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

    def toggle(self, name: str) -> None:
        """Show a panel that is closed or behind another one, and close one that can be seen."""
        dock = self.dock(name)
        if dock.isVisible() and not dock.visibleRegion().isEmpty():
            dock.close()
            return
        self.bring_forward(name)
        place = self._places[name]
        if place.is_extra and not dock.isFloating():
            self.main.resizeDocks([dock], [place.pixels], Qt.Orientation.Vertical)

    def arrange(self) -> None:
        """Put every dock where it is in the standard arrangement, and napari's own out of sight."""
        for dock in self.main.findChildren(QDockWidget):
            if dock.objectName() in NAPARI_DOCKS:
                dock.hide()
        for area, first in self._first_of_areas().items():
            for place in self._of_area(area):
                self._put(place, self.dock(first.name))
            along = Qt.Orientation.Vertical if area == "bottom" else Qt.Orientation.Horizontal
            self.main.resizeDocks([self.dock(first.name)], [first.pixels], along)
        self.arranged.emit()
        self._raise_later.start()

    def close(self) -> None:
        """Take every panel with its dock out of the window for good."""
        self._raise_later.stop()
        for name, place in self._places.items():
            take_out(self._window, self._docks.get(name), place.panel)
        self._docks.clear()
        self._window = self.main = None  # napari waits for nobody to know its window when it closes

    def _put(self, place: DockPlace, first: QDockWidget) -> None:
        dock = self.dock(place.name)
        dock.setFloating(False)
        self.main.addDockWidget(AREAS[place.area], dock)
        if place.is_extra:
            self.main.splitDockWidget(first, dock, Qt.Orientation.Vertical)
        elif dock is not first:
            self.main.tabifyDockWidget(first, dock)
        dock.setVisible(not place.is_extra)

    def _of_area(self, area: str) -> list[DockPlace]:
        return [place for place in self._places.values() if place.area == area]

    def _first_of_areas(self) -> dict[str, DockPlace]:
        return {place.area: place for place in reversed(self._places.values())}

    def _raise_first(self) -> None:
        for first in self._first_of_areas().values():
            dock = self._docks.get(first.name)
            if dock is not None and isalive(dock):
                dock.raise_()


def take_out(window: Any, dock: QDockWidget | None, panel: QWidget) -> None:
    """Remove a panel from napari's window with the dock that it may have, and let go of both."""
    if dock is not None and isalive(dock):  # napari takes all docks apart when its window closes
        window.remove_dock_widget(dock)
        dock.setObjectName(f"{dock.objectName()}, closed")  # Qt deletes it later; another one has its name before
    if isalive(panel):
        panel.hide()
        panel.deleteLater()
