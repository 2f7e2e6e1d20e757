"""Objective of a region proposal network: anchors that are lesions, and their way to the lesion (algorithms 4.3).

[our choice] Only anchors inside the image are matched, so that a lesion at the border has one as well. An uncertain or
unsure place is ignored wherever an anchor would be no background if it were a lesion, and wherever an anchor is centred
in the central half of the one or anywhere in the other. Of the anchors of a rejected place some are sampled always.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lens_engine.boxes import overlaps
from lens_engine.detector.network.box_coder import encode_boxes
from lens_training.datasets.labels import BoxArray, SliceLabels
from lens_training.detector.objectives.base import IGNORED, NEGATIVE, POSITIVE, ProposalObjective, full_precision
from lens_training.detector.objectives.matching import centred_in

LESION_OVERLAP = 0.7
"""IoU from which on an anchor is a lesion; the best anchors of a lesion are anyway."""
BACKGROUND_OVERLAP = 0.3
"""IoU below which an anchor is background."""
IGNORED_SHARE = 0.5
"""Share of an uncertain place's sides in which no centred anchor learns."""
ANCHORS_PER_IMAGE = 32
LESION_SHARE = 0.5
"""At most this share of the sampled anchors are lesions."""
REJECTED_SHARE = 0.5
"""At most this share of the sampled background must lie on rejected places."""
SMOOTH_L1_BETA = 1 / 9


@dataclass(frozen=True, slots=True, eq=False)
class AnchorTargets:
    """What an RPN should say about the anchors of one image.

    Attributes
    ----------
    roles
        int8 (n,): `POSITIVE`, `NEGATIVE` or `IGNORED`.
    is_rejected
        bool (n,): anchors that would be lesions if a rejected place were one, and are background.
    match
        (n,), row of the lesion that a positive anchor should become.
    """

    roles: NDArray[np.int8]
    is_rejected: NDArray[np.bool_]
    match: NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class AnchorSample:
    """Anchors of a batch that are learnt from.

    Attributes
    ----------
    image, anchor
        (s,), numbers within the batch and among the anchors of an image.
    lesions
        float64 (s, 4), what each should become; the anchor itself where it is background.
    is_lesion
        bool (s,).
    """

    image: NDArray[np.intp]
    anchor: NDArray[np.intp]
    lesions: BoxArray
    is_lesion: NDArray[np.bool_]


class RpnObjective(ProposalObjective):
    """Cross-entropy of sampled anchors, smooth-L1 of those that are lesions.

    Parameters
    ----------
    anchors
        Returns the anchors (n, 4) of a map of so many rows and columns, in image pixels, in the network's order.
    """

    WEIGHTS: ClassVar = {"objectness": 1.0, "anchor_boxes": 1.0}

    def __init__(self, anchors: Callable[[int, int], Tensor]) -> None:
        self._anchors = anchors

    def losses(
        self,
        outputs: Sequence[Tensor],
        labels: Sequence[SliceLabels],
        sizes: Sequence[tuple[int, int]],
        generator: np.random.Generator,
    ) -> dict[str, Tensor]:
        """Return `objectness` and `anchor_boxes`."""
        anchors = self._all_anchors(outputs[0])
        return self._parts(outputs, anchors, sample_anchors(anchors, labels, sizes, generator))

    def certain_losses(
        self,
        outputs: Sequence[Tensor],
        images: Sequence[int],
        labels: Sequence[SliceLabels],
        sizes: Sequence[tuple[int, int]],
        generator: np.random.Generator,
    ) -> dict[str, Tensor]:
        """Return `objectness` of anchors of lesions and rejected places alone, and `anchor_boxes` of the former."""
        anchors = self._all_anchors(outputs[0])
        sample = certain_anchors(
            anchors, [labels[image] for image in images], [sizes[image] for image in images], generator
        )
        share = len(sample.anchor) / (ANCHORS_PER_IMAGE * len(labels))
        names = self.WEIGHTS if sample.is_lesion.any() else ["objectness"]
        parts = self._parts(outputs, anchors, sample)
        return {name: share * parts[name] for name in names}

    def _parts(self, outputs: Sequence[Tensor], anchors: BoxArray, sample: AnchorSample) -> dict[str, Tensor]:
        """Return both losses of sampled anchors."""
        logits, deltas = map(full_precision, outputs)
        image, number, row, column = _places(logits, sample.image, sample.anchor)
        is_lesion = torch.from_numpy(sample.is_lesion).to(logits.device)
        wanted = encode_boxes(*(torch.from_numpy(boxes) for boxes in (sample.lesions, anchors[sample.anchor])))
        return {
            "objectness": objectness_loss(logits[image, number, row, column], is_lesion),
            "anchor_boxes": anchor_box_loss(deltas[image, number, :, row, column], wanted.to(deltas), is_lesion),
        }

    def _all_anchors(self, logits: Tensor) -> BoxArray:
        """Return the anchors of a map (b, anchors of a cell, h, w) as (n, 4), whose columns are contiguous."""
        columns: BoxArray = self._anchors(*logits.shape[2:]).T.contiguous().double().cpu().numpy()
        return columns.T


