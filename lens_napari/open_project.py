"""The plugin's widget: choose a project folder and start the review in this window."""

from pathlib import Path

import napari
from qtpy.QtWidgets import QFileDialog

from lens_engine.errors import LensError
from lens_napari.application import open_project
from lens_napari.panels.parts import Panel, button, label
from lens_napari.viewer.palette import BAD


class OpenProjectWidget(Panel):
    """One button; the review docks appear when a project was chosen."""

    def __init__(self) -> None:
        super().__init__("lens-open-project")
        self.open_button = button("Open a project …", "The folder with lens.yaml")
        self.message_label = label(style=f"color: {BAD};")
        self.column.addWidget(label("Review the lesions of a LENS project. Make one with: lens init DIR"))
        self.column.addWidget(self.open_button)
        self.column.addWidget(self.message_label)
        self.column.addStretch(1)
        self.open_button.clicked.connect(lambda _: self._choose())

    def open(self, folder: Path) -> None:
        """Open a project in this window, or say why not."""
        try:
            # The viewer that napari gives to widgets is a proxy whose docks Qt cannot arrange.
            open_project(folder, napari.current_viewer())
        except LensError as error:
            self.message_label.setText(str(error))
        else:
            self.open_button.setEnabled(False)
            self.message_label.setText("")

    def _choose(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Project folder")
        if folder:
            self.open(Path(folder))
