"""The plugin's widget: choose a project folder, or make a project, and start to work on it in this window."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import napari
from qtpy.QtWidgets import QFileDialog

from lens_engine.errors import LensError
from lens_engine.store.new_project import create_project
from lens_napari.application import begin_tour, open_project
from lens_napari.controller import ReviewController
from lens_napari.panels.parts import Panel, button, label
from lens_napari.review.project_store import message_of
from lens_napari.test_set.window import open_adjudication, open_test_set
from lens_napari.test_set.workplace import Workplace
from lens_napari.viewer.background import Lane
from lens_napari.viewer.palette import BAD, MUTED

ADVICE = (
    "No project is open. A project is a folder that keeps which scans are reviewed, what was found in them and what "
    "you said. The scans stay where they are."
)


class OpenProjectWidget(Panel):
    """One button for each kind of work; its docks appear when a project was chosen or made."""

    def __init__(self) -> None:
        super().__init__("lens-open-project")
        self.open_button = button("Open a project …", "The folder with lens.yaml")
        self.new_button = button("New project …", "Make a project in an empty folder")
        self.test_set_button = button("Read a test set …", "Mark every lesion of a project's held-out scans, blind")
        self.adjudicate_button = button("Adjudicate …", "Settle where two readings of a test set differ")
        self.message_label = label()
        self.column.addWidget(label(ADVICE))
        buttons = (self.open_button, self.new_button, self.test_set_button, self.adjudicate_button)
        for widget in (*buttons, self.message_label):
            self.column.addWidget(widget)
        self.column.addStretch(1)
        self._making = Lane("new-project")
        self.open_button.clicked.connect(lambda _: self._choose("Project folder", self.open))
        self.new_button.clicked.connect(lambda _: self._choose("Folder of the new project", self.make))
        self.test_set_button.clicked.connect(
            lambda _: self._choose("Project folder", partial(self.work, open_test_set))
        )
        self.adjudicate_button.clicked.connect(
            lambda _: self._choose("Project folder", partial(self.work, open_adjudication))
        )
        self.destroyed.connect(partial(self._making.close, finish=True))

    def open(self, folder: Path) -> None:
        """Open a project for its review in this window, or say why not."""
        self.work(_review, folder)

    def work(self, begin: Callable[[Path, Any], ReviewController | Workplace], folder: Path) -> None:
        """Open a project for one kind of work in this window, or say why not."""
        try:
            # The viewer that napari gives to widgets is a proxy whose docks Qt cannot arrange.
            controller = begin(folder, napari.current_viewer())
        except LensError as error:
            self._refuse(error)
        else:
            self._follow(controller)

    def make(self, folder: Path) -> None:
        """Make a project in the background and open it, or say why not."""
        self._let_choose(False)
        self._say("Making the project …", MUTED)
        self._making.submit(partial(_make, folder), self.open, self._refuse)

    def _follow(self, controller: ReviewController | Workplace) -> None:
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
        for one in (self.open_button, self.new_button, self.test_set_button, self.adjudicate_button):
            one.setEnabled(can_choose)

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


def _review(folder: Path, viewer: Any) -> ReviewController:
    controller = open_project(folder, viewer)
    begin_tour(controller, folder)
    return controller


def _make(folder: Path) -> Path:
    database, _ = create_project(folder)
    database.close()
    return folder
