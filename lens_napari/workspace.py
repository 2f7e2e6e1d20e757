"""The window of a review: where its docks lie, what its keys do, and what of napari is off meanwhile.

The picture is the largest thing, and napari's own layer docks stay behind.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from napari.settings import get_settings
from napari.utils.key_bindings import coerce_keybinding
from qtpy.compat import isalive
from qtpy.QtWidgets import QAction, QDockWidget, QMainWindow, QWidget

from lens_engine.findings import ReasonCode, Verdict
from lens_engine.window_presets import Preset
from lens_napari.arrangement.docks import DockPlace, ReviewDocks
from lens_napari.arrangement.layouts import LAYOUTS_FOLDER, LayoutFiles
from lens_napari.arrangement.window_end import WindowEnd
from lens_napari.arrangement.window_memory import WindowMemory
from lens_napari.controller import ReviewController
from lens_napari.panels.key_help import KeyHelp, KeyLists, review_lists
from lens_napari.panels.parts import scrolled
from lens_napari.review.settings import KeySettings, ViewerSettings
from lens_napari.saying.confirmation import Confirmation
from lens_napari.sections.axial_marks import AxialMarks
from lens_napari.sections.dock import SectionsDock
from lens_napari.sections.linked_planes import LinkedPlanes
from lens_napari.tour.steps import About
from lens_napari.tour.tour import Tour
from lens_napari.viewer.drops import FileDrops
from lens_napari.viewer.guard import NAPARI_ACTIONS_OFF, PictureGuard
from lens_napari.viewer.keys import Action, KeyBindings
from lens_napari.viewer.series_view import SeriesView
from lens_napari.viewer.slice_field import SliceField

SIZE = (1600, 1000)
LEFT_WIDTH, RIGHT_WIDTH, BOTTOM_HEIGHT = 328, 350, 50
JOBS, OVERVIEW = "Jobs", "Overview"
OVERVIEW_HEIGHT = 300
STANDARD_ARRANGEMENT = "Standard arrangement of the review"
"""A command in napari's menu of windows."""


class OnePicture(Protocol):
    """A controller of one picture, with coronal and sagittal sections of what is on screen."""

    viewer: Any
    view: SeriesView
    settings: ViewerSettings
    planes: LinkedPlanes
    closed: Any

    def close(self) -> None:
        """Write everything that waits and end all threads."""

    def keep_sections(self, are_shown: bool) -> None:
        """Remember whether this reader wants sections."""


def arrange(controller: ReviewController) -> ReviewDocks:
    """Put the panels of a controller around the picture of its viewer, and return their docks."""
    docks = ReviewDocks(
        controller.viewer.window,
        (
            DockPlace("Worklist", scrolled(controller.worklist), "left", LEFT_WIDTH),
            DockPlace(OVERVIEW, controller.overview.panel, "left", OVERVIEW_HEIGHT, is_extra=True),
            DockPlace("This lesion", controller.lesion_panel, "right", RIGHT_WIDTH),
            DockPlace("Retrain", controller.retrain_panel, "right", RIGHT_WIDTH),
            DockPlace("Models", controller.models_panel, "right", RIGHT_WIDTH),
            DockPlace("Add scans", controller.adding.panel, "right", RIGHT_WIDTH),
            DockPlace(JOBS, controller.jobs_panel, "bottom", BOTTOM_HEIGHT),
        ),
    )
    docks.arrange()
    sections = add_sections(controller, docks.main, docks.dock(JOBS))
    docks.arranged.connect(lambda: sections.put_back(docks.dock(JOBS)))
    controller.overview.toggled.connect(lambda: docks.toggle(OVERVIEW))
    controller.remarks.begun.connect(lambda: docks.bring_forward("This lesion"))
    controller.jobs.retrain_shown.connect(lambda: docks.bring_forward("Retrain"))
    controller.adding.shown.connect(lambda: docks.bring_forward("Add scans"))
    _take_drops(controller, docks.main)
    end_with_window(controller, docks)
    return docks


def end_with_window(controller: OnePicture, docks: ReviewDocks) -> None:
    """Close a controller with its window, and take its docks along whichever way it was closed."""
    window_end = WindowEnd(docks.main)
    window_end.closed.connect(controller.close)
    controller.closed.connect(lambda: window_end.end())
    controller.closed.connect(lambda: docks.close())


