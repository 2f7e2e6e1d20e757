"""How large a lesion comes on screen: large enough to judge, with enough around it to know where it is."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lens_engine.findings import SliceBox
from lens_engine.geometry import VolumeGeometry
from lens_napari.viewer.voxel_frame import VOXEL_CENTRE

LEAST_FIELD_MM = 120.0
"""Least part of the slice that stays visible around a lesion: 5 mm are 1/24 of the shorter side of the picture."""
FIELD_OF_LESION = 8.0
"""How many times as large as the lesion the visible part is at least."""
LARGEST_SHARE = 0.6
"""Of the picture that a lesion takes at most at a zoom of the reader's."""
LEAST_PIXELS = 4.0
"""Of its longer side there, at least."""
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
        self._shown: float | None = None
        """The zoom that was chosen here last; any other that is found on screen is the reader's."""
        self._readers: float | None = None
        self._whole: tuple[object, float] | None = None
        """The zoom of a whole slice, with the scan and the size of the canvas for which it holds."""

    def automatic(self) -> None:
        """Choose the zoom again, whatever the reader has chosen."""
        self._shown = self._readers = None

    @contextmanager
    def on_series(self) -> Iterator[None]:
        """Show the whole slice of the series that is put on screen inside; a zoom of the reader's stays."""
        self._notice_readers()
        yield
        whole = self._show_whole()
        self._show(whole if self._readers is None else self._readers)

    def arrive(self, section: SliceBox, geometry: VolumeGeometry) -> None:
        """Bring a place of the slice on screen to the middle; the reader's zoom stays where the place fits in at it."""
        self._notice_readers()
        whole = self._whole_of(geometry)
        x1, y1, x2, y2 = section.box
        _, sy, sx = geometry.spacing_mm
        height_mm, width_mm = (y2 - y1) * sy, (x2 - x1) * sx
        lesion_mm = max(height_mm, width_mm)
        height, width = self._viewer.canvas.size
        automatic = max(whole, min(height, width) / max(LEAST_FIELD_MM, FIELD_OF_LESION * lesion_mm))
        largest = LARGEST_SHARE * min(height / height_mm, width / width_mm)
        readers = automatic if self._readers is None else self._readers
        zoom = readers if LEAST_PIXELS / lesion_mm <= readers <= largest else automatic
        if zoom > whole:
            self._camera.center = (0.0, ((y1 + y2) / 2 - VOXEL_CENTRE) * sy, ((x1 + x2) / 2 - VOXEL_CENTRE) * sx)
        else:
            self._show_whole()  # a whole slice stays in the middle
        self._show(zoom)

    def _notice_readers(self) -> None:
        zoom = float(self._camera.zoom)
        if self._shown is not None and not math.isclose(zoom, self._shown, rel_tol=SAME_ZOOM):
            self._readers = zoom

    def _whole_of(self, geometry: VolumeGeometry) -> float:
        """Return the zoom of a whole slice; each time the camera moves to find it out, everything is set anew."""
        key = geometry, tuple(self._viewer.canvas.size)
        if self._whole is None or self._whole[0] != key:
            self._whole = key, self._show_whole()
        return self._whole[1]

    def _show_whole(self) -> float:
        """Show the whole slice, and return its zoom."""
        self._viewer.reset_view(margin=MARGIN)
        return float(self._camera.zoom)

    def _show(self, zoom: float) -> None:
        self._camera.zoom = self._shown = zoom
