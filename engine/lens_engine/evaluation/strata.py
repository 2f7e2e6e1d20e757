"""Sensitivity for one kind of lesion at a time: by type, by organ and by size (algorithms 10, R7 and R13).

A false positive has no type, so all strata share those of the whole: each is read at the score thresholds at which all
lesions together give 1/8 to 8 false positives per volume. A hit on a lesion of another stratum counts neither way.
"""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise

import numpy as np

from lens_engine.errors import BoxError
from lens_engine.evaluation.froc import Matches

SIZE_EDGES_MM = (10.0, 15.0, 20.0, 30.0, 50.0)
"""Limits of the size classes; below 10 mm is the hard class, 15 to 20 and from 50 mm on the easy ones.

See algorithms R13, D-4.
"""

NOT_STATED = "not stated"
"""Stratum of the lesions of which nothing is known, so that the strata add up to the whole."""


class Dimension(StrEnum):
    """What lesions are told apart by."""

    TYPE = "type"
    ORGAN = "organ"
    SIZE = "size"
    """Mean of the long and the short diameter."""


def by_stratum(matches: Matches, names: Sequence[str | None], order: Sequence[str] = ()) -> dict[str, Matches]:
    """Return the matches of the lesions of each stratum.

    Parameters
    ----------
    names
        The stratum of each lesion, volume after volume as in `matches.found_by`; None for unknown.
    order
        Strata that come first, in this order; the others follow by the alphabet, `NOT_STATED` last.

    Raises
    ------
    BoxError
        If there is not one name for each lesion.
    """
    if len(names) != len(matches.found_by):
        raise BoxError(
            f"{len(names)} strata are named for {len(matches.found_by)} lesions",
            "One name (or None) for each lesion is needed",
            "Name them in the order of the truth",
        )
    stated = np.asarray([NOT_STATED if name is None else name for name in names], dtype=np.str_)
    there = set(stated.tolist())
    others = sorted(there - set(order) - {NOT_STATED})
    listed = [name for name in (*order, *others, NOT_STATED) if name in there]
    return {name: matches.of_lesions(stated == name) for name in listed}


def size_class(diameter_mm: float | None, edges_mm: Sequence[float] = SIZE_EDGES_MM) -> str | None:
    """Return the name of the class a lesion of this mean diameter belongs to; None for an unknown one.

    Raises
    ------
    BoxError
        If the diameter is not a number of at least 0.
    """
    if diameter_mm is None:
        return None
    if not diameter_mm >= 0:
        raise BoxError(f"A lesion has a diameter of {diameter_mm} mm", "At least 0 is needed", "Leave it out as None")
    return size_classes(edges_mm)[int(np.searchsorted(edges_mm, diameter_mm, side="right"))]


def size_classes(edges_mm: Sequence[float] = SIZE_EDGES_MM) -> tuple[str, ...]:
    """Return the names of all size classes, ascending; each holds its lower limit and not its upper one."""
    inner = [f"{low:g} to {high:g} mm" for low, high in pairwise(edges_mm)]
    return (f"< {edges_mm[0]:g} mm", *inner, f"≥ {edges_mm[-1]:g} mm")
