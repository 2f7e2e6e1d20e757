"""Keeps the picture of a review what its letters and numbers say, whatever key, button or menu of napari is used.

It holds values, not keys: a value that napari changes is put back at once, so that nothing depends on which of napari's
many ways led there. What is held, and why, is the tables below; everything that is not in them does no harm to what a
verdict is about (reset view, zoom, scale bar, playing through the slices, window and colours of the CT, names, which
boxes are shown, layers that a reader draws himself).
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal

TURNED = "The scan stays axial and upright, as A, P, R and L say: turning, mirroring and 3D are off in the review."
ONE_SLICE = "The picture is the one slice of its number: thicker slices and tiles side by side are off in the review."
MOVED = "The scan and its boxes stay where they are: moving, turning and stretching are off in the review."
GREYS = "The greys are those of the window in the corner: fading and gamma are off in the review."
HIDDEN = "The scan stays visible in the review; H and the legend hide boxes."
REMOVED = "The review needs its layers in their order: they were put back."

NAPARI_ACTIONS_OFF = {
    "napari:toggle_ndisplay": "3D",
    "napari:transpose_axes": "transpose",
    "napari:roll_axes": "another plane",
    "napari:rotate_layers": "turn",
    "napari:toggle_grid": "tiles",
    "napari:activate_image_transform_mode": "move the scan",
    "napari:activate_shapes_transform_mode": "move boxes",
    "napari:delete_selected_layers": "remove layers",
    "napari:delete_selected_shapes": "remove boxes",
}
"""The actions of napari that change nothing but what is held, by their name in napari's settings, in words."""

HELD_OF_LAYER = {
    "translate": MOVED,
    "rotate": MOVED,
    "shear": MOVED,
    "affine": MOVED,
    "units": MOVED,
    "mode": MOVED,
    "projection_mode": ONE_SLICE,
    "editable": "",
    "locked": "",
}
"""Values of a layer of the review, and why they stay; it is not said where nobody can have meant the change."""
HELD_OF_SCAN = {
    "visible": HIDDEN,
    "opacity": GREYS,
    "blending": GREYS,
    "gamma": GREYS,
}
"""Values of the scan besides; boxes may be hidden and styled."""

LEFT_BEHIND = "lens_left_behind"
"""Name in the metadata of a layer that a review has left in its viewer."""

Wanted = Callable[[], Any]
Seen = tuple[tuple[float, ...], tuple[float, ...], float]
"""The point of the slices, the middle of what is seen of the slice, and the zoom."""


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """One value of one object of napari.

    Attributes
    ----------
    name
        Of the value, and of the event that tells of a change.
    wanted
        Returns what it has to be now.
    why
        Said when it was put back; empty where nobody can have meant it.
    """

    owner: Any
    name: str
    wanted: Wanted
    why: str

    @property
    def is_kept(self) -> bool:
        return _same(getattr(self.owner, self.name), self.wanted())

    def put_back(self) -> None:
        setattr(self.owner, self.name, self.wanted())