def anchor_targets(anchors: BoxArray, labels: SliceLabels, size: tuple[int, int]) -> AnchorTargets:
    """Return what every anchor of one image should be.

    Parameters
    ----------
    anchors
        (n, 4), image pixels.
    labels
        Labels of the image, in its pixels.
    size
        (height, width) of the image; anchors that cross its border are ignored.
    """
    height, width = size
    x1, y1, x2, y2 = anchors.T
    visible = (x1 >= 0) & (y1 >= 0) & (x2 <= width) & (y2 <= height)
    near = np.flatnonzero(visible & _overlap_any(anchors, labels))  # the others are background or cross the border
    own = anchors[near]
    unsure, uncertain, rejected, lesions = (
        _claims(own, boxes) for boxes in (labels.untaught, labels.uncertain, labels.rejected, labels.lesions)
    )
    roles = np.full(len(own), NEGATIVE, dtype=np.int8)
    roles[uncertain.touches | centred_in(own, labels.uncertain, IGNORED_SHARE)] = IGNORED
    roles[rejected.touches] = NEGATIVE
    roles[unsure.touches | centred_in(own, labels.untaught, 1.0)] = IGNORED
    roles[lesions.touches] = IGNORED
    roles[lesions.matches] = POSITIVE

    every = AnchorTargets(
        roles=np.where(visible, np.int8(NEGATIVE), np.int8(IGNORED)),
        is_rejected=np.zeros(len(anchors), dtype=bool),
        match=np.zeros(len(anchors), dtype=np.intp),
    )
    every.roles[near] = roles
    every.is_rejected[near] = rejected.matches & (roles == NEGATIVE)
    every.match[near] = lesions.match
    return every


def sample_anchors(
    anchors: BoxArray, labels: Sequence[SliceLabels], sizes: Sequence[tuple[int, int]], generator: np.random.Generator
) -> AnchorSample:
    """Choose the anchors of each image that are learnt from; at most half are lesions, the rest is background.

    Parameters
    ----------
    anchors
        (n, 4), image pixels, those of every image.
    """
    return _sample(anchors, labels, sizes, generator, _background)


def certain_anchors(
    anchors: BoxArray, labels: Sequence[SliceLabels], sizes: Sequence[tuple[int, int]], generator: np.random.Generator
) -> AnchorSample:
    """Choose anchors of each image as `sample_anchors` does, but no background beside rejected places."""
    return _sample(anchors, labels, sizes, generator, _rejected)


def objectness_loss(logits: Tensor, is_lesion: Tensor) -> Tensor:
    """Return the mean cross-entropy of sampled anchors, (s,) logits, bool (s,); 0 where there is none."""
    total = functional.binary_cross_entropy_with_logits(logits, is_lesion.to(logits.dtype), reduction="sum")
    return total / max(len(logits), 1)


def anchor_box_loss(deltas: Tensor, targets: Tensor, is_lesion: Tensor) -> Tensor:
    """Return the smooth-L1 error of lesion anchors, summed and divided by the number of ALL sampled anchors.

    Parameters
    ----------
    deltas, targets
        (s, 4), as the box coder defines them.
    """
    error = functional.smooth_l1_loss(deltas, targets, reduction="none", beta=SMOOTH_L1_BETA).sum(dim=1) * is_lesion
    return error.sum() / max(len(deltas), 1)


