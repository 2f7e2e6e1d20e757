"""Opens a project in napari; what `lens review`, the demo and the plugin's widget call."""

from pathlib import Path
from typing import Any

import napari
from napari.settings import get_settings
from napari.utils.notifications import notification_manager

from lens_engine.project import Project
from lens_napari.controller import ReviewController
from lens_napari.demo.marker import is_demo
from lens_napari.one_reader import OneReader
from lens_napari.review.open_windows import OpenWindow
from lens_napari.review.project_store import ProjectStore
from lens_napari.review.settings import load_settings, settings_file
from lens_napari.test_set.workplace import Workplace
from lens_napari.workspace import (
    SIZE,
    arrange,
    bind_keys,
    key_actions,
    offer_tour,
    protect_picture,
    remember_arrangement,
)

TITLE = "LENS-napari"
_open: list[ReviewController | Workplace] = []
"""What is at work in some viewer, in the order in which it was opened."""


def open_project(project_folder: Path, viewer: Any = None, *, start_worker: bool = True) -> ReviewController:
    """Open a project and show the first lesion that waits for a reader.

    Parameters
    ----------
    project_folder
        Folder with `lens.yaml`.
    viewer
        A napari viewer to use; None opens a new window.
    start_worker
        Start a worker for jobs where none is alive.

    Raises
    ------
    LensError
        If the folder is no project, or its database or the reader's settings cannot be used.
    """
    path = settings_file()
    settings = load_settings(path)
    store = ProjectStore(Project.open(project_folder))
    is_ours = viewer is None
    if is_ours:
        viewer = new_viewer()
    end_work_in(viewer)
    viewer.title = f"{TITLE} · {store.project.settings.name}"
    controller = ReviewController(viewer, store, settings, path, start_worker=start_worker)
    docks = arrange(controller)
    offer_tour(controller, docks)
    remember_arrangement(controller, docks, path.parent, is_ours=is_ours)
    protect_picture(controller, docks.main)
    bind_keys(controller, key_actions(controller, settings.keys))
    controller.open()
    OneReader(controller, OpenWindow(project_folder, settings.reader), settings.reader)
    note_work(controller)
    return controller


def end_work_in(viewer: Any) -> None:
    """Close what is open in a viewer: each of two would put the other's picture away, and no reading would be blind."""
    for one in [one for one in _open if one.viewer is viewer]:
        one.close()


def note_work(controller: ReviewController | Workplace) -> None:
    """Note what is open in a viewer until it is closed."""
    _open.append(controller)
    controller.closed.connect(lambda: _open.remove(controller))


def open_review() -> ReviewController | None:
    """Return the review that was opened last and is still open."""
    return next((one for one in reversed(_open) if isinstance(one, ReviewController)), None)


def begin_tour(controller: ReviewController, project_folder: Path) -> None:
    """Lead a reader through the review who sees the demo for the first time."""
    if is_demo(project_folder) and not controller.settings.tour_seen:
        controller.tour_wanted.emit()


def review(project_folder: Path) -> None:
    """Open a project and stay until the window is closed; every decision is on disk afterwards."""
    controller = open_project(project_folder)
    begin_tour(controller, project_folder)
    napari.run()
    controller.close()


def new_viewer() -> Any:
    """Open a window of napari."""
    is_first_time = get_settings().application.window_size is None
    viewer = napari.Viewer(title=TITLE, show=False, show_welcome_screen=False)
    # napari announces the end of PyQt5 in a box that would cover the slice number; `lens doctor` names the binding.
    with notification_manager.notification_ready.blocker():
        viewer.show()
    if is_first_time:  # later napari gives the window the size that the reader left it with
        viewer.window.resize(*SIZE)
    return viewer
