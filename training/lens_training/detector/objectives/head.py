"""Objective of the head that all experts share: which regions are lesions, and their way to the lesion.

See algorithms 4.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lens_engine.detector.network.box_coder import encode_boxes
from lens_training.datasets.labels import BoxArray, SliceLabels
from lens_training.detector.objectives.base import full_precision
from lens_training.detector.objectives.matching import best_match, centred_in

REGION_OVERLAP = 0.5
"""IoU from which on a region is a lesion, or an ignored one."""
IGNORED_SHARE = 0.5
"""Share of an uncertain place's sides in which no centred region is sampled."""


@dataclass(frozen=True, slots=True, eq=False)
class RegionTargets:
    """Regions that the head learns from, of one image or of several in order.

    Attributes
    ----------
    boxes
        float64 (r, 4), image pixels.
    is_lesion
        bool (r,).
    lesions
        float64 (r, 4), the lesion that each region should become; the region itself where it is none.
    teaches_box
        bool (r,), which regions have to become their lesion: those of lesions whose edges are trusted.
    """

    boxes: BoxArray
    is_lesion: NDArray[np.bool_]
    lesions: BoxArray
    teaches_box: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RegionSampling:
    """How many regions of one image the head learns from.

    Attributes
    ----------
    count
        Regions per image.
    lesion_share
        The largest share of them that are lesions.
    """

    count: int
    lesion_share: float


def sample_regions(
    proposals: BoxArray, labels: SliceLabels, sampling: RegionSampling, generator: np.random.Generator
) -> RegionTargets:
    """Choose the regions of one image that the head learns from.

    The lesions and the rejected places of the image join the proposals. Rejected places are sampled always, as hard
    negatives, unless they overlap a lesion or fall into an unsure place; what overlaps them is background even where a
    mined place would be ignored.

    Parameters
    ----------
    proposals
        (p, 4), image pixels.
    """
    known = labels.every_lesion
    boxes = np.concatenate([proposals, known, labels.rejected])
    is_rejected_place = np.arange(len(boxes)) >= len(proposals) + len(known)
    match, overlap = best_match(boxes, known)
    is_lesion = (overlap >= REGION_OVERLAP) & ~is_rejected_place
    rejected_overlap = best_match(boxes, labels.rejected)[1]
    is_hard = is_rejected_place | (rejected_overlap >= REGION_OVERLAP)
    is_ignored = _falls_into(boxes, labels.uncertain, IGNORED_SHARE) & ~is_hard
    is_ignored |= _falls_into(boxes, labels.untaught, 1.0)
    is_background = (overlap < REGION_OVERLAP) & ~is_ignored

    positive = _some_lesions(is_lesion, sampling, generator)
    hard = generator.permutation(np.flatnonzero(is_background & is_rejected_place))
    easy = generator.permutation(np.flatnonzero(is_background & ~is_rejected_place))
    negative = np.concatenate([hard, easy])[: sampling.count - len(positive)]
    chosen = np.concatenate([positive, negative]).astype(np.intp)
    lesions = boxes[chosen].copy()
    lesions[: len(positive)] = known[match[positive]]
    is_positive = np.arange(len(chosen)) < len(positive)
    return RegionTargets(boxes[chosen], is_positive, lesions, is_positive & (match[chosen] < len(labels.lesions)))


def certain_regions(
    proposals: BoxArray, labels: SliceLabels, sampling: RegionSampling, generator: np.random.Generator
) -> RegionTargets:
    """Return the regions of one image that an expert of another data set learns from.

    The lesions and the proposals that overlap them, as many as `sample_regions` takes at most, and its
    `rejected_regions`.

    Parameters
    ----------
    proposals
        (p, 4), image pixels.
    labels
        In image pixels, as they are for the expert.
    """
    boxes = np.concatenate([proposals, labels.lesions])
    match, overlap = best_match(boxes, labels.lesions)
    lesions = _some_lesions(overlap >= REGION_OVERLAP, sampling, generator)
    rejected = rejected_regions(proposals, labels)
    is_lesion = np.arange(len(lesions) + len(rejected)) < len(lesions)
    return RegionTargets(
        boxes=np.concatenate([boxes[lesions], rejected]),
        is_lesion=is_lesion,
        teaches_box=is_lesion,
        lesions=np.concatenate([labels.lesions[match[lesions]], rejected]),
    )


def rejected_regions(proposals: BoxArray, labels: SliceLabels) -> BoxArray:
    """Return the regions of one image (r, 4) that a rejected place makes certain background.

    The rejected places themselves and the proposals that overlap them, but for those that overlap a lesion or fall into
    an unsure place.

    Parameters
    ----------
    proposals
        (p, 4), image pixels.
    labels
        In image pixels, as they are for the expert that learns from the regions.
    """
    there = proposals[best_match(proposals, labels.rejected)[1] >= REGION_OVERLAP]
    boxes = np.concatenate([there, labels.rejected])
    is_lesion = best_match(boxes, labels.every_lesion)[1] >= REGION_OVERLAP
    return boxes[~is_lesion & ~_falls_into(boxes, labels.untaught, 1.0)]


def together(images: Sequence[RegionTargets]) -> RegionTargets:
    """Return the regions of several images as one, in order."""
    return RegionTargets(
        **{part.name: np.concatenate([getattr(own, part.name) for own in images]) for part in fields(RegionTargets)}
    )


def region_class_loss(logits: Tensor, regions: RegionTargets) -> Tensor:
    """Return the `class_loss` of regions, (r, 2) logits."""
    return class_loss(full_precision(logits), torch.from_numpy(regions.is_lesion).to(logits.device))


def region_box_loss(deltas: Tensor, regions: RegionTargets) -> Tensor:
    """Return the `box_loss` of regions, (r, 4) deltas."""
    boxes, lesions = (
        torch.from_numpy(part).to(deltas.device, torch.float32) for part in (regions.boxes, regions.lesions)
    )
    teaches_box = torch.from_numpy(regions.teaches_box).to(deltas.device)
    return box_loss(full_precision(deltas), encode_boxes(lesions, boxes), teaches_box)


def class_loss(logits: Tensor, is_lesion: Tensor) -> Tensor:
    """Return the mean cross-entropy of the head over sampled regions; (r, 2) logits, bool (r,)."""
    if not len(logits):
        return logits.sum()
    return functional.cross_entropy(logits, is_lesion.long())


def box_loss(deltas: Tensor, targets: Tensor, teaches_box: Tensor) -> Tensor:
    """Return the smooth-L1 error of the regions of lesions, summed and divided by the number of ALL regions.

    Parameters
    ----------
    deltas, targets
        (r, 4), as the box coder defines them.
    teaches_box
        bool (r,), see `RegionTargets`.
    """
    error = functional.smooth_l1_loss(deltas, targets, reduction="none").sum(dim=1) * teaches_box
    return error.sum() / max(len(deltas), 1)


def _some_lesions(
    is_lesion: NDArray[np.bool_], sampling: RegionSampling, generator: np.random.Generator
) -> NDArray[np.intp]:
    """Return the numbers of lesion regions in random order, at most their share of those that are sampled."""
    return generator.permutation(np.flatnonzero(is_lesion))[: int(sampling.count * sampling.lesion_share)]


def _falls_into(boxes: BoxArray, others: BoxArray, share: float) -> NDArray[np.bool_]:
    """Return which boxes overlap one of the others, or have their centre in the central `share` of one."""
    return centred_in(boxes, others, share) | (best_match(boxes, others)[1] >= REGION_OVERLAP)
