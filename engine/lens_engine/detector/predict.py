"""Run a detector on a whole series: boxes of every expert on every grid slice, their fusion, and 3D findings."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lens_engine.detector.assembly import BoxSet, LensDetector
from lens_engine.detector.config import PostConfig
from lens_engine.detector.embedding import embed
from lens_engine.detector.fusion import SliceDetections, fuse_boxes, fuse_experts
from lens_engine.detector.preprocess import NetworkGrid, prepare
from lens_engine.detector.shared import FeatureChunk, SharedBackbone
from lens_engine.findings import FUSED
from lens_engine.proposals import Proposals, SeriesDetections
from lens_engine.stacking import stack
from lens_engine.volume import Volume

Progress = Callable[[int, int], None]
"""Told how many grid slices are done, and of how many."""

_CHUNK = {"cpu": 4, "cuda": 16}


@torch.inference_mode()
def detect(
    model: LensDetector, volume: Volume, on_progress: Progress | None = None, post: PostConfig | None = None
) -> SeriesDetections:
    """Find lesions in a series, on the device of the model; same model, volume and device give the same boxes.

    Memory does not grow with the number of slices, but for the boxes themselves.

    Parameters
    ----------
    model
        In evaluation mode.
    post
        Thresholds other than the model's own, for an evaluation at low scores.
    """
    device = next(model.parameters()).device
    prepared = prepare(volume, model.config)
    post = post or model.config.post
    columns = _Columns(model.config.experts, model.embedding_width, prepared.grid)
    backbone = SharedBackbone(model.backbone)
    for chunk in backbone.stream(prepared.network_slices(device), prepared.grid.count, _CHUNK.get(device.type, 8)):
        _detect_on_chunk(model, chunk, post, columns)
        if on_progress is not None:
            on_progress(chunk.first + len(chunk.features), prepared.grid.count)
    proposals = columns.proposals()
    slices = volume.geometry.shape[0]
    findings = (finding for expert in proposals.experts for finding in stack(proposals, expert, slices))
    return SeriesDetections(proposals, tuple(findings))


def slice_detections(
    model: LensDetector, features: Tensor, sizes: Sequence[tuple[int, int]], post: PostConfig
) -> list[SliceDetections]:
    """Return the detections on slices from their features (n, channels, h, w), by one stage or two.

    Parameters
    ----------
    sizes
        Height and width of each slice without padding, in network pixels.
    """
    if model.head is None:
        found = model.expert_proposals(features, sizes, model.test_limits.pre_nms)
        return [fuse_boxes(experts, post) for experts in found]
    pooled = [found.boxes for found in model.proposals(features, sizes)]
    shared = model.head_features(features, pooled)
    boxes, scores = model.expert_boxes(shared, torch.cat(pooled)), model.expert_scores(shared)
    counts = [len(found) for found in pooled]
    return [
        fuse_experts(on_slice, scored, size, post)
        for on_slice, scored, size in zip(torch.split(boxes, counts), torch.split(scores, counts), sizes, strict=True)
    ]


def _detect_on_chunk(model: LensDetector, chunk: FeatureChunk, post: PostConfig, columns: "_Columns") -> None:
    features = chunk.features
    detections = slice_detections(model, features, [columns.grid.size] * len(features), post)
    fused = [found.fused.boxes for found in detections]
    embeddings = torch.split(embed(model, features, fused), [len(found) for found in fused])
    for index, (found, embedding) in enumerate(zip(detections, embeddings, strict=True)):
        columns.add(chunk.first + index, found, embedding.cpu().numpy())


class _Columns:
    """Collects detections slice by slice, mapped to the series."""

    def __init__(self, experts: tuple[str, ...], width: int, grid: NetworkGrid) -> None:
        self.grid = grid
        self._experts = (*experts, FUSED)
        self._rows: list[tuple[int, int, NDArray[np.float32], NDArray[np.float32]]] = []
        self._embeddings = [np.zeros((0, width), dtype=np.float32)]

    def add(self, grid_index: int, found: SliceDetections, embeddings: NDArray[np.float32]) -> None:
        for number, boxes in enumerate((*found.experts, found.fused)):
            self._append(number, grid_index, boxes)
        self._embeddings.append(embeddings)

    def proposals(self) -> Proposals:
        """Return everything as columns, ordered by expert and grid slice."""
        rows = sorted(self._rows, key=lambda row: row[:2])
        counts = [len(scores) for _, _, _, scores in rows]
        empty = np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.float32)
        return Proposals(
            experts=self._experts,
            grid_spacing_mm=self.grid.spacing_mm,
            slice_spacing_mm=self.grid.geometry.spacing_mm[0],
            expert_index=np.repeat(np.array([row[0] for row in rows], dtype=np.int16), counts),
            grid_index=np.repeat(np.array([row[1] for row in rows], dtype=np.int32), counts),
            boxes=np.concatenate([empty[0], *(row[2] for row in rows)]),
            scores=np.concatenate([empty[1], *(row[3] for row in rows)]),
            embeddings=np.concatenate(self._embeddings),
        )

    def _append(self, number: int, grid_index: int, found: BoxSet) -> None:
        if len(found.scores):
            boxes = self.grid.to_series(found.boxes.cpu().numpy()).astype(np.float32)
            self._rows.append((number, grid_index, boxes, found.scores.float().cpu().numpy()))
