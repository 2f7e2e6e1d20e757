"""The detector written plainly: every slice alone, every map dense, every step as docs/algorithms.md says it.

What `inference` computes in another order has to give these boxes; tests and benchmarks compare the two. Nothing else
uses it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lens_engine.detector.assembly import BoxSet, LensDetector
from lens_engine.detector.config import PostConfig
from lens_engine.detector.network import ops
from lens_engine.detector.network.backbone import STRIDE
from lens_engine.detector.network.box_coder import decode_boxes
from lens_engine.detector.network.embedding import embed
from lens_engine.detector.preprocess import NetworkGrid, prepare_samples
from lens_engine.detector.proposal_networks.afp import AnchorFreeProposals
from lens_engine.detector.proposal_networks.base import ProposalNetwork, at_least_single, boxes_around
from lens_engine.detector.proposal_networks.centernet import PEAK_WINDOW, CenterNetProposals
from lens_engine.detector.proposal_networks.fcos import FcosProposals
from lens_engine.detector.proposal_networks.rpn import RegionProposals
from lens_engine.volume import Volume


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceSlice:
    """Everything the detector computes on one slice.

    Attributes
    ----------
    features
        (1, channels, h / 4, w / 4).
    candidates
        The best places of each expert as boxes, before any NMS.
    proposals
        The survivors among the candidates of all experts; empty in a detector of one stage.
    expert_boxes, expert_scores
        What each expert says of every proposal, (r, experts, 4) and (r, experts); in a detector of one stage, which has
        none, of shape (0, experts, 4) and (0, experts).
    experts, fused
        The detections.
    embeddings
        (m, width), of the fused boxes.
    """

    features: Tensor
    candidates: tuple[BoxSet, ...]
    proposals: BoxSet
    expert_boxes: Tensor
    expert_scores: Tensor
    experts: tuple[BoxSet, ...]
    fused: BoxSet
    embeddings: Tensor


def detect_on_volume(model: LensDetector, volume: Volume) -> list[tuple[NetworkGrid, ReferenceSlice]]:
    """Find lesions on every grid slice of a volume, each with the grid whose pixels its boxes are in."""
    return [
        (seen.grid, detect_on_slice(model, torch.from_numpy(seen.sample(grid_index)), seen.grid.size))
        for grid_index, seen in enumerate(prepare_samples(volume, model.config))
    ]


@torch.inference_mode()
def detect_on_slice(
    model: LensDetector, sample: Tensor, size: tuple[int, int], post: PostConfig | None = None
) -> ReferenceSlice:
    """Find lesions on one slice.

    Parameters
    ----------
    sample
        (9, height, width) of `PreparedVolume.sample`, in the precision and on the device of the model.
    size
        Height and width without padding.
    """
    # Laid out once for all networks that read it: copying is no part of the published design.
    features = model.forward_features(sample[None]).contiguous(memory_format=torch.channels_last)
    return detect_on_features(model, features, size, post or model.config.post)


@torch.inference_mode()
def detect_on_features(
    model: LensDetector, features: Tensor, size: tuple[int, int], post: PostConfig
) -> ReferenceSlice:
    """Find lesions on one slice from its features (1, channels, h / 4, w / 4)."""
    limits = model.config.proposal
    candidates = tuple(_candidates(model, network, features, size) for network in model.proposal_networks())
    if model.head is None:
        proposals = BoxSet(features.new_zeros(0, 4), features.new_zeros(0))
        boxes, scores = features.new_zeros(0, len(candidates), 4), features.new_zeros(0, len(candidates))
        experts = tuple(_detections(own, post) for own in candidates)
    else:
        proposals = _survivors(_joined(candidates), limits.nms, limits.post_nms)
        shared = model.head_features(features, [proposals.boxes])
        boxes = ops.clip_boxes(model.expert_boxes(shared, proposals.boxes), size)
        scores = at_least_single(model.expert_scores(shared))
        experts = tuple(_detections(BoxSet(boxes[:, i], scores[:, i]), post) for i in range(scores.shape[1]))
    fused = _survivors(_joined(experts), post.nms, None)
    embeddings = embed(model, features, [fused.boxes])
    return ReferenceSlice(features, candidates, proposals, boxes, scores, experts, fused, embeddings)


def dense_proposals(network: ProposalNetwork, features: Tensor) -> BoxSet:
    """Return score and box of every place of one image, features (1, channels, h, w), from the dense maps."""
    height, width = features.shape[2:]
    cells = torch.arange(height * width, device=features.device)
    if isinstance(network, AnchorFreeProposals):
        afp = network(features)
        return BoxSet(boxes_around(cells, _rows(afp.sizes), width), _rows(afp.centerness)[:, 0].sigmoid())
    if isinstance(network, FcosProposals):
        fcos = network(features)
        scores = (_rows(fcos.classes).sigmoid() * _rows(fcos.centerness).sigmoid()).sqrt()
        return BoxSet(boxes_around(cells, _rows(fcos.distances), width), scores[:, 0])
    if isinstance(network, CenterNetProposals):
        found = network(features)
        sides, offsets = _rows(found.sizes).clamp(min=0) * STRIDE, _rows(found.offsets)
        centres = (torch.stack([cells % width, cells // width], dim=1) + offsets) * STRIDE
        around = torch.nn.functional.max_pool2d(found.heat, PEAK_WINDOW, stride=1, padding=PEAK_WINDOW // 2)
        scores = _rows(found.heat)[:, 0].sigmoid() * _rows(found.heat == around)[:, 0]
        return BoxSet(torch.cat([centres - sides / 2, centres + sides / 2], dim=1), scores)
    if isinstance(network, RegionProposals):
        rpn = network(features)
        deltas = rpn.deltas[0].permute(2, 3, 0, 1).reshape(-1, 4)
        scores = rpn.objectness[0].permute(1, 2, 0).reshape(-1)
        return BoxSet(
            decode_boxes(at_least_single(deltas), network.anchors(height, width)), at_least_single(scores).sigmoid()
        )
    raise TypeError(f"{type(network).__name__} has no dense form here; write it down.")


def _candidates(model: LensDetector, network: ProposalNetwork, features: Tensor, size: tuple[int, int]) -> BoxSet:
    """Return the best places of one expert whose boxes are large enough, best first."""
    everywhere = dense_proposals(network, features)
    best = everywhere.scores.argsort(descending=True, stable=True)[: model.config.proposal.pre_nms]
    boxes, scores = ops.clip_boxes(everywhere.boxes[best], size), everywhere.scores[best]
    kept = ((boxes[:, 2:] - boxes[:, :2]) >= model.config.proposal.min_side).all(dim=1) & (scores > 0)
    return BoxSet(boxes[kept], scores[kept])


def _detections(own: BoxSet, post: PostConfig) -> BoxSet:
    """Return one expert's detections among its boxes."""
    possible = (own.scores >= post.score_threshold) & (own.boxes[:, 2:] > own.boxes[:, :2]).all(dim=1)
    return _survivors(BoxSet(own.boxes[possible], own.scores[possible]), post.nms, post.per_slice)


def _survivors(found: BoxSet, threshold: float, limit: int | None) -> BoxSet:
    kept = ops.non_maximum_suppression(found.boxes, found.scores, threshold, limit)
    return BoxSet(found.boxes[kept], found.scores[kept])


def _joined(sets: Sequence[BoxSet]) -> BoxSet:
    return BoxSet(torch.cat([found.boxes for found in sets]), torch.cat([found.scores for found in sets]))


def _rows(maps: Tensor) -> Tensor:
    """Return maps (1, c, h, w) as (h * w, c) of single precision at least."""
    return at_least_single(maps)[0].flatten(1).T
