"""The plugin's widget: choose a project folder, or make a project, and start the review in this window."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import napari
from qtpy.QtWidgets import QFileDialog

from lens_engine.errors import LensError
from lens_engine.store.new_project import create_project
from lens_napari.application import begin_tour, open_project
from lens_napari.controller import ReviewController
from lens_napari.panels.parts import Panel, button, label
from lens_napari.review.project_store import message_of
from lens_napari.viewer.background import Lane
from lens_napari.viewer.palette import BAD, MUTED

ADVICE = (
    "No project is open. A project is a folder that keeps which scans are reviewed, what was found in them and what "
    "you said. The scans stay where they are."
)


class OpenProjectWidget(Panel):
    """Two buttons; the review docks appear when a project was chosen or made."""

    def __init__(self) -> None:
        super().__init__("lens-open-project")
        self.open_button = button("Open a project …", "The folder with lens.yaml")
        self.new_button = button("New project …", "Make a project in an empty folder")
        self.message_label = label()
        self.column.addWidget(label(ADVICE))
        for widget in (self.open_button, self.new_button, self.message_label):
            self.column.addWidget(widget)
        self.column.addStretch(1)
        self._making = Lane("new-project")
        self.open_button.clicked.connect(lambda _: self._choose("Project folder", self.open))
        self.new_button.clicked.connect(lambda _: self._choose("Folder of the new project", self.make))
        self.destroyed.connect(partial(self._making.close, finish=True))

    def open(self, folder: Path) -> None:
        """Open a project in this window, or say why not."""
        try:
            # The viewer that napari gives to widgets is a proxy whose docks Qt cannot arrange.
            controller = open_project(folder, napari.current_viewer())
        except LensError as error:
            self._refuse(error)
        else:
            begin_tour(controller, folder)
            self._follow(controller)

    def make(self, folder: Path) -> None:
        """Make a project in the background and open it, or say why not."""
        self._let_choose(False)
        self._say("Making the project …", MUTED)
        self._making.submit(partial(_make, folder), self.open, self._refuse)

    def _follow(self, controller: ReviewController) -> None:
        self._let_choose(False)
        self._say("A project is open.", MUTED)
        controller.closed.connect(self._on_closed)

    def _on_closed(self) -> None:
        self._let_choose(True)
        self._say("", MUTED)

    def _refuse(self, error: Exception) -> None:
        self._let_choose(True)
        self._say(message_of(error), BAD)

    def _let_choose(self, can_choose: bool) -> None:  # the argument of two widgets
        self.open_button.setEnabled(can_choose)
        self.new_button.setEnabled(can_choose)

    def _say(self, text: str, colour: str) -> None:
        self.message_label.setStyleSheet(f"color: {colour};")
        self.message_label.setText(text)

    def _choose(self, title: str, use: Callable[[Path], None]) -> None:
        dialog = QFileDialog(self, title)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(lambda folder: use(Path(folder)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()


def _make(folder: Path) -> Path:
    database, _ = create_project(folder)
    database.close()
    return folder