def _places(logits: Tensor, image: NDArray[np.intp], anchor: NDArray[np.intp]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return where anchors of images are in maps (b, anchors of a cell, h, w), as an index of each dimension."""
    count, _, width = logits.shape[1:]
    cell, of_cell = np.divmod(anchor, count)
    image_index, number, row, column = (
        torch.from_numpy(index).to(logits.device) for index in (image, of_cell, cell // width, cell % width)
    )
    return image_index, number, row, column


def _overlap_any(anchors: BoxArray, labels: SliceLabels) -> NDArray[np.bool_]:
    """Return which anchors overlap a labelled box at all."""
    x1, y1, x2, y2 = anchors.T
    result = np.zeros(len(anchors), dtype=bool)
    for low_x, low_y, high_x, high_y in np.concatenate(
        [labels.lesions, labels.untaught, labels.uncertain, labels.rejected]
    ):
        result |= (x1 < high_x) & (x2 > low_x) & (y1 < high_y) & (y2 > low_y)
    return result


@dataclass(frozen=True, slots=True, eq=False)
class _Claims:
    """What anchors (n,) would be if some boxes were lesions: `matches` as positives, `touches` as no background."""

    match: NDArray[np.intp]
    matches: NDArray[np.bool_]
    touches: NDArray[np.bool_]


def _claims(anchors: BoxArray, boxes: BoxArray) -> _Claims:
    if not len(boxes) or not len(anchors):
        nothing = np.zeros(len(anchors), dtype=bool)
        return _Claims(np.zeros(len(anchors), dtype=np.intp), nothing, nothing)
    table = overlaps(anchors, boxes)
    match, best_of_box = table.argmax(axis=1), table.max(axis=0)
    overlap = table[np.arange(len(anchors)), match]
    is_best = (table == best_of_box) & (table > 0)  # ties included
    match = np.where(is_best.any(axis=1), np.where(is_best, table, -1).argmax(axis=1), match)
    matches = is_best.any(axis=1) | (overlap >= LESION_OVERLAP)
    return _Claims(match, matches, matches | (overlap >= BACKGROUND_OVERLAP))


_ChooseBackground = Callable[[AnchorTargets, int, np.random.Generator], NDArray[np.intp]]
"""Returns background anchors of one image, at most as many as it is told."""


def _sample(
    anchors: BoxArray,
    labels: Sequence[SliceLabels],
    sizes: Sequence[tuple[int, int]],
    generator: np.random.Generator,
    background: _ChooseBackground,
) -> AnchorSample:
    images, chosen, boxes, are_lesions = [], [], [], []
    for image, (slice_labels, size) in enumerate(zip(labels, sizes, strict=True)):
        targets = anchor_targets(anchors, slice_labels, size)
        positive = _some(np.flatnonzero(targets.roles == POSITIVE), int(ANCHORS_PER_IMAGE * LESION_SHARE), generator)
        negative = background(targets, ANCHORS_PER_IMAGE - len(positive), generator)
        images.append(np.full(len(positive) + len(negative), image))
        chosen += [positive, negative]
        boxes += [slice_labels.lesions[targets.match[positive]], anchors[negative]]
        are_lesions += [np.ones(len(positive), dtype=bool), np.zeros(len(negative), dtype=bool)]
    return AnchorSample(*map(np.concatenate, (images, chosen, boxes, are_lesions)))


def _rejected(targets: AnchorTargets, count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """Return anchors of rejected places, at most their share of `count` background anchors."""
    return _some(np.flatnonzero(targets.is_rejected), int(count * REJECTED_SHARE), generator)


def _background(targets: AnchorTargets, count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """Return up to `count` background anchors; those of rejected places first, but not them alone."""
    rejected = _rejected(targets, count, generator)
    others = np.flatnonzero((targets.roles == NEGATIVE) & ~targets.is_rejected)
    return np.concatenate([rejected, _some(others, count - len(rejected), generator)])


def _some(numbers: NDArray[np.intp], count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    return generator.choice(numbers, min(count, len(numbers)), replace=False)
