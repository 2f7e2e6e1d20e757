"""Pictures that somebody puts into the window of a review: they would lie over a patient under the patient's name."""

from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from lens_napari.viewer.layers import SeriesLayers
from lens_napari.viewer.sight import is_foreign


class ForeignLayers(QObject):  # type: ignore[misc]  # qtpy carries no types
    """Takes pictures of others out again, with all layers that came with them.

    What a reader draws or measures in a layer of his own stays: it comes without a picture.

    Parameters
    ----------
    viewer
        The napari viewer.
    layers
        Ours.
    """

    refused = Signal(str)
    """The names of what was taken out again."""

    def __init__(self, viewer: Any, layers: SeriesLayers) -> None:
        super().__init__()
        self._viewer = viewer
        self._layers = layers
        self._came: list[Any] = []
        self._seen: tuple[tuple[float, ...], tuple[float, ...], float] = ((), (), 1.0)
        # napari is still busy with a layer while it tells of it; layers that come together are told of in one turn.
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._judge)
        viewer.layers.events.inserting.connect(self._on_inserting)
        viewer.layers.events.inserted.connect(self._on_inserted)

    def close(self) -> None:
        """Refuse nothing any more."""
        self._later.stop()
        self._viewer.layers.events.inserting.disconnect(self._on_inserting)
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)

    def _on_inserting(self, _event: Any) -> None:
        if not self._came:
            camera = self._viewer.scene.camera
            self._seen = self._viewer.dims.point, camera.center, camera.zoom

    def _on_inserted(self, event: Any) -> None:
        self._came.append(event.value)
        self._later.start(0)

    def _judge(self) -> None:
        ours = (self._layers.image, *self._layers.boxes.values())
        came = [layer for layer in self._came if layer in self._viewer.layers and layer not in ours]
        self._came.clear()
        if any(is_foreign(layer, self._layers) for layer in came):
            for layer in came:
                self._viewer.layers.remove(layer)
            camera = self._viewer.scene.camera  # a larger picture moves the slice, further axes the camera
            self._viewer.dims.point, camera.center, camera.zoom = self._seen
            self._viewer.layers.selection.active = self._layers.image
            self.refused.emit(", ".join(f"“{layer.name}”" for layer in came))