class PictureGuard(QObject):  # type: ignore[misc]  # qtpy carries no types
    """Holds what the picture of one napari viewer shows, until it is released.

    Layers that were in the viewer before are set aside and come back on release, but those that another review left.

    Parameters
    ----------
    viewer
        The napari viewer.
    spacing_mm
        Returns the size of a voxel (z, y, x) of the series on screen.
    """

    refused = Signal(str)
    """One sentence that says what was put back, and why."""

    def __init__(self, viewer: Any, spacing_mm: Callable[[], tuple[float, ...]]) -> None:
        super().__init__()
        self._viewer = viewer
        self._spacing_mm = spacing_mm
        self._layers: list[Any] = []
        self._connected: list[tuple[Any, Callable[..., None]]] = []
        self._aside = [layer for layer in viewer.layers if LEFT_BEHIND not in layer.metadata]
        viewer.layers.clear()
        held_of_viewer = self._held_of_viewer()
        self._before = [(held, getattr(held.owner, held.name)) for held in held_of_viewer if not held.is_kept]
        self._turning = [held for held in held_of_viewer if held.owner is viewer.dims and held.why == TURNED]
        self._is_turned = False
        for held in held_of_viewer:
            held.put_back()
            self._connect(held)
        self._seen = self._seen_now()
        camera, dims = viewer.scene.camera.events, viewer.dims.events
        for moved in (camera.center, camera.zoom, dims.current_step):
            self._listen(moved, self._remember_seen)
        self._look_later = QTimer(self)
        self._look_later.setSingleShot(True)
        self._look_later.timeout.connect(self._put_list_right)
        for change in ("inserted", "removed", "reordered"):  # napari is not done with its list when it tells of these
            self._listen(viewer.layers.events[change], lambda _: self._look_later.start())

    def protect(self, layer: Any) -> None:
        """Hold a layer of the review as it is now; called in the order of the layers, bottom first."""
        layer.editable = False
        layer.locked = True
        self._layers.append(layer)
        for held in self._held_of_layer(layer):
            self._connect(held)
        selected = getattr(layer, "selected_data", None)
        if selected is not None:  # what is not selected cannot be deleted, copied or brought to the front
            self._listen(selected.events.items_changed, lambda *_: selected.clear() if selected else None)

    def release(self) -> None:
        """Leave the viewer to its user: as it was before, with the layers of the review as ordinary ones."""
        self._look_later.stop()
        for emitter, callback in self._connected:
            emitter.disconnect(callback)
        self._connected.clear()
        for layer in self._layers:
            layer.locked = False
            layer.editable = True
            layer.metadata[LEFT_BEHIND] = True
        for held, value in self._before:
            setattr(held.owner, held.name, value)
        self._viewer.layers.extend(self._aside)

    def _held_of_viewer(self) -> list[_Held]:
        dims, camera = self._viewer.dims, self._viewer.scene.camera
        return [
            _Held(dims, "ndisplay", lambda: 2, TURNED),
            _Held(dims, "order", lambda: tuple(range(dims.ndim)), TURNED),
            _Held(camera, "orientation", lambda: (camera.orientation[0], "down", "right"), TURNED),
            _Held(dims, "margin_left", lambda: (0.0,) * dims.ndim, ONE_SLICE),
            _Held(dims, "margin_right", lambda: (0.0,) * dims.ndim, ONE_SLICE),
            _Held(self._viewer.canvas.grid, "enabled", lambda: False, ONE_SLICE),
        ]

    def _held_of_layer(self, layer: Any) -> list[_Held]:
        constant = HELD_OF_LAYER | (HELD_OF_SCAN if isinstance(layer, Image) else {})
        held = [_constant(layer, name, why) for name, why in constant.items()]
        return [*held, _Held(layer, "scale", self._spacing_mm, MOVED)]

    def _connect(self, held: _Held) -> None:
        def keep(_event: object = None) -> None:
            if held in self._turning:
                self._turn_back(held)
            elif not held.is_kept:
                held.put_back()
                self._say(held.why)

        self._listen(getattr(held.owner.events, held.name), keep)

    def _listen(self, emitter: Any, callback: Callable[..., None]) -> None:
        emitter.connect(callback)
        self._connected.append((emitter, callback))

    def _seen_now(self) -> Seen:
        camera = self._viewer.scene.camera
        return self._viewer.dims.point, camera.center, camera.zoom

    def _remember_seen(self, _event: object) -> None:
        """Remember slice and part of it, unless napari moves them because something is wrong that is put right."""
        is_right = not self._is_turned and all(held.is_kept for held in self._turning)
        if is_right and self._ours_in_list() == self._layers:
            self._seen = self._seen_now()

    def _see_again(self, seen: Seen) -> None:
        camera = self._viewer.scene.camera
        self._viewer.dims.point, camera.center, camera.zoom = seen

    def _turn_back(self, held: _Held) -> None:
        """Put a turned picture back; napari shows the whole slice each way, and the part that was seen comes back."""
        if not held.is_kept:
            self._is_turned = True
            held.put_back()
            self._say(held.why)
        elif self._is_turned:
            self._see_again(self._seen)
            self._is_turned = False

    def _ours_in_list(self) -> list[Any]:
        return [layer for layer in self._viewer.layers if layer in self._layers]

    def _put_list_right(self) -> None:
        """Put the layers of the review back, in their order, below whatever else there is."""
        layers, ours = self._viewer.layers, self._layers
        if self._ours_in_list() == ours:
            return
        seen = self._seen  # before napari moves it once more
        for place, layer in enumerate(ours):
            if layer not in layers:
                layers.insert(place, layer)
            elif layers.index(layer) != place:
                layers.move(layers.index(layer), place)
        layers.selection.active = ours[0]
        self._see_again(seen)
        self._say(REMOVED)

    def _say(self, why: str) -> None:
        if why:
            self.refused.emit(why)


def _constant(layer: Any, name: str, why: str) -> _Held:
    value = deepcopy(_matrix(getattr(layer, name)))
    return _Held(layer, name, lambda: deepcopy(value), why)


def _same(one: Any, other: Any) -> bool:
    one = _matrix(one)
    return bool(np.array_equal(one, other)) if isinstance(one, np.ndarray) else bool(one == other)


def _matrix(value: Any) -> Any:
    """Return a transform as its matrix, and any other value as it is."""
    return getattr(value, "affine_matrix", value)
