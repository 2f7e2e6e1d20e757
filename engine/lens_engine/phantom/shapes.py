"""Smooth analytic bodies, as signed distances in millimetres, and the canvas they are painted on.

A distance is negative inside. Bodies are evaluated only inside their bounds and on open axes, so that numpy broadcasts
instead of building coordinate grids. Points are (x, y, z) of the body frame: x to the patient's left, y to the back,
z to the feet; arrays are `[z, y, x]`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Point = tuple[float, float, float]
Bounds = tuple[Point, Point]
"""Lowest and highest corner."""

EVERYWHERE: Bounds = ((-1e6, -1e6, -1e6), (1e6, 1e6, 1e6))
EDGE_MARGIN_MM = 3.0
"""How far beyond its bounds a body is evaluated, so that its soft edge is complete."""


class Shape(Protocol):
    """A body with a border."""

    @property
    def bounds(self) -> Bounds:
        """The lowest and the highest corner of a box that contains the body."""

    def distance(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Return the signed distance to the border in mm at the points that the broadcast axes span."""


@dataclass(frozen=True, slots=True)
class Ripple:
    """A smooth irregularity: a sum of products of sines.

    Attributes
    ----------
    waves
        Each (fx, fy, fz, px, py, pz): frequencies in radians per mm and phases.
    amplitude_mm
        Height of the irregularity; the root mean square of `height` is about half of it.
    """

    waves: tuple[tuple[float, float, float, float, float, float], ...]
    amplitude_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator, amplitude_mm: float, wavelength_mm: float, count: int = 4) -> "Ripple":
        """Draw `count` waves around one wavelength."""
        frequencies = 2 * np.pi / (wavelength_mm * rng.uniform(0.7, 1.6, (count, 3)))
        phases = rng.uniform(0, 2 * np.pi, (count, 3))
        rows = np.concatenate([frequencies, phases], axis=1)
        return cls(tuple(tuple(float(value) for value in row) for row in rows), amplitude_mm)  # type: ignore[misc] # six each

    def height(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Return the outward displacement in mm."""
        total: FloatArray | None = None
        for fx, fy, fz, px, py, pz in self.waves:
            wave = (np.sin(fz * z + pz) * np.sin(fy * y + py)) * np.sin(fx * x + px)
            total = wave if total is None else total + wave
        if total is None:
            return np.zeros(1, dtype=np.float32)
        return total * np.float32(self.amplitude_mm * 1.5 / len(self.waves) ** 0.5)


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """An ellipsoid, turned in plane, optionally with an irregular surface."""

    centre: Point
    radii: Point
    turn_degrees: float = 0.0
    ripple: Ripple | None = None

    @property
    def bounds(self) -> Bounds:
        """The lowest and the highest corner of a box that contains the body."""
        reach = max(self.radii[0], self.radii[1]) if self.turn_degrees else 0.0
        margin = 1.2 * self.ripple.amplitude_mm if self.ripple else 0.0
        radii = (max(self.radii[0], reach) + margin, max(self.radii[1], reach) + margin, self.radii[2] + margin)
        return _box(self.centre, radii)

    def distance(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Return the distance, exact to first order at the surface."""
        dx, dy, dz = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        rx, ry, rz = (np.float32(radius) for radius in self.radii)
        if self.turn_degrees:
            angle = np.radians(self.turn_degrees)
            cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
            u, v = cos * dx + sin * dy, cos * dy - sin * dx
        else:
            u, v = dx, dy
        inside = np.sqrt((u / rx) ** 2 + (v / ry) ** 2 + (dz / rz) ** 2)
        slope = np.sqrt((u / rx**2) ** 2 + (v / ry**2) ** 2 + (dz / rz**2) ** 2)
        result: FloatArray = inside * (inside - 1) / np.maximum(slope, np.float32(1e-6))
        # At the very centre both factors vanish; the depth there is the smallest radius.
        result = np.where(slope < 1e-5, -min(self.radii), result).astype(np.float32)
        return result - self.ripple.height(dx, dy, dz) if self.ripple else result


@dataclass(frozen=True, slots=True)
class Capsule:
    """A straight piece of a tube with round ends; the radius changes linearly."""

    start: Point
    end: Point
    start_radius: float
    end_radius: float

    @property
    def bounds(self) -> Bounds:
        """The lowest and the highest corner of a box that contains the body."""
        radius = max(self.start_radius, self.end_radius)
        low = tuple(min(a, b) - radius for a, b in zip(self.start, self.end, strict=True))
        high = tuple(max(a, b) + radius for a, b in zip(self.start, self.end, strict=True))
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def distance(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Return the distance; exact where the radius is constant."""
        bx, by, bz = (b - a for a, b in zip(self.start, self.end, strict=True))
        length2 = max(bx * bx + by * by + bz * bz, 1e-6)
        dx, dy, dz = x - self.start[0], y - self.start[1], z - self.start[2]
        along = dx * bx + dy * by + dz * bz
        share = np.clip(along / length2, 0, 1)
        squared = dx * dx + dy * dy + dz * dz - share * (2 * along - share * length2)
        radius = self.start_radius + share * (self.end_radius - self.start_radius)
        return np.asarray(np.sqrt(np.maximum(squared, 0)) - radius, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Tube:
    """A chain of capsules through `points`."""

    points: tuple[Point, ...]
    radii: tuple[float, ...]

    @property
    def capsules(self) -> tuple[Capsule, ...]:
        """The pieces, to be painted one by one on their own small bounds."""
        return tuple(
            Capsule(self.points[i], self.points[i + 1], self.radii[i], self.radii[i + 1])
            for i in range(len(self.points) - 1)
        )

    @property
    def bounds(self) -> Bounds:
        """The lowest and the highest corner of a box that contains the body."""
        radius = max(self.radii)
        low, high = np.min(self.points, axis=0) - radius, np.max(self.points, axis=0) + radius
        return (float(low[0]), float(low[1]), float(low[2])), (float(high[0]), float(high[1]), float(high[2]))

    def distance(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Return the distance to the nearest piece."""
        pieces = [capsule.distance(x, y, z) for capsule in self.capsules]
        return np.asarray(np.minimum.reduce(pieces), dtype=np.float32)

    def thinned(self, wall_mm: float) -> "Tube":
        """Return the tube without its wall."""
        return Tube(self.points, tuple(max(radius - wall_mm, 0.2) for radius in self.radii))


@dataclass(frozen=True, slots=True)
class Shell:
    """A column along z with a superelliptic cross-section whose width follows `knots`.

    Attributes
    ----------
    knots
        (z, half width) in mm; linear between, constant outside.
    aspect
        Half width over half depth.
    """

    knots: tuple[tuple[float, float], ...]
    aspect: float
    exponent: float
    centre_y: float = 0.0

    @property
    def bounds(self) -> Bounds:
        """The lowest and the highest corner of a box that contains the body."""
        width = max(width for _, width in self.knots)
        depth = width / self.aspect
        return (-width, self.centre_y - depth, -1e6), (width, self.centre_y + depth, 1e6)

    def half_width(self, z: FloatArray) -> FloatArray:
        """Return the half width at the levels `z`."""
        levels, widths = zip(*self.knots, strict=True)
        return np.asarray(np.interp(z, levels, widths), dtype=np.float32)

    def distance(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Return the distance, exact at the sides and a little too large in front and behind."""
        n = np.float32(self.exponent)
        across, deep = np.abs(x), np.abs(y - np.float32(self.centre_y)) * np.float32(self.aspect)
        return np.asarray((across**n + deep**n) ** (1 / n) - self.half_width(z), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Overlay:
    """The part that all `parts` share, less the `holes`, each grown by `gap_mm`."""

    parts: tuple[Shape, ...]
    holes: tuple[Shape, ...] = ()
    gap_mm: float = 3.0
    limits: Bounds = EVERYWHERE

    @property
    def bounds(self) -> Bounds:
        """The lowest and the highest corner of a box that contains the body."""
        lows, highs = zip(self.limits, *(part.bounds for part in self.parts), strict=True)
        low, high = np.max(lows, axis=0), np.min(highs, axis=0)
        return (float(low[0]), float(low[1]), float(low[2])), (float(high[0]), float(high[1]), float(high[2]))

    def distance(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Return a lower bound of the distance, exact on smooth borders."""
        result = self.parts[0].distance(x, y, z)
        for part in self.parts[1:]:
            result = np.maximum(result, part.distance(x, y, z))
        for hole in self.holes:
            result = np.maximum(result, np.float32(self.gap_mm) - hole.distance(x, y, z))
        return result


@dataclass(frozen=True, slots=True)
class Union:
    """Several bodies grown together, with a fillet of about `blend_mm`."""

    parts: tuple[Shape, ...]
    blend_mm: float = 8.0

    @property
    def bounds(self) -> Bounds:
        """The lowest and the highest corner of a box that contains the body."""
        lows, highs = zip(*(part.bounds for part in self.parts), strict=True)
        low, high = np.min(lows, axis=0) - self.blend_mm / 4, np.max(highs, axis=0) + self.blend_mm / 4
        return (float(low[0]), float(low[1]), float(low[2])), (float(high[0]), float(high[1]), float(high[2]))

    def distance(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Return the polynomial smooth minimum of the distances."""
        result = self.parts[0].distance(x, y, z)
        for part in self.parts[1:]:
            other = part.distance(x, y, z)
            near = np.maximum(self.blend_mm - np.abs(result - other), 0) / self.blend_mm
            result = np.minimum(result, other) - near * near * np.float32(self.blend_mm / 4)
        return np.asarray(result, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Grown:
    """A body with its border moved outwards by `by_mm` (inwards where negative)."""

    body: Shape
    by_mm: float

    @property
    def bounds(self) -> Bounds:
        """The lowest and the highest corner of a box that contains the body."""
        low, high = self.body.bounds
        by = self.by_mm
        return (low[0] - by, low[1] - by, low[2] - by), (high[0] + by, high[1] + by, high[2] + by)

    def distance(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Return the shifted distance."""
        return self.body.distance(x, y, z) - np.float32(self.by_mm)


def depth_at(shape: Shape, point: Point) -> float:
    """Return how deep `point` lies inside `shape`, in mm; negative outside."""
    x, y, z = (np.full((1, 1, 1), value, dtype=np.float32) for value in point)
    return -float(shape.distance(x, y, z).ravel()[0])


class Canvas:
    """Hounsfield units on a regular grid, painted body over body.

    Attributes
    ----------
    hu
        float32 `[z, y, x]`, filled with air at first.
    edge_mm
        Width of the soft edge with which a body is painted: about a pixel, the partial volume in plane.
    """

    def __init__(self, x_mm: FloatArray, y_mm: FloatArray, z_mm: FloatArray) -> None:
        self.x_mm, self.y_mm, self.z_mm = x_mm, y_mm, z_mm
        self.edge_mm = float(abs(x_mm[1] - x_mm[0])) * 1.1
        self.slice_mm = float(abs(z_mm[1] - z_mm[0]))
        self.hu = np.full((len(z_mm), len(y_mm), len(x_mm)), -1000, dtype=np.float32)

    def window(self, bounds: Bounds) -> tuple[slice, slice, slice] | None:
        """Return the index ranges (z, y, x) that `bounds` covers, or None where it misses the grid."""
        ranges = []
        for axis, values in ((2, self.z_mm), (1, self.y_mm), (0, self.x_mm)):
            margin = EDGE_MARGIN_MM + (self.slice_mm / 2 if axis == 2 else 0)
            first = int(np.searchsorted(values, bounds[0][axis] - margin))
            last = int(np.searchsorted(values, bounds[1][axis] + margin))
            if first >= last:
                return None
            ranges.append(slice(first, last))
        return ranges[0], ranges[1], ranges[2]

    def axes(self, window: tuple[slice, slice, slice], sublevels: int = 1) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return open axes x, y, z of a window; z repeated at `sublevels` heights inside each slice."""
        levels = self.z_mm[window[0]]
        if sublevels > 1:
            steps = np.asarray((np.arange(sublevels) + 0.5) / sublevels - 0.5, dtype=np.float32)
            levels = np.ravel(levels[:, None] + steps * np.float32(self.slice_mm))
        return self.x_mm[window[2]][None, None, :], self.y_mm[window[1]][None, :, None], levels[:, None, None]

    def fill(self, shape: Shape, sublevels: int = 1) -> tuple[tuple[slice, slice, slice], FloatArray] | None:
        """Return the window of a body and how much of each voxel the body fills, or None outside the grid."""
        window = self.window(shape.bounds)
        if window is None:
            return None
        distance = shape.distance(*self.axes(window, sublevels))
        share = np.clip(0.5 - distance / np.float32(self.edge_mm), 0, 1)
        size = tuple(part.stop - part.start for part in window)
        if sublevels > 1:
            share = np.broadcast_to(share, (size[0] * sublevels, size[1], size[2]))
            share = share.reshape(size[0], sublevels, size[1], size[2]).mean(axis=1)
        return window, np.broadcast_to(share, size)

    def paint(self, shape: Shape, hu: float | FloatArray, sublevels: int = 1) -> None:
        """Cover what is there by a body of `hu`, mixed in proportion at its border."""
        filled = self.fill(shape, sublevels)
        if filled is not None:
            window, share = filled
            patch = self.hu[window]
            patch += share * (np.asarray(hu, dtype=np.float32) - patch)

    def paint_tube(self, tube: Tube, hu: float, sublevels: int = 1) -> None:
        """Paint a tube piece by piece."""
        for capsule in tube.capsules:
            self.paint(capsule, hu, sublevels)

    def paint_all(self, shapes: Sequence[Shape], hu: float, sublevels: int = 1) -> None:
        """Paint many bodies of one tissue."""
        for shape in shapes:
            self.paint(shape, hu, sublevels)


def _box(centre: Point, radii: Point) -> Bounds:
    (x, y, z), (rx, ry, rz) = centre, radii
    return (x - rx, y - ry, z - rz), (x + rx, y + ry, z + rz)
