"""Why a lesion was rejected: a button with its key for each reason, and which of them was given."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget

from lens_engine.findings import ReasonCode
from lens_napari.panels.parts import button, label
from lens_napari.review.settings import KeySettings
from lens_napari.review.wording import REASON_TEXT
from lens_napari.viewer.palette import BAD, MUTED

GIVEN_STYLE = f"border: 2px solid {BAD}; font-weight: bold;"


class ReasonButtons(QWidget):  # type: ignore[misc]  # qtpy carries no types
    """A row of reasons, and above it the lesion that they are about."""

    given = Signal(object)
    """Carries the `ReasonCode`."""

    def __init__(self, keys: KeySettings) -> None:
        super().__init__()
        key_of = {
            ReasonCode.VESSEL: keys.reason_vessel,
            ReasonCode.NORMAL_NODE: keys.reason_normal_node,
            ReasonCode.DUPLICATE: keys.reason_duplicate,
            ReasonCode.BENIGN: keys.reason_benign,
        }
        self._after = f"after {keys.reject}, why:"
        self.about_label = label(style=f"color: {MUTED};", wrap=False)
        self.buttons: dict[ReasonCode, QPushButton] = {}
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.about_label, 0, 0, 1, len(key_of))
        for column, (reason, key) in enumerate(key_of.items()):
            one = button(f"{REASON_TEXT[reason]} [{key}]", f"It is no lesion but: {reason}; again: no reason")
            one.clicked.connect(lambda _, said=reason: self.given.emit(said))
            grid.addWidget(one, 1, column)
            self.buttons[reason] = one
        self.show_reason("", None)

    def show_reason(self, about: str, given: ReasonCode | None) -> None:
        """Mark the reason that was given, and name the rejected lesion; an empty text where there is none."""
        self.about_label.setText(about or self._after)
        for reason, one in self.buttons.items():
            style = GIVEN_STYLE if reason is given else ""
            if style != one.styleSheet():  # Qt lays a button out anew for the same style, too
                one.setStyleSheet(style)
