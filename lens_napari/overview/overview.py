"""Follows the series on screen with projections and marks, as long as the panel can be seen; closed it costs nothing.

Projections are computed in a thread of their own, once for a series.
"""

from collections import OrderedDict
from functools import partial

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from lens_engine.volume import Volume
from lens_engine.window_presets import Preset
from lens_napari.overview.marks import Mark, NumberOf, marks_of
from lens_napari.overview.panel import OverviewPanel
from lens_napari.review.box_table import NO_LESION, BoxState
from lens_napari.review.project_store import message_of
from lens_napari.review.wording import MARK_OF_STATE
from lens_napari.sections.picture import Outline, Section, SectionPicture
from lens_napari.sections.planes import Plane
from lens_napari.viewer.background import Lane
from lens_napari.viewer.layers import COLOUR_OF_STATE
from lens_napari.viewer.series_view import Drawing, SeriesView

PROJECTING = "Projecting the scan …"
ASKED_PIXELS, OTHER_PIXELS, LEAST_PIXELS = 2.5, 1.0, 9.0
"""Width of lines, and the least side of a mark, so that a small lesion is seen."""
REACH_PIXELS = 10.0
"""How far beside a mark a click still means it."""
KEPT = 4
"""Series whose projections are kept."""

Projections = dict[Plane, NDArray[np.int16]]


class Overview(QObject):  # type: ignore[misc]  # qtpy carries no types
    """The projections of one series at a time, with what is marked on them.

    Parameters
    ----------
    view
        The series on screen.
    number_of
        Returns the number of a lesion in the list.
    """

    lesion_chosen = Signal(int)
    """A lesion of the list that was clicked, by its candidate id."""
    toggled = Signal()
    """The reader wants to have the panel, or to have it no longer."""

    def __init__(self, view: SeriesView, number_of: NumberOf) -> None:
        super().__init__()
        self.panel = OverviewPanel()
        self.marks: tuple[Mark, ...] = ()
        """What is marked, in the order in which it is drawn."""
        self._view, self._number_of = view, number_of
        self._lane = Lane("overview")
        self._shown: Volume | None = None
        self._drawn: Drawing | None = None
        self._outlines: dict[Plane, tuple[Outline, ...]] = {}
        self._kept: OrderedDict[int, Projections] = OrderedDict()
        self._look_later = QTimer(self)  # a panel is on screen only when Qt has laid it out
        self._look_later.setSingleShot(True)
        self._look_later.timeout.connect(self.look)
        for plane, picture in self.panel.pictures.items():
            picture.pointed.connect(partial(self._point, plane))
        self.panel.uncovered.connect(self._look_later.start)
        view.drawn.connect(self._on_drawn)

    def look(self) -> None:
        """Show what is on screen now, where the panel can be seen."""
        loaded, drawing = self._view.loaded, self._view.drawing
        if loaded is None or drawing is None or not self.panel.is_seen:
            return
        if loaded.volume is not self._shown:
            self._shown, self._drawn = loaded.volume, None
            self._show_projections(loaded.record.id, loaded.volume)
        self._draw(drawing, loaded.volume)

    def close(self) -> None:
        """Follow the series view no longer."""
        self._look_later.stop()
        self._view.drawn.disconnect(self._on_drawn)
        self._lane.close(finish=False)

    def _on_drawn(self, _slice_index: int) -> None:
        self.look()

    def _show_projections(self, series_id: int, volume: Volume) -> None:
        kept = self._kept.get(series_id)
        if kept is not None:
            self._kept.move_to_end(series_id)
            self._show(volume, kept)
            return
        for picture in self.panel.pictures.values():
            picture.show_words(PROJECTING)
        self._lane.submit(partial(project, volume), partial(self._on_projected, series_id, volume), self._on_error)

    def _on_projected(self, series_id: int, volume: Volume, projections: Projections) -> None:
        self._kept[series_id] = projections
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        if volume is self._shown:
            self._show(volume, projections)
            self._drawn = None
            self.look()

    def _on_error(self, error: Exception) -> None:
        for picture in self.panel.pictures.values():
            picture.show_words(message_of(error))

    def _show(self, volume: Volume, projections: Projections) -> None:
        for plane, picture in self.panel.pictures.items():
            picture.look_at_all()
            picture.show_section(Section(projections[plane], plane.pixel_mm(volume.geometry), Preset.BONE.value))

    def _draw(self, drawing: Drawing, volume: Volume) -> None:
        if not _same(drawing, self._drawn):
            self._drawn = drawing
            self.marks = marks_of(drawing.table, drawing.shown, drawing.states, drawing.changed, self._number_of)
            self._outlines = {
                plane: tuple(self._outline(mark, plane, volume) for mark in self.marks) for plane in self.panel.pictures
            }
        shown = self._view.slice_on_screen
        for plane, picture in self.panel.pictures.items():
            if picture.section is not None and shown is not None:
                line_mm = None if plane is Plane.AXIAL else (shown[0] + 0.5) * volume.geometry.spacing_mm[0]
                picture.draw(self._outlines[plane], (line_mm, None))

    def _outline(self, mark: Mark, plane: Plane, volume: Volume) -> Outline:
        corner, opposite = mark.corners(plane, volume.geometry)
        colour = COLOUR_OF_STATE.get(mark.state, self._view.layers.colour_of(mark.group))
        pixels = ASKED_PIXELS if mark.state is BoxState.ASKED else OTHER_PIXELS
        text = "" if mark.number is None else f"{mark.number}{MARK_OF_STATE.get(mark.state, '')}"
        return Outline(corner, opposite, colour, pixels, LEAST_PIXELS, text)

    def _point(self, plane: Plane, down_mm: float, right_mm: float) -> None:
        volume = self._shown
        if volume is None:
            return
        mark = self._mark_at(plane, volume, (down_mm, right_mm))
        if mark is None and plane is Plane.AXIAL:
            return  # no slice is there more than another one
        if mark is None:
            self._view.go_to_slice(int(down_mm / volume.geometry.spacing_mm[0]))
        elif mark.number is not None and mark.lesion > NO_LESION:
            if mark.state is not BoxState.ASKED:
                self.lesion_chosen.emit(mark.lesion)
        else:
            self._view.go_to_slice(int((mark.box[2] + mark.box[5]) / 2))

    def _mark_at(self, plane: Plane, volume: Volume, place: tuple[float, float]) -> Mark | None:
        """Return the mark whose middle is nearest to a place, among those that it lies in or near."""
        picture: SectionPicture = self.panel.pictures[plane]
        reach_mm = REACH_PIXELS / picture.field.pixels_per_mm
        near = []
        for mark in self.marks:
            corner, opposite = mark.corners(plane, volume.geometry)
            if all(
                low - reach_mm <= at <= high + reach_mm for low, at, high in zip(corner, place, opposite, strict=True)
            ):
                middle = mark.middle(plane, volume.geometry)
                near.append((sum((a - b) ** 2 for a, b in zip(middle, place, strict=True)), mark))
        listed = [one for one in near if one[1].number is not None]
        return min(listed or near, key=lambda one: one[0], default=(0.0, None))[1]


def project(volume: Volume) -> Projections:
    """Return the densest voxels behind each other, seen from the front, the left and the feet (maximum intensity)."""
    return {plane: np.max(volume.voxels, axis=plane.across) for plane in Plane}


def _same(one: Drawing, other: Drawing | None) -> bool:
    return (
        other is not None
        and one.table is other.table
        and (one.shown, one.states, one.changed) == (other.shown, other.states, other.changed)
    )
