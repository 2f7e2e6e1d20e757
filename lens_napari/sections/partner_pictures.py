"""Then and now: the marked lesion that a candidate is said to be, and the candidate, side by side at one scale."""

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QWidget

from lens_napari.panels.parts import label
from lens_napari.sections.picture import SectionPicture
from lens_napari.sections.planes import Plane
from lens_napari.viewer.palette import MUTED

HEIGHT, LEAST_WIDTH = 160, 120
COMPARISON_HEIGHT = 42
"""Two lines of text."""
TIP = "The wheel moves both scans by the same millimetres · Ctrl+wheel: zoom"


class PartnerPictures(QWidget):  # type: ignore[misc]  # qtpy carries no types
    """Two axial pictures of the same height and zoom, with which scan each is from, and how they compare."""

    scrolled = Signal(int)
    """Notches of the wheel over either picture, towards the reader where positive."""

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 4, 0, 4)
        self.then, self.now = (SectionPicture("", Plane.AXIAL.letters) for _ in range(2))
        self.then_caption, self.now_caption = label(), label()
        for column, (caption, picture) in enumerate(((self.then_caption, self.then), (self.now_caption, self.now))):
            picture.setFixedHeight(HEIGHT)
            picture.setMinimumWidth(LEAST_WIDTH)
            picture.setToolTip(TIP)
            picture.scrolled.connect(self.scrolled)
            grid.addWidget(caption, 0, column)
            grid.addWidget(picture, 1, column)
            grid.setColumnStretch(column, 1)
        self.then.zoomed.connect(self.now.see)
        self.now.zoomed.connect(self.then.see)
        self.comparison_label = label(style=f"color: {MUTED};")
        self.comparison_label.setFixedHeight(COMPARISON_HEIGHT)
        self.comparison_label.setAlignment(Qt.AlignmentFlag.AlignTop)
        grid.addWidget(self.comparison_label, 2, 0, 1, 2)
        kept = self.sizePolicy()
        kept.setRetainSizeWhenHidden(True)  # with or without a partner, what is below stays in place
        self.setSizePolicy(kept)
        self.hide()

    def say(self, words: str, details: str = "") -> None:
        """Say instead of both pictures what is being done, or why there is nothing to see."""
        self.then_caption.setText("then")
        self.now_caption.setText("now")
        self.then.show_words(words)
        self.then.setToolTip(details or TIP)
        self.now.show_words("")
        self.show()

    def name_scans(self, then: str, now: str) -> None:
        """Say which scans the pictures are from."""
        self.then_caption.setText(f"then: {then}")
        self.now_caption.setText(f"now: {now}")
        self.then.setToolTip(TIP)
        self.show()
