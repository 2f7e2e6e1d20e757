"""The rows below the legend that compare boxes with the truth."""

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from lens_napari.panels.parts import label
from lens_napari.truth.comparison import RULE_IN_WORDS
from lens_napari.viewer.layers import COLOUR_OF_OUTCOME, MARK_OF_OUTCOME

TIP = f"{RULE_IN_WORDS}\nOnly on series that are marked as completely annotated."


class TruthPanel(QWidget):  # type: ignore[misc]  # qtpy carries no types
    """A check box, and what was found, false and missed; hidden where there is no complete truth.

    Parameters
    ----------
    key
        The key that does the same, as it stands on a keyboard.
    """

    wanted = Signal(bool)
    """Whether the reader wants the comparison."""

    def __init__(self, key: str) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        self.box = QCheckBox(f"Compare with the truth [{key}]")
        self.box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.box.setToolTip(TIP)
        self.box.toggled.connect(self.wanted.emit)
        self.lines_label = label()
        self.lines_label.setTextFormat(Qt.TextFormat.RichText)
        self.lines_label.setToolTip(TIP)
        for widget in (self.box, self.lines_label):
            column.addWidget(widget)
        self.lines_label.hide()
        self.hide()

    def show_lines(self, lines: Sequence[str]) -> None:
        """Say what came of the comparison, with the marks of the boxes; nothing where there are no lines."""
        marks = " &nbsp; ".join(
            f'<span style="color: {colour};">□ {MARK_OF_OUTCOME[outcome]}</span>'
            for outcome, colour in COLOUR_OF_OUTCOME.items()
        )
        self.lines_label.setText("<br>".join([marks, *lines]))
        self.lines_label.setVisible(bool(lines))

    def say(self, text: str) -> None:
        """Say why nothing is compared."""
        self.lines_label.setText(text)
        self.lines_label.setVisible(bool(text))
