"""The window, the canvas and the docks of a viewer, for scripts that press its keys and picture it."""

from typing import Any

from qtpy.QtWidgets import QApplication, QWidget


def window_of(viewer: Any) -> QWidget:
    """Return the window of a viewer by its title."""
    window: QWidget = next(window for window in QApplication.topLevelWidgets() if viewer.title in window.windowTitle())
    return window


def canvas_in(window: QWidget) -> QWidget:
    """Return the widget that receives the reader's keys."""
    return next(child for child in window.findChildren(QWidget) if type(child).__name__.startswith("CanvasBackend"))


def dock_of(panel: QWidget) -> QWidget:
    """Return the dock that a panel lies in."""
    widget = panel
    while widget.parentWidget() is not None and not widget.inherits("QDockWidget"):
        widget = widget.parentWidget()
    return widget
