"""The dock with the coronal and the sagittal section."""

from qtpy.QtCore import QSize, Signal
from qtpy.QtWidgets import QHBoxLayout, QWidget

from lens_napari.sections.picture import SectionPicture
from lens_napari.sections.planes import Plane

HEIGHT = 165
LEAST_HEIGHT, LEAST_WIDTH = 150, 120
"""The panel takes no less when the dock below it opens: the large picture, which has room, gives it."""
TIP = (
    "Click: that slice and place in the large picture · wheel: the next section · Ctrl+wheel: zoom · "
    "the lines are the slice and the sections on screen"
)


class SectionsPanel(QWidget):  # type: ignore[misc]  # qtpy carries no types
    """Two pictures side by side."""

    uncovered = Signal(bool)
    """Whether the panel has come on screen, or has left it."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("lens-sections")
        row = QHBoxLayout(self)
        row.setContentsMargins(2, 2, 2, 2)
        row.setSpacing(4)
        self.pictures = {plane: SectionPicture(plane.label, plane.letters) for plane in (Plane.CORONAL, Plane.SAGITTAL)}
        for picture in self.pictures.values():
            picture.setMinimumSize(LEAST_WIDTH, LEAST_HEIGHT)
            picture.setToolTip(TIP)
            row.addWidget(picture, 1)

    def sizeHint(self) -> QSize:  # noqa: N802  # Qt's name
        """Return how large it is where nobody has chosen."""
        return QSize(2 * LEAST_WIDTH, HEIGHT)

    @property
    def is_seen(self) -> bool:
        """Whether it is on screen: neither closed, nor behind another panel."""
        return self.isVisible() and not self.visibleRegion().isEmpty()
