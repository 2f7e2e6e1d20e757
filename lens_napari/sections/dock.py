"""Where the coronal and the sagittal section lie in the window: below the picture in its whole width, or nowhere."""

from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QDockWidget, QMainWindow

from lens_napari.arrangement.docks import take_out
from lens_napari.sections.panel import HEIGHT, SectionsPanel

NAME = "Coronal and sagittal"


class SectionsDock(QObject):  # type: ignore[misc]  # qtpy carries no types
    """The dock of a panel, which the reader may close and have again.

    Parameters
    ----------
    window
        napari's window.
    panel
        What lies in the dock.
    above
        The dock above which it lies.
    least_height
        Of that dock, which takes no more room than it needs.
    """

    wanted = Signal(bool)
    """Whether the reader wants to have the panel, when that has changed."""

    def __init__(self, window: Any, panel: SectionsPanel, above: QDockWidget, least_height: int) -> None:
        super().__init__()
        self._window, self._panel, self._above, self._least_height = window, panel, above, least_height
        self._is_wanted = True
        self._look_later = QTimer(self)
        self._look_later.setSingleShot(True)
        self._look_later.timeout.connect(self._look)
        self.dock = self._make()

    def want(self, is_wanted: bool) -> None:  # what a setting says
        """Have the panel in the window, or not."""
        if is_wanted and self._is_thrown_away:
            self.dock = self._make()
        if not self._is_thrown_away:
            self.dock.setVisible(is_wanted)
            self._share_height()
        self._look()

    def toggle(self) -> None:
        """Have the panel where it is not, and the other way round."""
        self.want(not self._is_wanted)

    def put_back(self, above: QDockWidget) -> None:
        """Lie above a dock that was put where it belongs; closed stays closed."""
        self._above = above
        if not self._is_thrown_away:
            self.dock.setFloating(False)
            self._lie_above(self.dock)
            self._share_height()

    def close(self) -> None:
        """Ask nobody any more whether the panel is wanted, and take it out of the window for good."""
        self._look_later.stop()
        if isalive(self.dock):  # napari takes all docks apart when its window closes
            self.dock.visibilityChanged.disconnect(self._on_visibility)
        take_out(self._window, self.dock, self._panel)
        self._window = None  # napari waits for nobody to know its window when it closes

    @property
    def _is_thrown_away(self) -> bool:
        """Whether the dock was closed with the cross of napari's title bar, which takes the panel out first."""
        return not isalive(self.dock) or self.dock.widget() is None

    def _make(self) -> QDockWidget:
        dock: QDockWidget = self._window.add_dock_widget(
            self._panel, name=NAME, area="bottom", add_vertical_stretch=False
        )
        self._panel.show()  # it was hidden when its last dock was thrown away
        self._lie_above(dock)
        dock.visibilityChanged.connect(self._panel.uncovered)
        dock.visibilityChanged.connect(self._on_visibility)
        return dock

    def _lie_above(self, dock: QDockWidget) -> None:
        main: QMainWindow = self._above.window()
        main.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, dock)
        main.splitDockWidget(dock, self._above, Qt.Orientation.Vertical)

    def _share_height(self) -> None:
        """Give both docks their heights; Qt passes over one that is hidden."""
        heights = [HEIGHT, max(self._least_height, self._above.minimumSizeHint().height())]
        self._above.window().resizeDocks([self.dock, self._above], heights, Qt.Orientation.Vertical)

    def _on_visibility(self, _is_visible: bool) -> None:  # a Qt signal's argument
        self._look_later.start()

    def _look(self) -> None:
        """See whether the reader has closed the panel or has it again; a hidden window says nothing of that."""
        is_wanted = not self._is_thrown_away and not self.dock.isHidden()
        if is_wanted != self._is_wanted:
            self._is_wanted = is_wanted
            self.wanted.emit(is_wanted)