def remember_arrangement(controller: ReviewController, docks: ReviewDocks, folder: Path, *, is_ours: bool) -> None:
    """Give the window the arrangement that the reader left the last one with, and keep it when he leaves this one.

    Parameters
    ----------
    folder
        Where the reader's settings are.
    is_ours
        Whether the window was opened for the review.
    """
    memory = WindowMemory(docks, LayoutFiles(folder / LAYOUTS_FOLDER), is_ours=is_ours)
    command = QAction(STANDARD_ARRANGEMENT, docks.main)
    command.triggered.connect(lambda _: memory.take_standard())
    menu = controller.viewer.window.window_menu
    menu.addAction(command)
    controller.standard_arrangement.connect(command.trigger)

    def close() -> None:
        memory.close()
        if isalive(menu):
            menu.removeAction(command)
            command.deleteLater()

    controller.closing.connect(close)


def offer_tour(controller: ReviewController, docks: ReviewDocks) -> None:
    """Have the tour at hand, by its keys and from the list of keys."""
    worklist, lesion = controller.worklist, controller.lesion_panel

    def in_panel(name: str, *widgets: QWidget) -> tuple[QWidget, ...]:
        docks.bring_forward(name)
        return widgets

    places = {
        About.LIST: lambda: in_panel("Worklist", worklist.table, worklist.filters),
        About.PICTURE: lambda: (docks.main.centralWidget(),),
        About.REASON: lambda: in_panel("This lesion", lesion),
        About.VERDICT: lambda: in_panel(
            "This lesion", lesion.accept_button, lesion.reject_button, lesion.unsure_button
        ),
        About.BOXES: lambda: in_panel("Worklist", worklist.legend),
        About.LEARNING: lambda: in_panel("Retrain", controller.retrain_panel),
    }
    tour = Tour(docks.main, places, controller.settings.keys)
    controller.tour_wanted.connect(lambda: tour.go_on())
    controller.tour_left.connect(lambda: tour.leave())
    tour.ended.connect(controller.keep_tour_seen)
    tour.ended.connect(lambda: docks.bring_forward("This lesion"))
    controller.closing.connect(lambda: tour.close())


def bind_keys(controller: OnePicture, actions: Mapping[str, Action]) -> None:
    """Let the reader's keys act on a controller, whichever of its layers is active."""
    bindings = KeyBindings(actions)
    bindings.bind(controller.viewer)
    # A lambda holds the bindings; Qt lets go of an object whose bound method is all that it was given.
    controller.view.new_layer.connect(lambda layer: bindings.bind(layer))
    controller.closed.connect(lambda: bindings.release())


def protect_picture(controller: ReviewController, main: QMainWindow) -> None:
    """Keep the picture what its letters and numbers say; list all keys on demand, and confirm what was said."""
    keep_picture(controller, main)
    keys = controller.settings.keys
    key_help = add_key_help(controller, main, review_lists(keys), keys.model_dump().values())
    key_help.tour_wanted.connect(controller.tour_wanted.emit)
    confirmation = Confirmation(controller.viewer.window._qt_viewer.canvas.native)
    controller.confirmed.connect(confirmation.show_line)
    controller.closed.connect(lambda: confirmation.end())


def add_key_help(controller: OnePicture, main: QMainWindow, listed: KeyLists, bound: Iterable[str]) -> KeyHelp:
    """Have all keys at hand by the help key, and beside them what of napari is off but for the keys that are bound."""
    key_help = KeyHelp(main, listed, _off_in_napari(bound))
    controller.closed.connect(lambda: key_help.end())
    return key_help


def keep_picture(controller: OnePicture, main: QMainWindow) -> None:
    """Keep the picture what its letters and numbers say until a controller is closed; number its slices from 1."""
    viewer, view = controller.viewer, controller.view
    guard = PictureGuard(viewer, lambda: view.layers.spacing_mm)
    guard.refused.connect(view.note)
    view.new_layer.connect(lambda layer: guard.protect(layer))
    field = SliceField(viewer, main, lambda: view.slice_on_screen, view.go_to_slice)

    def release() -> None:
        guard.release()
        field.close()

    controller.closed.connect(release)


def _off_in_napari(bound: Iterable[str]) -> dict[str, list[str]]:
    """Return what of napari is off, with its keys but those that are bound otherwise."""
    ours = {str(coerce_keybinding(key)) for key in bound}
    off: dict[str, list[str]] = {}
    for action, words in NAPARI_ACTIONS_OFF.items():
        bound = [str(key) for key in get_settings().shortcuts.shortcuts.get(action, [])]
        off.setdefault(words, []).extend(key for key in bound if key not in ours)
    return off


