"""Keeps how a reader leaves the window of a review, and gives the next one the same arrangement."""

import logging
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QByteArray, QEvent, QObject

from lens_napari.arrangement.docks import ReviewDocks
from lens_napari.arrangement.layouts import LayoutFiles, WindowLayout

REVIEW = "review"
"""The workspace of a review that asks about candidates."""
VERSION = 2
"""Of the set of docks; what was kept of another one is not used."""

logger = logging.getLogger("lens_napari.arrangement")


class WindowMemory(QObject):  # type: ignore[misc]  # qtpy carries no types
    """Remembers the docks of one window, and its size where it is a window of our own.

    A window that was a reader's before keeps the size that napari gave it; its position is napari's in any case.

    Parameters
    ----------
    docks
        Already in the standard arrangement.
    files
        Where arrangements are kept.
    is_ours
        Whether the window was opened for the review.
    workspace
        Whose arrangement it begins with.
    """

    def __init__(self, docks: ReviewDocks, files: LayoutFiles, *, is_ours: bool, workspace: str = REVIEW) -> None:
        super().__init__()
        self._docks, self._files, self._is_ours = docks, files, is_ours
        self._main: Any = docks.main
        self._workspace = workspace
        self._was_kept_at_close = False
        self._main.installEventFilter(self)
        self._restore()

    @property
    def workspace(self) -> str:
        """Whose arrangement is on screen."""
        return self._workspace

    def take_standard(self) -> None:
        """Put every dock where it belongs, and forget how the window was left."""
        self._files.forget(self._workspace)
        self._docks.arrange()

    def keep(self) -> None:
        """Write how the window is now."""
        state = bytes(self._main.saveState(VERSION).toBase64())
        layout = WindowLayout(
            docks=state,
            width=self._main.width(),
            height=self._main.height(),
            is_maximized=bool(self._main.isMaximized()),
        )
        try:
            self._files.keep(self._workspace, layout)
        except OSError as error:  # a window must close on a full disk, too
            logger.warning("the arrangement of the window was not kept: %s", error)

    def close(self) -> None:
        """Keep how the window was left, and look at it no longer."""
        if self._main is not None and isalive(self._main):
            self._main.removeEventFilter(self)
            if not self._was_kept_at_close:
                self.keep()
        self._main = None  # napari waits for nobody to know its window when it closes

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # Qt's name
        """Keep the arrangement before napari takes its docks apart."""
        if event.type() == QEvent.Type.Close:
            self.keep()
            self._was_kept_at_close = True
        return False

    def _restore(self) -> None:
        layout = self._files.read(self._workspace)
        room = self._main.screen().availableGeometry()
        if layout is None or not layout.fits(room.width(), room.height()):
            return
        if self._is_ours and layout.is_maximized:
            self._main.showMaximized()
        elif self._is_ours:
            self._main.resize(layout.width, layout.height)
        if not self._main.restoreState(QByteArray(layout.docks), VERSION):
            self._docks.arrange()
