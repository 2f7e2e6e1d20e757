"""Says in a window that another one is open under the same reader's name: what is said in both is one reader's."""

import logging
from typing import Any

from qtpy.QtCore import QObject, QTimer

from lens_napari.review.open_windows import KEPT_EVERY_SECONDS, OpenWindow
from lens_napari.review.wording import also_open
from lens_napari.viewer.background import Lane, OnDone

logger = logging.getLogger("lens_napari.one_reader")


class OneReader(QObject):  # type: ignore[misc]  # qtpy carries no types
    """Keeps a window known as open until its controller is closed, and looks for others once, when it opens.

    Parameters
    ----------
    controller
        A review, or a window of the test set.
    window
        What is known of it on disk.
    reader
        The name.
    """

    def __init__(self, controller: Any, window: OpenWindow, reader: str) -> None:
        super().__init__()
        self._view, self._window, self._reader = controller.view, window, reader
        self._lane = Lane("windows")
        self._keep_later = QTimer(self)
        self._keep_later.setInterval(1000 * KEPT_EVERY_SECONDS)
        self._keep_later.timeout.connect(lambda: self._keep(lambda _: None))
        self._keep_later.start()
        controller.closed.connect(lambda: self.close())
        self._keep(self._tell)

    def close(self) -> None:
        """Let the window be known as closed."""
        self._keep_later.stop()
        self._lane.submit(self._window.end, lambda _: None, _log)
        self._lane.close(finish=True)

    def _keep(self, on_done: OnDone) -> None:
        self._lane.submit(self._window.keep, on_done, _log)

    def _tell(self, others: int) -> None:
        if others:
            self._view.remind(also_open(self._reader))


def _log(error: Exception) -> None:
    logger.warning("whether other windows of this reader are open is not known: %s", error)
