"""The series on screen: read in the background, shown in a window, with the boxes it is told to draw.

It knows nothing of a review. Answers that come too late are dropped by their generation number.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from textwrap import wrap
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from lens_engine.findings import Box3D, SliceBox
from lens_engine.window_presets import Preset, Window, preset_for
from lens_napari.review.box_table import CANDIDATES, BoxState, BoxTable, Shown, resolve
from lens_napari.review.project_store import LoadedSeries
from lens_napari.review.sight import Unseen, why_unseen
from lens_napari.review.window_choice import WindowChoice
from lens_napari.review.wording import NOT_FOR_DIAGNOSIS
from lens_napari.truth.comparison import Compared
from lens_napari.viewer.arrival import ArrivalZoom
from lens_napari.viewer.background import Lane
from lens_napari.viewer.display import NOTE, MouseTools, PictureTexts, hu_at
from lens_napari.viewer.foreign_layers import ForeignLayers
from lens_napari.viewer.layers import SeriesLayers, slice_on_screen
from lens_napari.viewer.sight import picture_of

REDRAW_DELAY_MS = 40
NOTE_MS = 8000
NOTE_LETTERS = 40
"""How long something is said over the picture, and letters in a line of it."""

Load = Callable[[int, str | None], LoadedSeries]
"""Reads a series by its id, with the findings of a model version; it may take long."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """What is to be drawn on the series on screen.

    Attributes
    ----------
    table
        All boxes of the series.
    shown
        What of them the reader wants to see.
    states
        How the box of each lesion is drawn, by lesion number.
    changed
        Cross-sections of lesions whose boxes a reader has changed or drawn, by lesion number; those of the table are
        not drawn.
    compared
        What of the boxes is true, false and missed; None where that is not asked for.
    """

    table: BoxTable
    shown: Shown
    states: Mapping[int, BoxState]
    changed: Mapping[int, Sequence[SliceBox]]
    compared: Compared | None = None


class SeriesView(QObject):  # type: ignore[misc]  # qtpy carries no types
    """One series at a time in one napari viewer.

    Parameters
    ----------
    viewer
        The napari viewer.
    colours
        The colour of each expert and of the fusion, in drawing order.
    load
        Called in the background.
    ahead
        Lane for scans that nobody waits for yet.
    """

    new_layer = Signal(object)
    """A napari layer that was added."""
    group_toggled = Signal(str, bool)
    """A group of boxes whose eye the reader opened or closed in napari's list of layers."""
    arrived = Signal(object)
    """The `LoadedSeries` that is on screen now, without boxes."""
    failed = Signal(object)
    """The error for which a series cannot be shown."""
    drawn = Signal(int)
    """The slice on screen; the boxes were drawn again: the slice, the zoom or the boxes have changed."""
    brought = Signal(object, object)
    """The `SliceBox` and the whole box of a lesion that is brought on screen; `drawn` follows."""
    window_changed = Signal(object)
    """The `Window` of the picture."""

    def __init__(self, viewer: Any, colours: Mapping[str, str], load: Load, ahead: Lane) -> None:
        super().__init__()
        self._viewer = viewer
        self._load = load
        self._images = Lane("images")
        self._ahead = ahead
        self._loaded: LoadedSeries | None = None
        self._drawing: Drawing | None = None
        self._everything_hidden = False
        self._is_moving = False
        self._generation = 0
        self._wanted: tuple[int, str | None] | None = None
        self._read_ahead: int | None = None
        self._choice = WindowChoice()
        self._notice = self._reminder = ""
        self._hu: int | None = None
        self._is_closed = False
        self.layers = SeriesLayers(viewer, colours, self.new_layer.emit, self.group_toggled.emit)
        self.foreign = ForeignLayers(viewer, self.layers)
        self.texts = PictureTexts(viewer)
        self._mouse = MouseTools(viewer, lambda: self.window, self.set_window, self._scroll, self._show_hu)
        self._zoom = ArrivalZoom(viewer)
        self._note_ends = QTimer(self)
        self._note_ends.setSingleShot(True)
        self._note_ends.setInterval(NOTE_MS)
        self._note_ends.timeout.connect(lambda: self.texts.set(NOTE, ""))
        self._redraw_later = QTimer(self)
        self._redraw_later.setSingleShot(True)
        self._redraw_later.setInterval(REDRAW_DELAY_MS)
        self._redraw_later.timeout.connect(self._redraw)
        viewer.dims.events.current_step.connect(self._on_slice)
        viewer.scene.camera.events.zoom.connect(self._on_zoom)

    @property
    def loaded(self) -> LoadedSeries | None:
        """The series on screen; None before the first."""
        return self._loaded

    @property
    def slice_on_screen(self) -> tuple[int, int] | None:
        """Index of the slice on screen, and how many the series has; None before the first series."""
        if self._loaded is None:
            return None
        geometry = self._loaded.volume.geometry
        return slice_on_screen(self._viewer, geometry), geometry.shape[0]

    @property
    def drawing(self) -> Drawing | None:
        """What is drawn now; None where there is nothing to draw on."""
        if self._loaded is None or self._drawing is None:
            return None
        return replace(self._drawing, shown=replace(self._drawing.shown, everything_hidden=self._everything_hidden))

    @property
    def is_loading(self) -> bool:
        """Whether a series is being read to be shown."""
        return bool(self._images.waiting)

    @property
    def window(self) -> Window:
        """Grey values of the picture now."""
        if self.layers.image is None:
            return Preset.SOFT_TISSUE.value
        low, high = self.layers.image.contrast_limits
        return Window.from_limits(low, high)

    def load(self, series_id: int, model_version: str | None) -> None:
        """Show another series as soon as it is read; what was asked for before is no longer wanted.

        A series that is being read already goes on.
        """
        if self._wanted == (series_id, model_version):
            return
        self._wanted = series_id, model_version
        self._generation += 1
        self._images.submit(
            partial(self._load_wanted, self._generation, series_id, model_version),
            partial(self._on_loaded, self._generation),
            partial(self._on_load_failed, self._generation),
        )

    def stay(self) -> None:
        """Keep the series on screen: whatever is being read is no longer wanted."""
        self._wanted = None
        self._generation += 1

    def forget(self, notice: str) -> None:
        """Draw no more on the series on screen; `notice` is written below the ones that follow."""
        self._loaded = None
        self._wanted = None
        self._notice = notice

    def remind(self, reminder: str) -> None:
        """Write a line below every series from now on."""
        self._reminder = reminder
        if self._loaded is not None:
            self._show_label(self._loaded)

    def read_ahead(self, series_id: int) -> None:
        """Read a series that will be wanted soon, once."""
        if series_id != self._read_ahead:
            self._read_ahead = series_id
            self._ahead.submit(partial(self._load, series_id, None), lambda _: None, lambda _: None)

    def draw(self, drawing: Drawing) -> None:
        """Draw these boxes on the series on screen, now and on every slice the reader goes to."""
        self._drawing = drawing
        self._redraw()

    def why_unseen(self, slices: Sequence[SliceBox], group: str = CANDIDATES) -> Unseen | None:
        """Return why a lesion of the series on screen, drawn in a group, cannot be seen, None where it can."""
        if self._loaded is None or self._drawing is None:
            return Unseen.HIDDEN
        unseen = why_unseen(slices, picture_of(self._viewer, self.layers, self._loaded.volume.geometry, group))
        if unseen is None and (self._everything_hidden or not self._drawing.shown.has(group)):
            return Unseen.HIDDEN
        return unseen

    def toggle_boxes(self) -> None:
        """Hide all boxes, or show them again."""
        self._everything_hidden = not self._everything_hidden
        self._redraw()

    def show_boxes(self) -> None:
        """Show the boxes again where all were hidden."""
        if self._everything_hidden:
            self.toggle_boxes()

    def go_to(self, section: SliceBox, box: Box3D, drawing: Drawing) -> None:
        """Bring a lesion on screen, and these boxes with it, whatever was hidden or panned before.

        Its region chooses the window, unless the reader has done so by hand.

        Parameters
        ----------
        section
            The slice to go to, and the place on it.
        box
            The whole lesion.
        """
        if self._loaded is None:
            return
        self._everything_hidden = False
        self._drawing = drawing
        window = self._choice.on_arrival(preset_for(self._loaded.volume.voxels, box))
        if window is not None:
            self.layers.set_window(window)
        with self._drawn_once():
            self._zoom.arrive(section, self._loaded.volume.geometry)
            self.go_to_slice(section.slice_index)
            self.brought.emit(section, box)
        # What napari changes of its layers for a new zoom when it paints would make it paint once more.
        self._viewer.window._qt_viewer.canvas.on_draw()

    def go_to_middle(self, drawing: Drawing) -> None:
        """Bring the middle slice on screen, and these boxes with it."""
        if self._loaded is not None:
            self._drawing = drawing
            self.go_to_slice(self._loaded.volume.voxels.shape[0] // 2)
            self._redraw()

    def go_to_slice(self, slice_index: int) -> None:
        """Bring a slice on screen, or the last one on that side where the series has none of this index."""
        if self._loaded is not None:
            geometry = self._loaded.volume.geometry
            inside = min(max(slice_index, 0), geometry.shape[0] - 1)
            # In mm: napari's steps are those of the finest layer, which may be one that the reader drew.
            self._viewer.dims.set_point(0, inside * geometry.spacing_mm[0])

    def show_place(self, voxel: tuple[int, int, int]) -> None:
        """Bring a voxel (z, y, x) on screen: its slice, and the part of that where it is outside; the zoom stays."""
        if self._loaded is None:
            return
        z, y, x = voxel
        self.go_to_slice(z)
        geometry = self._loaded.volume.geometry
        left, top, right, bottom = picture_of(self._viewer, self.layers, geometry).field
        if not (left <= x and x + 1 <= right and top <= y and y + 1 <= bottom):
            _, sy, sx = geometry.spacing_mm
            self._viewer.scene.camera.center = (0.0, y * sy, x * sx)

    def set_window(self, window: Window) -> None:
        """Choose a window by hand; it sticks until it is made automatic again."""
        self._choice.by_hand()
        self.layers.set_window(window)

    def automatic_window(self, box: Box3D | None) -> None:
        """Let the region of a box choose the window again, or that of the whole series."""
        self._choice.reset()
        if self._loaded is not None:
            region = preset_for(self._loaded.volume.voxels, box) if box else None
            arrival = self._choice.on_arrival(region) if region else self._loaded.window
            self.layers.set_window(arrival or self._loaded.window)

    def automatic_zoom(self) -> None:
        """Let every lesion come on screen large enough to judge again, whatever zoom was chosen by hand."""
        self._zoom.automatic()

    def note(self, text: str) -> None:
        """Say something over the picture for a while; an empty text ends it."""
        self.texts.set(NOTE, "\n".join(wrap(text, NOTE_LETTERS)))
        self._note_ends.start()

    def close(self) -> None:
        """Draw and read nothing any more, and leave the canvas and the mouse to napari."""
        self._is_closed = True
        self._redraw_later.stop()
        self._note_ends.stop()
        self.foreign.close()
        self._images.close(finish=False)
        self._viewer.dims.events.current_step.disconnect(self._on_slice)
        self._viewer.scene.camera.events.zoom.disconnect(self._on_zoom)
        self._mouse.close()
        self.texts.close()
        self.layers.close()

    def _load_wanted(self, generation: int, series_id: int, version: str | None) -> LoadedSeries | None:
        # Runs in the lane: a reader who has moved on does not wait for scans in between.
        return self._load(series_id, version) if generation == self._generation else None

    def _on_loaded(self, generation: int, loaded: LoadedSeries | None) -> None:
        if generation != self._generation or loaded is None:
            return
        self._wanted = None
        window = self.window if self._choice.is_manual else loaded.window
        self._choice.on_series()
        self._loaded, self._drawing = loaded, None
        is_first = self.layers.image is None
        with self._zoom.on_series():
            self.layers.show_volume(loaded.volume, loaded.record.name, window)
        if is_first:
            self.layers.image.events.contrast_limits.connect(self._on_window)
        self._mouse.read_again()
        self._show_window()
        self._show_label(loaded)
        self.arrived.emit(loaded)

    def _on_load_failed(self, generation: int, error: Exception) -> None:
        if generation == self._generation:
            self._wanted = None
            self.failed.emit(error)

    def _scroll(self, slices: int) -> None:
        shown = self.slice_on_screen
        if shown is not None:
            self.go_to_slice(shown[0] + slices)

    @contextmanager
    def _drawn_once(self) -> Iterator[None]:
        """Draw what is changed inside at its end, and not at each change."""
        self._is_moving = True
        try:
            yield
        finally:
            self._is_moving = False
        self._redraw_later.stop()
        self._redraw()

    def _on_slice(self, _event: object) -> None:
        if not self._is_moving:
            self._redraw()

    def _on_zoom(self, _event: object) -> None:
        if not self._is_closed:
            self._redraw_later.start()

    def _redraw(self) -> None:
        drawing = self.drawing
        if self._loaded is None or drawing is None or self._is_closed:
            return
        slice_index = slice_on_screen(self._viewer, self._loaded.volume.geometry)
        rectangles = resolve(drawing.table, drawing.shown, slice_index, drawing.states, drawing.changed)
        if drawing.compared is not None and not drawing.shown.everything_hidden:
            rectangles = drawing.compared.marked(rectangles, slice_index)
        self.layers.draw(rectangles, slice_index, float(self._viewer.scene.camera.zoom))
        count = self._loaded.volume.voxels.shape[0]
        self.texts.set("bottom_right", f"slice {slice_index + 1} / {count}")
        self.drawn.emit(slice_index)

    def _show_label(self, loaded: LoadedSeries) -> None:
        record = loaded.record
        lines = [f"patient {record.patient_code}", record.name, record.description]
        self.texts.set("top_left", "\n".join(text for text in lines if text))
        # The empty last line keeps it above the letter and the slice number where the window is small.
        below = filter(None, (self._reminder, self._notice, NOT_FOR_DIAGNOSIS))
        self.texts.set("bottom_left", "\n".join([*below, " "]))

    def _on_window(self, _event: object) -> None:
        self._show_window()
        self.window_changed.emit(self.window)

    def _show_window(self) -> None:
        value = f"\n{self._hu} HU" if self._hu is not None else ""
        self.texts.set("top_right", f"{self.window}{value}")

    def _show_hu(self, position_mm: tuple[float, ...] | None) -> None:
        self._hu = None
        if self._loaded is not None and position_mm is not None:
            self._hu = hu_at(self._loaded.volume, position_mm)
        self._show_window()
