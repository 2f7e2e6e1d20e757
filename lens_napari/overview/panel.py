"""The panel with the projections from the front, from the side and from the feet; the reader chooses which he sees."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from lens_napari.panels.parts import button
from lens_napari.sections.picture import SectionPicture
from lens_napari.sections.planes import Plane

LEAST_HEIGHT, LEAST_WIDTH = 160, 120
LABELS = {Plane.CORONAL: "front", Plane.SAGITTAL: "left", Plane.AXIAL: "feet"}
AT_FIRST = (Plane.CORONAL, Plane.SAGITTAL)
TIP = (
    "The densest of all voxels behind each other, with every lesion that is shown, numbered as in the list. "
    "Click a lesion: it comes on screen · click elsewhere: that slice · Ctrl+wheel: zoom"
)


class OverviewPanel(QWidget):  # type: ignore[misc]  # qtpy carries no types
    """A picture for each direction, those that are wanted side by side."""

    uncovered = Signal()
    """The panel has come on screen."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("lens-overview")
        column = QVBoxLayout(self)
        column.setContentsMargins(2, 6, 2, 2)
        column.setSpacing(2)
        choice, row = QHBoxLayout(), QHBoxLayout()
        row.setSpacing(4)
        column.addLayout(choice)
        column.addLayout(row, 1)
        self.pictures = {plane: SectionPicture(text, plane.letters) for plane, text in LABELS.items()}
        for picture in self.pictures.values():
            picture.setMinimumSize(LEAST_WIDTH, LEAST_HEIGHT)
            picture.setToolTip(TIP)
            row.addWidget(picture, 1)
        self.buttons = {plane: button(text, f"The view from the {text}, or not") for plane, text in LABELS.items()}
        for plane, made in self.buttons.items():
            made.setCheckable(True)
            made.setChecked(plane in AT_FIRST)
            choice.addWidget(made)
            made.toggled.connect(self._show_chosen)
        self._show_chosen()

    @property
    def is_seen(self) -> bool:
        """Whether it is on screen: neither closed, nor behind another panel."""
        return self.isVisible() and not self.visibleRegion().isEmpty()

    def showEvent(self, event: object) -> None:  # Qt's name
        """Tell that it is there."""
        super().showEvent(event)
        self.uncovered.emit()

    def _show_chosen(self, _is_chosen: bool = True) -> None:  # a Qt signal's argument
        """Show the views that are chosen; without any, the one from the front."""
        if not any(made.isChecked() for made in self.buttons.values()):
            self.buttons[Plane.CORONAL].setChecked(True)
        for plane, picture in self.pictures.items():
            picture.setVisible(self.buttons[plane].isChecked())
