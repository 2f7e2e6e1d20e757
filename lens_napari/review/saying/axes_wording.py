"""How the RECIST axes of a lesion are told: voxel edges in, millimetres and degrees out."""

from math import acos, degrees, hypot

from lens_engine.findings import RecistAxes, Segment2D

FROM_RIGHT_ANGLE = 10.0
"""Degrees by which two axes may miss the right angle without a word."""
NO_AXES = "This lesion has no axes. Nothing was changed."
AXES_REMOVED = "The axes were taken off the lesion."
Spacing = tuple[float, float]
"""Millimetres of a voxel (y, x)."""


def angle_degrees(axes: RecistAxes, spacing_mm: Spacing) -> float | None:
    """Return the angle between two axes, in [0, 90]; None of a single one."""
    if axes.short_axis is None:
        return None
    (ax, ay), (bx, by) = (_direction_mm(one, spacing_mm) for one in (axes.long_axis, axes.short_axis))
    cosine = abs(ax * bx + ay * by) / (hypot(ax, ay) * hypot(bx, by))
    return degrees(acos(min(1.0, cosine)))


def in_words(axes: RecistAxes, spacing_mm: Spacing) -> str:
    """Return the lengths of axes, for example `23 × 14 mm`."""
    segments = filter(None, (axes.long_axis, axes.short_axis))
    return " × ".join(f"{length_mm(one, spacing_mm):.0f}" for one in segments) + " mm"


def angle_words(axes: RecistAxes, spacing_mm: Spacing) -> str:
    """Return what is said of axes that are not roughly perpendicular; empty where they are."""
    angle = angle_degrees(axes, spacing_mm)
    if angle is None or 90 - angle <= FROM_RIGHT_ANGLE:
        return ""
    return f"They stand at {angle:.0f}°; RECIST 1.1 wants a right angle."


def drawn_words(axes: RecistAxes, spacing_mm: Spacing, *, is_said: bool) -> str:
    """Return what is said when a length has become an axis: `is_said` where the lesion was decided before."""
    mm = in_words(axes, spacing_mm)
    if axes.short_axis is None:
        end = "added to what was said of the lesion" if is_said else "it goes with your verdict"
        return f"Long axis {mm}: {end}. A second length on this slice becomes the short axis."
    end = "added to what was said of the lesion" if is_said else "they go with your verdict"
    return " ".join(filter(None, [f"Axes {mm}: {end}.", angle_words(axes, spacing_mm)]))


def card_words(axes: RecistAxes, spacing_mm: Spacing, reader: str) -> str:
    """Return axes as the card lists them; an unnamed reader is the one who reads, and has not said them yet."""
    by = f"drawn by {reader}" if reader else "not said yet"
    angle = f" at {angle_degrees(axes, spacing_mm):.0f}°" if angle_words(axes, spacing_mm) else ""
    return f"axes {in_words(axes, spacing_mm)}{angle}, {by} (slice {axes.slice_index + 1})"


def length_mm(segment: Segment2D, spacing_mm: Spacing) -> float:
    """Return the length of an axis."""
    return hypot(*_direction_mm(segment, spacing_mm))


def _direction_mm(segment: Segment2D, spacing_mm: Spacing) -> tuple[float, float]:
    x1, y1, x2, y2 = segment
    sy, sx = spacing_mm
    return (x2 - x1) * sx, (y2 - y1) * sy
