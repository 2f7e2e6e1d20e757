"""How alike two looks of a batch are, and the triplets that are drawn from it (algorithms 5.8)."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lens_training.lesion_embedding.looks import Look

ALIKE = 1.0
"""Looks that are alike by at least this are partners in a triplet, where there are any."""
SAME_TYPE, SAME_PLACE = 0.4, 0.4
"""How alike two lesions are that only share the type, or the place; both together are less than one lesion."""
REACH = 0.2
"""Normalised distance in the body from which places have nothing in common."""


def likeness_of_terms(terms: Tensor) -> Tensor:
    """Return how alike lesions are by their terms: the number that two share times their Jaccard index, (n, n).

    Parameters
    ----------
    terms
        (n, terms), 1 where a term is said.
    """
    shared = terms @ terms.T
    counts = terms.sum(dim=1)
    either = counts[:, None] + counts[None, :] - shared
    return shared * shared / either.clamp(min=1)


def likeness_of_lesions(looks: Sequence[Look]) -> NDArray[np.float32]:
    """Return how alike looks are without terms of reports: 1 for one lesion, less for one type and near places.

    Where there are no reports; not LesaNet's.
    """
    lesions = np.asarray([look.lesion for look in looks])
    types = [set(look.terms) for look in looks]
    same_type = np.asarray([[bool(own & other) for other in types] for own in types])
    places = np.asarray([look.location or (np.nan,) * 3 for look in looks])
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    near = np.nan_to_num(np.clip(1 - apart / REACH, 0, 1))
    alike = SAME_TYPE * same_type + SAME_PLACE * near
    return np.where(lesions[:, None] == lesions[None], ALIKE, alike).astype(np.float32)


def draw_triplets(likeness: Tensor, count: int, generator: torch.Generator, chances: Tensor | None = None) -> Tensor:
    """Draw triplets from a batch, int64 (count, 3): an anchor, a like look and a less like one.

    The like look is any that is alike by `ALIKE` or more, else one of the most alike; the unlike look is any that is
    strictly less alike than that, else one of the least alike. No look is its own partner.

    Parameters
    ----------
    likeness
        (n, n) on the CPU, n > 1.
    generator
        Of the CPU.
    chances
        (n, n) how often a look is drawn as the unlike one of an anchor, relative to others; None draws all equally.
    """
    others = ~torch.eye(len(likeness), dtype=torch.bool)
    anchors = torch.randint(len(likeness), (count,), generator=generator)
    rows, mine = likeness[anchors], others[anchors]
    most = rows.masked_fill(~mine, -torch.inf).amax(dim=1, keepdim=True)
    is_like = mine & torch.where(most >= ALIKE, rows >= ALIKE, rows == most)
    like = torch.multinomial(is_like.float(), 1, generator=generator)
    least = rows.masked_fill(~mine, torch.inf).amin(dim=1, keepdim=True)
    below = rows.gather(1, like)
    is_unlike = mine & torch.where(least < below, rows < below, rows == least)
    weight = is_unlike.float() if chances is None else is_unlike * chances[anchors].clamp(min=1e-6)
    unlike = torch.multinomial(weight, 1, generator=generator)
    return torch.cat([anchors[:, None], like, unlike], dim=1)
