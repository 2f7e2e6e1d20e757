"""The window in which the test set is read: opened, arranged, with keys, and with an eye on who is at work."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import napari
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMainWindow

from lens_engine.project import Project
from lens_napari.application import TITLE, end_work_in, new_viewer, note_work
from lens_napari.arrangement.docks import DockPlace, ReviewDocks
from lens_napari.one_reader import OneReader
from lens_napari.panels.key_help import KeyColumn, KeyLists, mouse_list, named_rows
from lens_napari.review.open_windows import OpenWindow
from lens_napari.review.project_store import ProjectStore
from lens_napari.review.settings import HELP_KEY, load_settings, settings_file, spoken
from lens_napari.saying.confirmation import Confirmation
from lens_napari.test_set.adjudication_controller import AdjudicationController
from lens_napari.test_set.controller import TestSetController
from lens_napari.test_set.parts import RulesPanel
from lens_napari.test_set.workplace import Place, Workplace
from lens_napari.viewer.keys import Action
from lens_napari.workspace import (
    BOTTOM_HEIGHT,
    LEFT_WIDTH,
    RIGHT_WIDTH,
    add_key_help,
    add_sections,
    bind_keys,
    end_with_window,
    keep_picture,
    window_actions,
)

RULES = "What to do"
LESIONS = "Lesions; the keys of the review for the same things do them, too"
ACTS = {
    QEvent.Type.KeyPress,
    QEvent.Type.MouseButtonPress,
    QEvent.Type.MouseMove,
    QEvent.Type.Wheel,
    QEvent.Type.WindowActivate,
}
"""What a reader does who is at work."""


Opened = TypeVar("Opened", bound=Workplace)


def open_test_set(project_folder: Path, viewer: Any = None) -> TestSetController:
    """Open a project to read its test set, and show the first sub-volume that is left for this reader; see `open_at`.

    Parameters
    ----------
    viewer
        A napari viewer to use; None opens a new window.
    """
    return open_at(project_folder, TestSetController, viewer)


def open_adjudication(project_folder: Path, viewer: Any = None) -> AdjudicationController:
    """Open a project to settle where two readings differ, and show the first such series; see `open_test_set`."""
    return open_at(project_folder, AdjudicationController, viewer)


def open_at(project_folder: Path, work: Callable[[Any, Place], Opened], viewer: Any = None) -> Opened:
    """Open a project in a window for one kind of work on its test set.

    Raises
    ------
    LensError
        If the folder is no project, or its database or the reader's settings cannot be used.
    """
    path = settings_file()
    settings = load_settings(path)
    store = ProjectStore(Project.open(project_folder))
    if viewer is None:
        viewer = new_viewer()
    end_work_in(viewer)
    controller = work(viewer, Place(store, settings, path))
    viewer.title = f"{TITLE} · {store.project.settings.name} · {controller.title} · {settings.reader}"
    main = _arrange(controller)
    keep_picture(controller, main)
    actions = {**_of_the_picture(controller), **controller.key_actions()}
    bind_keys(controller, actions)
    add_key_help(controller, main, _key_lists(controller), actions)
    confirmation = Confirmation(viewer.window._qt_viewer.canvas.native)
    controller.boxes.confirmed.connect(confirmation.show_line)
    controller.closed.connect(lambda: confirmation.end())
    controller.open()
    OneReader(controller, OpenWindow(project_folder, settings.reader), settings.reader)
    note_work(controller)
    return controller


def work_on(controller: Workplace) -> None:
    """Stay until the window is closed; everything that was said is on disk afterwards."""
    napari.run()
    controller.close()


class _Attendance(QObject):  # type: ignore[misc]  # qtpy carries no types
    """Tells a controller when its reader does something in the window, and when he turns to another one."""

    def __init__(self, controller: Workplace, main: QMainWindow, canvas: Any) -> None:
        super().__init__(main)
        self._controller = controller
        self._watched: tuple[Any, ...] = (main, canvas)
        for one in self._watched:
            one.installEventFilter(self)
        controller.closed.connect(self.end)

    def end(self) -> None:
        """Look no longer."""
        for one in self._watched:
            one.removeEventFilter(self)
        self._watched = ()  # napari waits for nobody to know its window when it closes
        self.deleteLater()

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # Qt's name
        """Look, and let everything go its way."""
        if event.type() in ACTS:
            self._controller.act()
        elif event.type() == QEvent.Type.WindowDeactivate:
            self._controller.pause()
        return False


def _arrange(controller: Workplace) -> QMainWindow:
    rules = RulesPanel(controller.rules)
    docks = ReviewDocks(
        controller.viewer.window,
        (
            DockPlace("Test set", controller.list_panel, "left", LEFT_WIDTH),
            DockPlace("This series", controller.work_panel, "right", RIGHT_WIDTH),
            DockPlace(RULES, rules, "bottom", BOTTOM_HEIGHT),
        ),
    )
    main: QMainWindow = docks.main
    docks.arrange()
    sections = add_sections(controller, main, docks.dock(RULES))
    docks.arranged.connect(lambda: sections.put_back(docks.dock(RULES)))
    _Attendance(controller, main, controller.viewer.window._qt_viewer.canvas.native)
    end_with_window(controller, docks)
    return main


def _of_the_picture(controller: Workplace) -> dict[str, Action]:
    view, keys = controller.view, controller.settings.keys
    return {
        keys.measure: controller.boxes.measure,
        keys.hide_boxes: view.toggle_boxes,
        keys.sections: controller.planes.toggled.emit,
        **window_actions(view, keys),
        keys.window_automatic: partial(view.automatic_window, None),
    }


def _key_lists(controller: Workplace) -> KeyLists:
    keys = controller.settings.keys
    rows = (*controller.work_panel.key_rows, (spoken(keys.redo), "do again, too"), (HELP_KEY, "all keys, or not"))
    windows = " ".join(spoken(key) for key in window_actions(controller.view, keys))
    picture = (
        (spoken(keys.measure), "measure a length"),
        *named_rows(keys, ("hide_boxes", "sections")),
        (windows, "the windows, in the order that they have in the review"),
        *named_rows(keys, ("window_automatic",)),
    )
    return KeyLists(
        f"Keys of this window ({controller.title})",
        (KeyColumn(((LESIONS, rows),)), KeyColumn((("The picture", picture), mouse_list()))),
    )
