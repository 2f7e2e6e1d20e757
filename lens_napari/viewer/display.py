"""What lies over the picture: letters, slice number, window and HU as text; window and level by dragging."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari.components.overlays import TextOverlay

from lens_engine.volume import Volume
from lens_engine.window_presets import Window
from lens_napari.viewer.steady_meshes import keep_shader_of_text

LETTERS = {"top_center": "A", "bottom_center": "P", "middle_left": "R", "middle_right": "L"}
"""Radiological convention of an axial slice: the patient's right is on the left of the screen."""
TEXTS = ("top_left", "top_right", "bottom_left", "bottom_right")
NOTE = "note"
"""Where something is said for a while."""
TEXT_COLOUR = "#D8DEE9"
BOX_COLOUR = (0.0, 0.0, 0.0, 0.55)
"""Lies behind every text, so that it can be read on bone too."""
LETTER_COLOUR = "#F0E442"
NOTICE_COLOUR = "#E6C15A"
RIGHT_BUTTON, LEFT_BUTTON = 2, 1


class PictureTexts:
    """Texts in the corners and letters at the edges of the canvas, as napari canvas overlays."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._overlays: dict[str, Any] = {}
        for position, letter in LETTERS.items():
            self._add(position, position, letter, LETTER_COLOUR, 14)
        for position in TEXTS:
            self._add(position, position, "", NOTICE_COLOUR if position == "bottom_left" else TEXT_COLOUR, 10)
        self._add(NOTE, "top_center", "", NOTICE_COLOUR, 10)  # napari puts it below the letter

    def set(self, position: str, text: str) -> None:
        """Write into one corner; nothing is drawn again when the text is the same."""
        overlay = self._overlays[position]
        if overlay.text != text:
            overlay.text = text
        if overlay.visible != bool(text):
            overlay.visible = bool(text)
            keep_shader_of_text(self._viewer, overlay)

    def text(self, position: str) -> str:
        """Return what stands at a position."""
        return str(self._overlays[position].text)

    def close(self) -> None:
        """Take all texts off the canvas."""
        for name in self._overlays:
            del self._viewer.canvas.overlays[f"lens_{name}"]

    def _add(self, name: str, position: str, text: str, colour: str, size: float) -> None:
        overlay = TextOverlay(text=text, position=position, color=colour, font_size=size, visible=bool(text), box=True)
        overlay.box_color = BOX_COLOUR
        self._viewer.canvas.overlays[f"lens_{name}"] = overlay
        self._overlays[name] = overlay
        keep_shader_of_text(self._viewer, overlay)


class MouseTools:
    """Wheel scrolls slices, Ctrl+wheel zooms, right-drag or Shift-drag changes the window, the pointer reads HU.

    Parameters
    ----------
    window
        Returns the window now.
    on_window
        Called with the window while dragging.
    on_scroll
        Called with the number of slices to go on, or back where it is negative.
    on_position
        Called with the world position (z, y, x) in mm under the pointer, or None where it is not on the canvas: when it
        moves, and when slice or camera change below it.
    """

    def __init__(
        self,
        viewer: Any,
        window: Callable[[], Window],
        on_window: Callable[[Window], None],
        on_scroll: Callable[[int], None],
        on_position: Callable[[tuple[float, ...] | None], None],
    ) -> None:
        self._viewer = viewer
        self._window = window
        self._on_window = on_window
        self._on_scroll = on_scroll
        self._on_position = on_position
        self._pointer: tuple[float, float] | None = None
        """Where the pointer is on the canvas, in pixels from its left and upper edge."""
        self._wheel_before = list(viewer.mouse_wheel_callbacks)
        self._mouse_zoom_before = viewer.scene.camera.mouse_zoom
        viewer.scene.camera.mouse_zoom = False  # else vispy zooms with the wheel and the right button as well
        viewer.mouse_drag_callbacks.append(self._drag)
        viewer.mouse_wheel_callbacks[:] = [self._wheel]  # with napari's own, Ctrl+wheel would scroll and zoom at once
        viewer.mouse_move_callbacks.append(self._move)
        for emitter in self._what_moves_the_picture():
            emitter.connect(self.read_again)
        viewer.events.mouse_over_canvas.connect(self._on_over_canvas)

    def read_again(self, _event: object = None) -> None:
        """Tell where the pointer is in the picture now: the picture has changed below it."""
        self._on_position(self._under_pointer())

    def close(self) -> None:
        """Give the mouse back to napari."""
        for emitter in self._what_moves_the_picture():
            emitter.disconnect(self.read_again)
        self._viewer.events.mouse_over_canvas.disconnect(self._on_over_canvas)
        self._viewer.mouse_drag_callbacks.remove(self._drag)
        self._viewer.mouse_move_callbacks.remove(self._move)
        self._viewer.mouse_wheel_callbacks[:] = self._wheel_before
        self._viewer.scene.camera.mouse_zoom = self._mouse_zoom_before

    def _what_moves_the_picture(self) -> tuple[Any, ...]:
        camera = self._viewer.scene.camera.events
        return self._viewer.dims.events.current_step, camera.center, camera.zoom

    def _under_pointer(self) -> tuple[float, ...] | None:
        if self._pointer is None:
            return None
        camera = self._viewer.scene.camera
        height, width = self._viewer.canvas.size
        right, down = self._pointer
        y = camera.center[-2] + (down - height / 2) / camera.zoom
        x = camera.center[-1] + (right - width / 2) / camera.zoom
        return float(self._viewer.dims.point[0]), float(y), float(x)

    def _drag(self, viewer: Any, event: Any) -> Iterator[None]:
        wanted = event.button == RIGHT_BUTTON or (event.button == LEFT_BUTTON and "Shift" in event.modifiers)
        if not wanted:
            return
        viewer.scene.camera.mouse_pan = False
        start, window = np.asarray(event.pos, dtype=float), self._window()
        yield
        while event.type == "mouse_move":
            right, down = np.asarray(event.pos, dtype=float) - start
            self._on_window(window.dragged(float(right), float(down)))
            event.handled = True
            yield
        viewer.scene.camera.mouse_pan = True

    def _wheel(self, viewer: Any, event: Any) -> None:
        steps = int(np.sign(event.delta[1]))
        if "Control" in event.modifiers:
            viewer.scene.camera.zoom *= 1.1**steps
        elif not event.modifiers:
            self._on_scroll(-steps)
        event.handled = True

    def _move(self, _viewer: Any, event: Any) -> None:
        self._pointer = (float(event.pos[0]), float(event.pos[1]))
        self.read_again()

    def _on_over_canvas(self, event: Any) -> None:
        if not event.value:
            self._pointer = None
            self.read_again()


def hu_at(volume: Volume, position_mm: tuple[float, ...]) -> int | None:
    """Return the HU of the voxel at a world position (z, y, x) in mm from the first voxel; None outside."""
    index = [round(value / step) for value, step in zip(position_mm, volume.geometry.spacing_mm, strict=True)]
    if any(not 0 <= i < size for i, size in zip(index, volume.voxels.shape, strict=True)):
        return None
    return int(volume.voxels[index[0], index[1], index[2]])
