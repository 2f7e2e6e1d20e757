"""Branching trees, for the vessels of lung and liver."""

import numpy as np
from numpy.typing import NDArray

from lens_engine.phantom.shapes import Capsule, Point, Shape


def draw_points_inside(
    rng: np.random.Generator, body: Shape, count: int, depth_mm: float, span: tuple[float, float] | None = None
) -> list[Point]:
    """Draw up to `count` points at least `depth_mm` inside `body`, at levels z within `span` where it is given."""
    low, high = np.array(body.bounds[0]), np.array(body.bounds[1])
    if span is not None:
        low[2], high[2] = max(low[2], span[0]), min(high[2], span[1])
    if (low >= high).any():
        return []
    points = rng.uniform(low, high, (count * 12, 3)).astype(np.float32)
    inside = body.distance(points[:, 0], points[:, 1], points[:, 2]) < -depth_mm
    return [(float(x), float(y), float(z)) for x, y, z in points[inside][:count]]


def grow_tree(
    rng: np.random.Generator, root: Point, targets: list[Point], twig_radius: float, trunk_radius: float
) -> tuple[Capsule, ...]:
    """Return the pieces of a tree from `root` to every target, nearest targets first.

    Every target joins the nearest node of the tree that does not lie farther from the root than itself; radii follow
    the number of twigs that a piece feeds (Murray's law with exponent 2.5).
    """
    origin = np.asarray(root)
    order = sorted(targets, key=lambda point: float(np.sum((np.asarray(point) - origin) ** 2)))
    nodes, parents = [origin], [-1]
    for target in order:
        end = np.asarray(target)
        known = np.asarray(nodes)
        towards = np.linalg.norm(known - end, axis=1)
        from_root = np.linalg.norm(known - origin, axis=1)
        cost = towards + 0.25 * from_root
        parent = int(np.argmin(cost))
        middle = (known[parent] + end) / 2 + rng.normal(0, 0.06 * towards[parent] + 0.3, 3)
        nodes.append(middle)
        parents.append(parent)
        nodes.append(end)
        parents.append(len(nodes) - 2)
    twigs = np.zeros(len(nodes))
    has_child = set(parents)
    for index in range(len(nodes) - 1, 0, -1):
        if index not in has_child:
            twigs[index] += 1
        twigs[parents[index]] += twigs[index]
    radii = np.minimum(twig_radius * np.maximum(twigs, 1) ** 0.4, trunk_radius)
    return tuple(
        Capsule(
            _point(nodes[parents[i]]), _point(nodes[i]), float(min(radii[i] * 1.1, trunk_radius)), float(radii[i] * 0.9)
        )
        for i in range(1, len(nodes))
    )


def _point(values: NDArray[np.float64]) -> Point:
    return float(values[0]), float(values[1]), float(values[2])
