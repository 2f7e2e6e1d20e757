"""The coronal and the sagittal section through the cross-hair, beside the axial slice of a series view.

The cross-hair is a voxel: its slice is the one on screen, its place in the slice is the lesion asked about or where the
reader has pointed. A section is cut when it moves, and when it can be seen; while the slices are scrolled a line moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from qtpy.QtCore import QObject, Signal

from lens_engine.findings import Box3D, SliceBox
from lens_engine.geometry import VolumeGeometry
from lens_engine.volume import Volume
from lens_engine.window_presets import Window
from lens_napari.review.box_table import CANDIDATES, BoxRow, BoxState, BoxTable, Shown
from lens_napari.sections.cut_boxes import CutBox, cut_boxes
from lens_napari.sections.panel import SectionsPanel
from lens_napari.sections.picture import Outline, Section
from lens_napari.sections.planes import Plane, Voxel, inside
from lens_napari.viewer.series_view import Drawing, SeriesView

LEAST_FIELD_MM, FIELD_OF_LESION = 80.0, 5.0
"""Least part of a section around a lesion that is seen, and how many times as large as the lesion at least."""
ASKED_PIXELS, OTHER_PIXELS = 2.0, 1.0
NOTCH_MM = 2.0
"""How far one notch of the wheel moves a section, where the voxels are not larger."""


@dataclass(frozen=True, slots=True, eq=False)
class _Boxes:
    """What decides which boxes lie over a section."""

    table: BoxTable
    shown: Shown
    asked: int | None
    changed: Sequence[SliceBox] | None
    section: int

    def same(self, other: "_Boxes | None") -> bool:
        return (
            other is not None
            and self.table is other.table
            and (self.shown, self.asked, self.changed, self.section)
            == (other.shown, other.asked, other.changed, other.section)
        )


class LinkedPlanes(QObject):  # type: ignore[misc]  # qtpy carries no types
    """Keeps the two sections and the axial slice at one cross-hair.

    Parameters
    ----------
    view
        The series on screen.
    """

    moved = Signal(object)
    """Where the sections cut the slice on screen, as napari's (y, x) in mm; None while they cannot be seen."""
    toggled = Signal()
    """The reader wants to have the panel, or to have it no longer."""

    def __init__(self, view: SeriesView) -> None:
        super().__init__()
        self.panel = SectionsPanel()
        self._view = view
        self._volume: Volume | None = None
        self._place: Voxel = (0, 0, 0)
        self._cut: dict[Plane, int] = {}
        self._boxes: dict[Plane, _Boxes] = {}
        self._outlines: dict[Plane, tuple[Outline, ...]] = {}
        for plane, picture in self.panel.pictures.items():
            picture.pointed.connect(partial(self._point, plane))
            picture.scrolled.connect(partial(self._move, plane))
        self.panel.uncovered.connect(self._on_uncovered)
        view.drawn.connect(self._on_drawn)
        view.brought.connect(self._on_brought)
        view.window_changed.connect(self._on_window)

    @property
    def place(self) -> Voxel:
        """The voxel (z, y, x) of the cross-hair."""
        return self._place

    def point_in_slice(self, y_mm: float, x_mm: float) -> None:
        """Move the cross-hair to a place of the slice on screen, given as napari gives it."""
        if self._volume is not None:
            _, sy, sx = self._volume.geometry.spacing_mm
            self._place = inside((self._place[0], round(y_mm / sy), round(x_mm / sx)), self._volume.geometry)
            self._show()

    def close(self) -> None:
        """Follow the series view no longer."""
        self._view.drawn.disconnect(self._on_drawn)
        self._view.brought.disconnect(self._on_brought)
        self._view.window_changed.disconnect(self._on_window)
        self.moved.emit(None)

    def _on_uncovered(self, is_uncovered: bool) -> None:  # a Qt signal's argument
        shown = self._view.slice_on_screen
        if not is_uncovered:
            self.moved.emit(None)
        elif shown is not None:
            self._on_drawn(shown[0])
            self._on_window(self._view.window)

    def _on_drawn(self, slice_index: int) -> None:
        self._take_volume()
        self._place = slice_index, *self._place[1:]
        self._show()

    def _on_brought(self, section: SliceBox, box: Box3D) -> None:
        volume = self._take_volume()
        if volume is None:
            return
        x1, y1, x2, y2 = section.box
        self._place = inside((section.slice_index, (y1 + y2) // 2, (x1 + x2) // 2), volume.geometry)
        seen_mm = max(LEAST_FIELD_MM, FIELD_OF_LESION * _longest_mm(box, volume.geometry))
        for plane, picture in self.panel.pictures.items():
            most_mm = max(plane.size_mm(volume.geometry))  # a large lesion is not seen smaller than the whole section
            picture.look_at(plane.place_of(self._place, volume.geometry), min(seen_mm, most_mm))
        self._show()

    def _on_window(self, window: Window) -> None:
        if self.panel.is_seen and self._volume is not None:
            for plane in self._cut:
                self._show_section(plane, self._volume, window)

    def _take_volume(self) -> Volume | None:
        """Go on in the series on screen: in the middle of it, where it is another one."""
        loaded = self._view.loaded
        if loaded is not None and loaded.volume is not self._volume:
            self._volume = loaded.volume
            self._place = inside((size // 2 for size in loaded.volume.geometry.shape), loaded.volume.geometry)
            self._cut.clear()
            for picture in self.panel.pictures.values():
                picture.look_at_all()
        return self._volume

    def _point(self, plane: Plane, down_mm: float, right_mm: float) -> None:
        if self._volume is not None:
            self._go_to(plane.voxel_at((down_mm, right_mm), self._place[plane.across], self._volume.geometry))

    def _move(self, plane: Plane, notches: int) -> None:
        if self._volume is not None:
            self._go_to(plane.moved(self._place, notches * NOTCH_MM, self._volume.geometry))

    def _go_to(self, place: Voxel) -> None:
        self._place = place
        self._view.show_place(place)
        self._show()

    def _show(self) -> None:
        """Show what has changed, as far as it can be seen."""
        drawing = self._view.drawing
        if self._volume is None or drawing is None or not self.panel.is_seen:
            return
        geometry = self._volume.geometry
        for plane, picture in self.panel.pictures.items():
            section = self._place[plane.across]
            if self._cut.get(plane) != section:
                self._cut[plane] = section
                self._show_section(plane, self._volume, self._view.window)
            place = plane.place_of(self._place, geometry)
            picture.bring_into_view(place)
            picture.draw(self._outlines_of(plane, drawing, geometry), place)
        _, sy, sx = geometry.spacing_mm
        self.moved.emit((self._place[1] * sy, self._place[2] * sx))

    def _show_section(self, plane: Plane, volume: Volume, window: Window) -> None:
        hu = plane.cut(volume.voxels, self._cut[plane])
        self.panel.pictures[plane].show_section(Section(hu, plane.pixel_mm(volume.geometry), window))

    def _outlines_of(self, plane: Plane, drawing: Drawing, geometry: VolumeGeometry) -> tuple[Outline, ...]:
        asked = next((lesion for lesion, state in drawing.states.items() if state is BoxState.ASKED), None)
        changed = None if asked is None else drawing.changed.get(asked)
        boxes = _Boxes(drawing.table, drawing.shown, asked, changed, self._place[plane.across])
        if not boxes.same(self._boxes.get(plane)):
            self._boxes[plane] = boxes
            self._outlines[plane] = tuple(self._outline(box) for box in _cut(boxes, plane, geometry))
        return self._outlines[plane]

    def _outline(self, box: CutBox) -> Outline:
        pixels = ASKED_PIXELS if box.is_asked else OTHER_PIXELS
        return Outline(box.corner, box.opposite, self._view.layers.colour_of(box.group), pixels)


def _cut(boxes: _Boxes, plane: Plane, geometry: VolumeGeometry) -> tuple[CutBox, ...]:
    """Return what a section cuts; the lesion asked about as it was drawn or changed, where it was."""
    if boxes.changed is None or boxes.asked is None:
        return cut_boxes(boxes.table, boxes.shown, boxes.asked, plane, boxes.section, geometry)
    row = BoxRow(CANDIDATES, tuple(boxes.changed), 1.0, boxes.asked)
    as_changed = BoxTable.from_rows(boxes.table.groups, [row])
    return (
        *cut_boxes(boxes.table, boxes.shown, None, plane, boxes.section, geometry),
        *cut_boxes(as_changed, boxes.shown, boxes.asked, plane, boxes.section, geometry),
    )


def _longest_mm(box: Box3D, geometry: VolumeGeometry) -> float:
    sz, sy, sx = geometry.spacing_mm
    return max((box[3] - box[0]) * sx, (box[4] - box[1]) * sy, (box[5] - box[2]) * sz)
