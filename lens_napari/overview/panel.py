"""The panel with the projections from the front and from the side."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QWidget

from lens_napari.sections.picture import SectionPicture
from lens_napari.sections.planes import Plane

LEAST_HEIGHT, LEAST_WIDTH = 160, 120
LABELS = {Plane.CORONAL: "front", Plane.SAGITTAL: "left"}
TIP = (
    "The densest of all voxels behind each other, with every lesion that is shown, numbered as in the list. "
    "Click a lesion: it comes on screen · click elsewhere: that slice · Ctrl+wheel: zoom"
)


class OverviewPanel(QWidget):  # type: ignore[misc]  # qtpy carries no types
    """Two pictures side by side."""

    uncovered = Signal()
    """The panel has come on screen."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("lens-overview")
        row = QHBoxLayout(self)
        row.setContentsMargins(2, 2, 2, 2)
        row.setSpacing(4)
        self.pictures = {plane: SectionPicture(text, plane.letters) for plane, text in LABELS.items()}
        for picture in self.pictures.values():
            picture.setMinimumSize(LEAST_WIDTH, LEAST_HEIGHT)
            picture.setToolTip(TIP)
            row.addWidget(picture, 1)

    @property
    def is_seen(self) -> bool:
        """Whether it is on screen: neither closed, nor behind another panel."""
        return self.isVisible() and not self.visibleRegion().isEmpty()

    def showEvent(self, event: object) -> None:  # Qt's name
        """Tell that it is there."""
        super().showEvent(event)
        self.uncovered.emit()
