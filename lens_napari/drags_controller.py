"""Drags over the picture: they draw a box, reshape it or measure a length, and leave handles and rulers."""

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from lens_engine.findings import Box2D
from lens_napari.editing import wording
from lens_napari.editing.draft import Draft
from lens_napari.editing.drags import DrawDrag, Follow, ReshapeDrag, RulerDrag
from lens_napari.editing.geometry import Point, handle_at, handle_points, is_inside
from lens_napari.editing.lengths import Lengths
from lens_napari.editing.marks_layer import HANDLE_PIXELS, MarksLayer
from lens_napari.editing.mouse import Drag, DragTool
from lens_napari.editing.ruler import PointMm, Ruler
from lens_napari.review.sight import Unseen
from lens_napari.viewer.series_view import SeriesView
from lens_napari.viewer.voxel_frame import VOXEL_CENTRE


class DragsController(QObject):  # type: ignore[misc]  # qtpy carries no types
    """What the left button does while a box is in work or a length is measured.

    Parameters
    ----------
    viewer, view
        The napari viewer, and the series in it.
    box_in_work
        Returns the box in work, in whichever series it lies.
    follow
        Puts that box on screen as a drag makes it.
    """

    told = Signal(str)
    """What became of a drag, where it is not plain to see."""

    def __init__(self, viewer: Any, view: SeriesView, box_in_work: Callable[[], Draft | None], follow: Follow) -> None:
        super().__init__()
        self._viewer = viewer
        self._view = view
        self._box_in_work = box_in_work
        self._follow = follow
        self.lengths = Lengths()
        self.marks = MarksLayer(viewer, lambda: view.layers.spacing_mm, view.new_layer.emit)
        self._mouse = DragTool(viewer, self._begin)
        view.drawn.connect(self.draw)

    @property
    def box_here(self) -> Draft | None:
        """The box in work where it lies in the series on screen; None elsewhere, and while another one is coming."""
        draft, loaded = self._box_in_work(), self._view.loaded
        if draft is None or loaded is None or self._view.is_loading:
            return None
        return draft if draft.series_id == loaded.record.id else None

    def measure(self) -> None:
        """Let the next drag measure a length."""
        self.lengths.is_measuring = True
        self.told.emit(wording.MEASURE)

    def let_go(self) -> bool:
        """Let the lengths go; return whether there were any."""
        had_any = not self.lengths.is_empty
        if had_any:
            self.lengths.forget()
            self.draw()
        return had_any

    def begin_series(self) -> None:
        """Go on in the series that has come on screen."""
        self.lengths.forget()
        self.marks.rescale()

    def draw(self) -> None:
        """Draw the handles and lengths of the slice on screen."""
        shown = self._view.slice_on_screen
        if shown is not None:
            self.lengths.stay_on(shown[0])
            box = self._box_on(shown[0])
            handles = handle_points(box) if box is not None else ()
            self.marks.draw(shown[0], float(self._viewer.scene.camera.zoom), handles, self.lengths.rulers)

    def close(self) -> None:
        """Leave the mouse to napari and draw nothing any more."""
        self._view.drawn.disconnect(self.draw)
        self._mouse.close()
        self.marks.clear()

    def _begin(self, start_mm: PointMm) -> Drag | None:
        loaded, shown, start = self._view.loaded, self._view.slice_on_screen, self._to_voxel(start_mm)
        if loaded is None or shown is None or (self._box_in_work() is None and not self.lengths.is_measuring):
            return None
        if self._view.is_loading:
            self.told.emit(wording.SCAN_LOADS)
            return None
        draft = self.box_here
        needs_inside = self.lengths.is_measuring or (draft is not None and not draft.slices)
        if needs_inside and not is_inside(start, loaded.volume.voxels.shape[1:]):
            self.told.emit(wording.BEGIN_INSIDE)
            return None
        if self.lengths.is_measuring:
            return RulerDrag(shown[0], start_mm, self._follow_length, self._end_length)
        return None if draft is None else self._box_drag(draft, shown[0], start)

    def _box_drag(self, draft: Draft, slice_index: int, start: Point) -> Drag | None:
        if not draft.slices:
            return DrawDrag(draft, slice_index, start, self._to_voxel, self._follow, self._refuse_small)
        box = self._box_on(slice_index)
        if box is None:
            return None
        _, sy, sx = self._view.layers.spacing_mm
        zoom = float(self._viewer.scene.camera.zoom)
        handle = handle_at(box, start, (HANDLE_PIXELS / zoom / sx, HANDLE_PIXELS / zoom / sy))
        return None if handle is None else ReshapeDrag(draft, slice_index, handle, start, self._to_voxel, self._follow)

    def _box_on(self, slice_index: int) -> Box2D | None:
        """Return the box in work on a slice, where it can be seen and taken."""
        draft = self.box_here
        if draft is None or self._view.why_unseen(draft.slices) in (Unseen.HIDDEN, Unseen.COVERED):
            return None
        return draft.section(slice_index)

    def _to_voxel(self, point_mm: PointMm) -> Point:
        _, sy, sx = self._view.layers.spacing_mm
        return point_mm[1] / sx + VOXEL_CENTRE, point_mm[0] / sy + VOXEL_CENTRE

    def _refuse_small(self) -> None:
        self.told.emit(wording.TOO_SMALL)

    def _follow_length(self, ruler: Ruler) -> None:
        self.lengths.follow(ruler)
        self.draw()

    def _end_length(self) -> None:
        self.told.emit(self.lengths.rulers[-1].words if self.lengths.end() else wording.NO_LENGTH)
