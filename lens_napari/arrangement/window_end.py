"""Says when a window of napari was really closed, so that a review ends while everything it uses is still there."""

from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QMainWindow


class WindowEnd(QObject):  # type: ignore[misc]  # qtpy carries no types
    """Watches the window of a viewer; a reader who is asked and stays in the window has not closed it.

    Parameters
    ----------
    window
        The window of the viewer; it owns this object.
    """

    closed = Signal()

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window)
        self._window: QMainWindow | None = window
        window.installEventFilter(self)

    def end(self) -> None:
        """Look no longer."""
        if self._window is not None and isalive(self._window):
            self._window.removeEventFilter(self)
            self.deleteLater()
        self._window = None  # napari waits for nobody to know its window when it closes

    def eventFilter(self, watched: QObject, event: Any) -> bool:  # Qt's name
        """Let the window answer itself, then look at what it answered."""
        if event.type() != QEvent.Type.Close:
            return False
        watched.event(event)
        if event.isAccepted():
            self.closed.emit()
        return True
