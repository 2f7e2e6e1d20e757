"""Files and folders that are dropped anywhere on the window of a review go to the review, not into napari's layers."""

from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QMainWindow, QWidget

HINT = "Drop to add these scans to the project"


class FileDrops(QObject):  # type: ignore[misc]  # qtpy carries no types
    """Takes what is dropped on a window, on the picture or on a dock, until it is released.

    Parameters
    ----------
    window
        The window of the viewer; it owns this object.
    """

    dropped = Signal(object)
    """Carries the paths, a tuple of `Path`."""
    hovered = Signal(str)
    """Carries what would happen."""

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window)
        self._is_released = False
        centre = window.centralWidget()
        window.setAcceptDrops(True)  # gets what none of the docks wants
        for target in (window, centre, *centre.findChildren(QWidget)):
            if target.acceptDrops():
                target.installEventFilter(self)

    def release(self) -> None:
        """Let the window do again what it did before."""
        self._is_released = True
        self.parent().setAcceptDrops(False)
        self.deleteLater()

    def eventFilter(self, watched: QObject, event: Any) -> bool:  # Qt's name
        """Take drags and drops of files; everything else goes its way."""
        drags = (QEvent.Type.DragEnter, QEvent.Type.DragMove, QEvent.Type.Drop)
        if self._is_released or event.type() not in drags or not event.mimeData().hasUrls():
            return False
        paths = tuple(Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile())
        if not paths:  # an address on the web is no scan of the project
            event.ignore()
            return True
        event.acceptProposedAction()
        if event.type() == QEvent.Type.Drop:
            self.dropped.emit(paths)
        elif event.type() == QEvent.Type.DragEnter:
            self.hovered.emit(HINT)
        return True
