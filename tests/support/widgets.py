"""What a person does with a widget, by the mouse."""

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QComboBox


def choose(box: QComboBox, value: object) -> None:
    """Open a list and click one of its lines."""
    box.showPopup()
    view = box.view()
    index = box.model().index(box.findData(value), 0)
    view.scrollTo(index)
    QTest.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, view.visualRect(index).center()
    )
