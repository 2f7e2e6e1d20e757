"""The window in which the test set is read: opened, arranged, with keys, and with an eye on who is at work."""

from functools import partial
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow

from lens_engine.project import Project
from lens_engine.window_presets import Preset
from lens_napari.application import TITLE, new_viewer
from lens_napari.review.project_store import ProjectStore
from lens_napari.review.settings import KeySettings, load_settings, settings_file
from lens_napari.test_set.controller import TestSetController
from lens_napari.test_set.parts import RulesPanel
from lens_napari.viewer.guard import PictureGuard
from lens_napari.viewer.keys import Action, KeyBindings
from lens_napari.viewer.slice_field import SliceField
from lens_napari.viewer.window_end import WindowEnd
from lens_napari.workspace import BOTTOM_HEIGHT, LEFT_WIDTH, NAPARI_DOCKS, RIGHT_WIDTH, add_sections

ACTS = {
    QEvent.Type.KeyPress,
    QEvent.Type.MouseButtonPress,
    QEvent.Type.MouseMove,
    QEvent.Type.Wheel,
    QEvent.Type.WindowActivate,
}
"""What a reader does who is at work."""


def open_test_set(project_folder: Path, viewer: Any = None) -> TestSetController:
    """Open a project to read its test set, and show the first sub-volume that is left for this reader.

    Parameters
    ----------
    project_folder
        Folder with `lens.yaml`.
    viewer
        A napari viewer to use; None opens a new window.

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
    viewer.title = f"{TITLE} · {store.project.settings.name} · test set · {settings.reader}"
    controller = TestSetController(viewer, store, settings, path)
    _protect(controller, _arrange(controller))
    _bind_keys(controller)
    controller.open()
    return controller


def read_test_set(project_folder: Path) -> None:
    """Read the test set of a project until the window is closed; everything that was said is on disk afterwards."""
    controller = open_test_set(project_folder)
    napari.run()
    controller.close()


class _Attendance(QObject):  # type: ignore[misc]  # qtpy carries no types
    """Tells a controller when its reader does something in the window, and when he turns to another one."""

    def __init__(self, controller: TestSetController, main: QMainWindow, canvas: Any) -> None:
        super().__init__(main)
        self._controller = controller
        self._watched = (main, canvas)
        for one in self._watched:
            one.installEventFilter(self)
        controller.closed.connect(self.end)

    def end(self) -> None:
        """Look no longer."""
        for one in self._watched:
            one.removeEventFilter(self)

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # Qt's name
        """Look, and let everything go its way."""
        if event.type() in ACTS:
            self._controller.act()
        elif event.type() == QEvent.Type.WindowDeactivate:
            self._controller.pause()
        return False


def _arrange(controller: TestSetController) -> QMainWindow:
    window = controller.viewer.window
    left = window.add_dock_widget(controller.list_panel, name="Test set", area="left", add_vertical_stretch=False)
    right = window.add_dock_widget(
        controller.reading_panel, name="This sub-volume", area="right", add_vertical_stretch=False
    )
    bottom = window.add_dock_widget(RulesPanel(), name="Reading", area="bottom", add_vertical_stretch=False)
    main: QMainWindow = left.window()
    main.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
    main.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
    for dock in main.findChildren(QDockWidget):
        if dock.objectName() in NAPARI_DOCKS:
            dock.hide()
    main.resizeDocks([left, right], [LEFT_WIDTH, RIGHT_WIDTH], Qt.Orientation.Horizontal)
    main.resizeDocks([bottom], [BOTTOM_HEIGHT], Qt.Orientation.Vertical)
    add_sections(controller, main, bottom)
    _Attendance(controller, main, window._qt_viewer.canvas.native)
    WindowEnd(main).closed.connect(controller.close)
    return main


def _protect(controller: TestSetController, main: QMainWindow) -> None:
    viewer, view = controller.viewer, controller.view
    guard = PictureGuard(viewer, lambda: view.layers.spacing_mm)
    guard.refused.connect(view.note)
    view.new_layer.connect(lambda layer: guard.protect(layer))
    field = SliceField(viewer, main, lambda: view.slice_on_screen, view.go_to_slice)

    def release() -> None:
        guard.release()
        field.close()

    controller.closed.connect(release)


def _bind_keys(controller: TestSetController) -> None:
    bindings = KeyBindings(key_actions(controller))
    bindings.bind(controller.viewer)
    # A lambda holds the bindings; Qt lets go of an object whose bound method is all that it was given.
    controller.view.new_layer.connect(lambda layer: bindings.bind(layer))
    controller.closed.connect(lambda: bindings.release())


def key_actions(controller: TestSetController) -> dict[str, Action]:
    """Return what each key does; those of the review for the same things do it, too."""
    view, boxes = controller.view, controller.boxes
    own, of_review = controller.settings.keys, controller.review_keys
    return {
        **_marking(controller, of_review),
        **_marking(controller, own),
        own.accept: controller.keep_box,
        own.keep_box: controller.keep_box,
        own.cancel: boxes.cancel,
        own.change_box: controller.change_box,
        own.delete_drawn: controller.delete,
        own.measure: boxes.measure,
        own.undo: controller.undo,
        own.redo: controller.redo,
        own.redo_also: controller.redo,
        own.next_lesion: controller.go_next,
        own.previous_lesion: controller.go_previous,
        own.hide_boxes: view.toggle_boxes,
        own.sections: controller.planes.toggled.emit,
        own.window_soft_tissue: partial(view.set_window, Preset.SOFT_TISSUE.value),
        own.window_lung: partial(view.set_window, Preset.LUNG.value),
        own.window_liver: partial(view.set_window, Preset.LIVER.value),
        own.window_bone: partial(view.set_window, Preset.BONE.value),
        own.window_automatic: partial(view.automatic_window, None),
    }


def _marking(controller: TestSetController, keys: KeySettings) -> dict[str, Action]:
    return {
        keys.draw_lesion: controller.draw_lesion,
        keys.complete: controller.complete,
        keys.first_up: partial(controller.move_ends, -1, 0),
        keys.first_down: partial(controller.move_ends, 1, 0),
        keys.last_up: partial(controller.move_ends, 0, -1),
        keys.last_down: partial(controller.move_ends, 0, 1),
    }
