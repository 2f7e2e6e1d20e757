"""Says when a window of napari was really closed, so that a review ends while everything it uses is still there."""

from typing import Any

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
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: Any) -> bool:  # Qt's name
        """Let the window answer itself, then look at what it answered."""
        if event.type() != QEvent.Type.Close:
            return False
        watched.event(event)
        if event.isAccepted():
            self.closed.emit()
        return True
