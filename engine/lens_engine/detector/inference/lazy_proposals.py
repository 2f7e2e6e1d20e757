"""Proposals in the order of their scores, regressed only until enough of them survive NMS (algorithms 4.1, 4.2).

Whether a box survives depends on better boxes alone. So the best places are regressed block by block, and as soon as a
set is full, nobody has to know the boxes of all other places: the result is that of regressing everywhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lens_engine.detector.inference.fusion import ABSENT, RankedBoxes
from lens_engine.detector.network import ops
from lens_engine.detector.proposal_networks.base import ProposalNetwork

FIRST_DEPTH = 4096
"""Best places that are ranked to begin with; all are where these do not suffice."""

_BLOCK = {"cpu": 256}
_LARGE_BLOCK = 1024
"""Places regressed at a time: few where each costs time, many where each round does."""


@dataclass(frozen=True, slots=True)
class SelectionRule:
    """What is selected.

    Attributes
    ----------
    nms
        A box is suppressed when its IoU with a better one is greater.
    limit
        Boxes that are kept in a set.
    min_side
        A shorter box is dropped, network pixels.
    min_score
        A place of a lower score, or of score 0, is dropped.
    """

    nms: float
    limit: int
    min_side: float
    min_score: float = 0.0


class Selected(NamedTuple):
    """Selected boxes of each set.

    Attributes
    ----------
    found
        (sets, limit).
    is_finite
        Whether every score and every box that was regressed is, bool (sets,).
    """

    found: RankedBoxes
    is_finite: Tensor


class ScoredPlaces:
    """The scored places of b images and all experts.

    Parameters
    ----------
    networks
        One for each expert, all of one kind.
    contexts
        Of each network, for `ProposalNetwork.boxes_at`.
    scores
        (b, experts, places).
    size
        Height and width of the images without padding, for clipping.
    """

    def __init__(
        self, networks: Sequence[ProposalNetwork], contexts: Sequence[Tensor], scores: Tensor, size: tuple[int, int]
    ) -> None:
        self._networks, self._contexts, self._scores, self._size = networks, contexts, scores, size

    def pooled(self, rule: SelectionRule, per_expert: int) -> Selected:
        """Select among the best `per_expert` places of all experts together, one set for each image, (b,)."""
        return self._select(rule, per_expert, lambda scores: scores.flatten(1))

    def by_expert(self, rule: SelectionRule, per_expert: int) -> Selected:
        """Select among the best `per_expert` places of each expert, (b * experts,)."""
        return self._select(rule, per_expert, lambda scores: scores.flatten(0, 1))

    def _select(self, rule: SelectionRule, per_expert: int, as_sets: Callable[[Tensor], Tensor]) -> Selected:
        depth = min(FIRST_DEPTH, per_expert)  # so far no expert can have more places than it may
        selected, is_complete = self._selected(as_sets(self._scores), rule, depth)
        if is_complete:
            return selected
        return self._selected(as_sets(_best_of_each(self._scores, per_expert)), rule, None)[0]

    def _selected(self, scores: Tensor, rule: SelectionRule, depth: int | None) -> tuple[Selected, bool]:
        """Return what is selected among the best places of each set, and whether more places could change it."""
        ranked, places, known_above = _rank(scores, depth)
        possible = (ranked > known_above) & (ranked >= rule.min_score) & (ranked > 0)
        survivors = _Survivors(scores, rule, self._size)
        flat = torch.arange(len(scores), device=places.device)[:, None] * scores.shape[1] + places
        block = _BLOCK.get(scores.device.type, _LARGE_BLOCK)
        for start in range(0, int(possible.sum(dim=1).max()), block):
            columns = slice(start, start + block)
            wanted = possible[:, columns] & ~survivors.is_full[:, None]
            if not bool(wanted.any()):
                break
            survivors.add(self._boxes_at(flat[:, columns], wanted), ranked[:, columns], wanted)
        is_exhausted = (known_above[:, 0] < rule.min_score) | (known_above[:, 0] <= 0)
        return survivors.selected(), bool((survivors.is_full | is_exhausted).all())

    def _boxes_at(self, flat: Tensor, wanted: Tensor) -> Tensor:
        """Return the boxes (..., 4) at some of the indices `flat` (...) into `scores`; all zero elsewhere."""
        _, experts, places = self._scores.shape
        boxes = self._scores.new_zeros((flat.numel(), 4))
        expert = torch.where(wanted, torch.div(flat, places, rounding_mode="floor") % experts, experts).flatten()
        rows = expert.argsort(stable=True)
        counts = torch.bincount(expert, minlength=experts + 1).tolist()
        image = torch.div(flat, experts * places, rounding_mode="floor")
        of_batch = (image * places + flat % places).flatten()
        for network, context, own in zip(self._networks, self._contexts, torch.split(rows, counts), strict=False):
            if len(own):
                boxes[own] = network.boxes_at(context, of_batch[own]).to(boxes.dtype)
        return boxes.view(*flat.shape, 4)


class _Survivors:
    """The survivors of each set so far, fed block by block with the next best boxes."""

    def __init__(self, scores: Tensor, rule: SelectionRule, size: tuple[int, int]) -> None:
        self._rule = rule
        self._size = size
        self._count = torch.zeros(len(scores), dtype=torch.int64, device=scores.device)
        # One row more than there is room for, where everything goes that came too late.
        self._boxes = scores.new_zeros((len(scores), rule.limit + 1, 4))
        self._scores = scores.new_full((len(scores), rule.limit + 1), ABSENT)
        self._is_finite = scores.isfinite().all(dim=1)

    @property
    def is_full(self) -> Tensor:
        """Which sets have no room left, (sets,)."""
        return self._count >= self._rule.limit

    def add(self, boxes: Tensor, scores: Tensor, wanted: Tensor) -> None:
        """Let the next best boxes (sets, n, 4) compete, of those that are wanted (sets, n)."""
        self._is_finite &= boxes.isfinite().all(dim=-1).all(dim=-1)
        boxes = ops.clip_boxes(boxes, self._size)
        large = ((boxes[..., 2:] - boxes[..., :2]) >= self._rule.min_side).all(dim=-1)
        free = wanted & large & ~(ops.box_iou(self._boxes[:, :-1], boxes) > self._rule.nms).any(dim=1)
        boxes = boxes.masked_fill(~free[..., None], 0)
        alive = free & ops.ranked_survivors(boxes, self._rule.nms)
        place = torch.where(alive, self._count[:, None] + alive.cumsum(dim=1) - 1, self._rule.limit)
        place = place.clamp(max=self._rule.limit)
        self._boxes.scatter_(1, place[..., None].expand_as(boxes), boxes)
        self._scores.scatter_(1, place, scores)
        self._count = torch.minimum(self._count + alive.sum(dim=1), self._count.new_tensor(self._rule.limit))

    def selected(self) -> Selected:
        """Return the survivors."""
        return Selected(RankedBoxes(self._boxes[:, :-1], self._scores[:, :-1]), self._is_finite)


def _rank(scores: Tensor, depth: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best `depth` (default: all) scores of each set (sets, n), best first, their places, and a limit.

    The order is known only of scores above the limit (sets, 1): of several places with the lowest score that is
    returned, any may be missing. Equal scores are ranked by place, whatever the device does with them.
    """
    count = scores.shape[1]
    if depth is None or depth >= count:
        ranked, places = scores.sort(dim=1, descending=True, stable=True)
        return ranked, places, scores.new_full((len(scores), 1), -1.0)
    best, places = scores.topk(depth, dim=1)
    places, by_place = places.sort(dim=1)
    ranked, by_score = best.gather(1, by_place).sort(dim=1, descending=True, stable=True)
    return ranked, places.gather(1, by_score), ranked[:, -1:]


def _best_of_each(scores: Tensor, number: int) -> Tensor:
    """Return scores (..., places) with 0 at all but the best places; equal scores are ranked by place."""
    best, places = scores.sort(dim=-1, descending=True, stable=True)
    return torch.zeros_like(scores).scatter_(-1, places[..., :number], best[..., :number])
