"""Lets what napari draws as a mesh keep its shader when its corners change.

vispy writes the shader of a mesh anew with each change, and the graphics driver compiles it again: without a graphics
card that takes several milliseconds for each group of boxes and each text.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def keep_shader_of_boxes(viewer: Any, layer: Any) -> None:
    """Let the rectangles of a Shapes layer keep their shader."""
    _keep_shader(_canvas(viewer).layer_to_visual[layer].node.shape_faces)


def keep_shader_of_text(viewer: Any, overlay: Any) -> None:
    """Let the background of a text on the canvas keep its shader; napari has none before the text is visible."""
    for visual in _canvas(viewer)._viewer_overlay_to_visual.get(overlay, ()):
        _keep_shader(visual.box.mesh)


def _canvas(viewer: Any) -> Any:
    return viewer.window._qt_viewer.canvas


def _keep_shader(mesh: Any) -> None:
    if "_build_color_transform" in vars(mesh):
        return
    build = mesh._build_color_transform
    kept: Any = None

    def build_once(colours: NDArray[np.float32]) -> Any:
        nonlocal kept
        if colours.ndim == 2 and colours.shape[1] == 1:  # values of a colour map, whose limits are in the shader
            return build(colours)
        if kept is None:
            kept = build(colours)
        return kept

    mesh._build_color_transform = build_once  # vispy takes another shader for a change of the same one
