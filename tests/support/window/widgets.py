"""What a person does with a window, and by the mouse with a widget."""

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QComboBox


def put_on_screen(viewer: Any) -> None:
    """Show a window that a test has opened: what is scrolled has no size in one that was never shown."""
    viewer.show()


def choose(box: QComboBox, value: object) -> None:
    """Open a list and click one of its lines."""
    box.showPopup()
    view = box.view()
    index = box.model().index(box.findData(value), 0)
    view.scrollTo(index)
    QTest.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, view.visualRect(index).center()
    )
