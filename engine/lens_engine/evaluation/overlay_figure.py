"""Slices of a case with what was right, wrong and missed, as the papers show their detections.

Only matplotlib's objects are used, never pyplot, as in `lens_engine.evaluation.froc_figure`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from lens_engine.evaluation.froc_figure import BACKGROUND, GRID, TEXT
from lens_engine.evaluation.outcomes import CaseOutcomes, InstructivePlace, Outcome
from lens_engine.volume import Volume
from lens_engine.window_presets import Preset, preset_for

FIELD_MM = 140.0
"""Side of the square around a place that is shown; less where the place is near the border of the scan."""

COLUMNS = 3
PANEL_INCHES = 2.9


@dataclass(frozen=True, slots=True)
class _Style:
    """How boxes of one outcome are drawn; colours tell apart with red-green blindness, line styles repeat it."""

    name: str
    colour: str
    line: Literal["-", "--"]
    width: float


_FOUND = _Style("lesion, found", "#56B4E9", "--", 1.1)
_MISSED = _Style("lesion, missed", "#F0E442", "--", 1.8)
_RIGHT = _Style("true positive", "#2FBF8F", "-", 1.4)
_WRONG = _Style("false positive", "#E69F00", "-", 1.4)
_COLOUR_OF = {Outcome.HIT: _RIGHT.colour, Outcome.FALSE_POSITIVE: _WRONG.colour, Outcome.MISSED: _MISSED.colour}


def overlay_figure(
    volume: Volume,
    outcomes: CaseOutcomes,
    places: Sequence[InstructivePlace],
    window: Preset | None = None,
    title: str = "",
) -> Figure:
    """Draw one panel for each place: the middle slice of its box, with all boxes that lie on that slice.

    Parameters
    ----------
    volume
        The case.
    outcomes
        Every box of the case, so that neighbours are seen too.
    places
        What to show, such as `outcomes.instructive_places`; without any, one panel of the middle slice.
    window
        Grey-value window of all panels; chosen for each place by what surrounds it when None.

    Returns
    -------
    Figure
        Free of any canvas but matplotlib's own; `savefig` writes it.
    """
    columns = min(COLUMNS, max(1, len(places)))
    rows = max(1, math.ceil(len(places) / columns))
    drawing = Figure(
        figsize=(columns * PANEL_INCHES, rows * (PANEL_INCHES + 0.2) + 0.6), layout="constrained", facecolor=BACKGROUND
    )
    drawing.suptitle(title, color=TEXT, fontsize="medium")
    panels = drawing.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, place in zip(panels, places, strict=False):
        _draw_place(panel, volume, outcomes, place, window or preset_for(volume.voxels, _box(place)))
    if not places:
        _draw_slice(panels[0], volume, outcomes, volume.voxels.shape[0] // 2, window or Preset.SOFT_TISSUE)
    _add_legend(drawing)
    return drawing


def _draw_place(panel: Axes, volume: Volume, outcomes: CaseOutcomes, place: InstructivePlace, window: Preset) -> None:
    x1, y1, z1, x2, y2, z2 = place.box
    slices, height, width = volume.voxels.shape
    middle = int(np.clip(math.floor((z1 + z2) / 2), 0, slices - 1))
    _draw_slice(panel, volume, outcomes, middle, window)
    _, y_mm, x_mm = volume.geometry.spacing_mm
    # A lesion larger than the field is shown as a whole.
    side_x, side_y = max(FIELD_MM / x_mm, 1.2 * (x2 - x1)), max(FIELD_MM / y_mm, 1.2 * (y2 - y1))
    panel.set_xlim(*_span((x1 + x2) / 2, side_x, width))
    panel.set_ylim(*_span((y1 + y2) / 2, side_y, height)[::-1])
    score = "" if place.score is None else f" {place.score:.2f}"
    panel.set_title(
        f"{place.outcome.value}{score} · slice {volume.geometry.slice_number(middle)}",
        color=_COLOUR_OF[place.outcome],
        fontsize="small",
    )


def _draw_slice(panel: Axes, volume: Volume, outcomes: CaseOutcomes, slice_index: int, window: Preset) -> None:
    """Draw a slice in voxel edges, which is what boxes are in."""
    _, height, width = volume.voxels.shape
    _, y_mm, x_mm = volume.geometry.spacing_mm
    low, high = window.value.limits
    panel.imshow(
        volume.voxels[slice_index], cmap="gray", vmin=low, vmax=high, extent=(0, width, height, 0), aspect=y_mm / x_mm
    )
    for style, boxes in (
        (_FOUND, outcomes.found),
        (_MISSED, outcomes.missed),
        (_RIGHT, np.concatenate([outcomes.hits, outcomes.repeats])),
        (_WRONG, outcomes.false_positives),
    ):
        for box in _on_slice(boxes, slice_index):
            _draw_box(panel, box, style)


def _draw_box(panel: Axes, box: NDArray[np.float64], style: _Style) -> None:
    x1, y1, _, x2, y2, _ = box[:6]
    panel.add_patch(
        Rectangle(
            (x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=style.colour, linestyle=style.line, linewidth=style.width
        )
    )
    if len(box) == 7:
        score = panel.text(x2, y1, f"{box[6]:.2f}", color=style.colour, fontsize="x-small", va="bottom", clip_on=True)
        score.set_path_effects([withStroke(linewidth=2, foreground=BACKGROUND)])  # readable on bone and on air


def _on_slice(boxes: NDArray[np.float64], slice_index: int) -> NDArray[np.float64]:
    return boxes[(boxes[:, 2] <= slice_index + 0.5) & (slice_index + 0.5 < boxes[:, 5])]


def _span(centre: float, side: float, limit: int) -> tuple[float, float]:
    """Return where a stretch of `side` around `centre` begins and ends, moved inside [0, limit] where it fits."""
    if side >= limit:
        return 0.0, float(limit)
    start = min(max(centre - side / 2, 0.0), limit - side)
    return start, start + side


def _box(place: InstructivePlace) -> tuple[float, float, float, float, float, float]:
    x1, y1, z1, x2, y2, z2 = (float(value) for value in place.box)
    return x1, y1, z1, x2, y2, z2


def _add_legend(drawing: Figure) -> None:
    handles = [
        Line2D([], [], color=style.colour, linestyle=style.line, linewidth=style.width, label=style.name)
        for style in (_FOUND, _MISSED, _RIGHT, _WRONG)
    ]
    drawing.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles) if drawing.get_figwidth() > 2 * PANEL_INCHES - 1 else 2,
        fontsize="small",
        labelcolor=TEXT,
        facecolor=BACKGROUND,
        edgecolor=GRID,
    )
