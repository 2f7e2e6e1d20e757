"""How large a lesion comes on screen: large enough to judge, with enough around it to know where it is."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LEAST_FIELD_MM = 120.0
"""Least part of the slice that stays visible around a lesion: 5 mm are 1/24 of the shorter side of the picture."""
FIELD_OF_LESION = 8.0
"""How many times as large as the lesion the visible part is at least."""
MARGIN = 0.01
"""Part of the canvas that stays free around a whole slice."""
SAME_ZOOM = 1e-3


class ArrivalZoom:
    """Chooses the zoom on arrival until the reader chooses one by hand, which then stays.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._camera = viewer.scene.camera
        self._ours: float | None = None
        """The zoom that was chosen here last; any other is the reader's. None makes the next one ours again."""

    def automatic(self) -> None:
        """Choose the zoom of the next lesion again."""
        self._ours = None

    @contextmanager
    def on_series(self) -> Iterator[None]:
        """Show the whole slice of the series that is put on screen inside; a zoom of the reader's stays."""
        readers = self._readers()
        yield
        self._viewer.reset_view(margin=MARGIN)
        self._set(readers, self._camera.zoom)

    def arrive(self, y_mm: float, x_mm: float, lesion_mm: float) -> None:
        """Bring a place to the middle; `lesion_mm` is the longer side of the lesion there."""
        readers = self._readers()
        self._viewer.reset_view(margin=MARGIN)
        whole = self._camera.zoom
        field_mm = max(LEAST_FIELD_MM, FIELD_OF_LESION * lesion_mm)
        self._set(readers, max(whole, min(self._viewer.canvas.size) / field_mm))
        if self._camera.zoom > whole:  # a whole slice stays in the middle
            self._camera.center = (0.0, y_mm, x_mm)

    def _readers(self) -> float | None:
        """Return the zoom that the reader has chosen; None where it is ours."""
        zoom = float(self._camera.zoom)
        return None if self._ours is None or math.isclose(zoom, self._ours, rel_tol=SAME_ZOOM) else zoom

    def _set(self, readers: float | None, ours: float) -> None:
        self._camera.zoom = ours if readers is None else readers
        if readers is None:
            self._ours = ours