def key_actions(review: ReviewController, keys: KeySettings) -> dict[str, Action]:
    """Return what each key does."""
    view = review.view
    return {
        keys.accept: partial(review.give_verdict, Verdict.ACCEPTED),
        keys.reject: partial(review.give_verdict, Verdict.REJECTED),
        keys.unsure: partial(review.give_verdict, Verdict.UNSURE),
        **{key: partial(review.give_numbered_type, number) for number, key in enumerate(keys.lesion_types)},
        keys.next_lesion: review.go_next,
        keys.previous_lesion: review.go_previous,
        keys.next_series: partial(review.go_to_series, 1),
        keys.previous_series: partial(review.go_to_series, -1),
        keys.comment: review.remarks.begin,
        keys.go_to: review.go_to,
        keys.hide_boxes: view.toggle_boxes,
        keys.dim_boxes: review.worklist.legend.dim_box.toggle,
        **{key: partial(_show_alone, review, number) for number, key in enumerate(keys.experts_alone)},
        keys.alone_fused: partial(_show_alone, review, None),
        keys.compare: review.truth.toggle,
        keys.change_box: review.change_box,
        keys.draw_lesion: review.draw_lesion,
        keys.first_up: partial(review.move_ends, -1, 0),
        keys.last_down: partial(review.move_ends, 0, 1),
        keys.first_down: partial(review.move_ends, 1, 0),
        keys.last_up: partial(review.move_ends, 0, -1),
        keys.detector_help: review.boxes.follow_detector,
        keys.keep_box: review.keep_box,
        keys.cancel: review.boxes.cancel,
        keys.delete_drawn: review.boxes.delete,
        keys.measure: review.boxes.measure,
        keys.remove_axes: review.axes.remove,
        keys.complete: review.completeness.toggle,
        keys.undo: review.undo,
        keys.redo: review.redo,
        keys.redo_also: review.redo,
        keys.reason_vessel: partial(review.give_reason, ReasonCode.VESSEL),
        keys.reason_normal_node: partial(review.give_reason, ReasonCode.NORMAL_NODE),
        keys.reason_duplicate: partial(review.give_reason, ReasonCode.DUPLICATE),
        keys.reason_benign: partial(review.give_reason, ReasonCode.BENIGN),
        keys.tour: review.tour_wanted.emit,
        keys.tour_leave: review.tour_left.emit,
        keys.sections: review.planes.toggled.emit,
        keys.overview: review.overview.toggled.emit,
        **window_actions(view, keys),
        keys.window_automatic: review.automatic_window,
    }


def window_actions(view: SeriesView, keys: KeySettings) -> dict[str, Action]:
    """Return the keys that choose a window by hand."""
    return {
        keys.window_soft_tissue: partial(view.set_window, Preset.SOFT_TISSUE.value),
        keys.window_lung: partial(view.set_window, Preset.LUNG.value),
        keys.window_liver: partial(view.set_window, Preset.LIVER.value),
        keys.window_bone: partial(view.set_window, Preset.BONE.value),
    }


def _show_alone(review: ReviewController, number: int | None) -> None:
    """Show the boxes of an expert alone by its number, or of the fusion, or all as before, and say so."""
    legend = review.worklist.legend
    review.view.note(legend.toggle_alone(number))
    if legend.shown.alone is not None:
        review.view.show_boxes()


def add_sections(controller: OnePicture, main: QMainWindow, above: QDockWidget) -> SectionsDock:
    """Put the sections between picture and a dock, where this reader wants them; mark where they cut the slice."""
    planes = controller.planes
    dock = SectionsDock(controller.viewer.window, planes.panel, above, BOTTOM_HEIGHT)
    dock.want(controller.settings.sections_shown)
    dock.wanted.connect(controller.keep_sections)
    planes.toggled.connect(lambda: dock.toggle())
    marks = AxialMarks(controller.viewer, main)
    planes.moved.connect(marks.show_at)
    marks.picked.connect(planes.point_in_slice)

    def close() -> None:
        dock.close()
        marks.close()

    controller.closed.connect(close)
    return dock


def _take_drops(controller: ReviewController, main: QMainWindow) -> None:
    drops = FileDrops(main)
    drops.dropped.connect(controller.adding.offer)
    drops.dropped.connect(lambda _: controller.view.note(""))
    drops.hovered.connect(controller.view.note)
    controller.closed.connect(drops.release)
