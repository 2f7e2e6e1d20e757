"""Run a detector on a whole series: boxes of every expert on every grid slice, their fusion, and 3D findings."""

import logging
from collections.abc import Callable
from contextlib import closing

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.config import PostConfig
from lens_engine.detector.fusion import RankedBoxes
from lens_engine.detector.inference import EXACT, ChunkDetections, InferenceDetector, InferenceSettings
from lens_engine.detector.preprocess import NetworkGrid, Rectangle, find_body, prepare
from lens_engine.findings import FUSED
from lens_engine.proposals import Proposals, SeriesDetections
from lens_engine.stacking import stack
from lens_engine.volume import Volume

Progress = Callable[[int, int], None]
"""Told how many grid slices are done, and of how many."""

logger = logging.getLogger("lens_engine.detector.predict")


def detect(
    model: LensDetector,
    volume: Volume,
    on_progress: Progress | None = None,
    post: PostConfig | None = None,
    settings: InferenceSettings = EXACT,
) -> SeriesDetections:
    """Find lesions in a series, on the device of the model; same model, volume and device give the same boxes.

    Memory does not grow with the number of slices, but for the boxes themselves. To run one model on many series, make
    its `InferenceDetector` once and call `detect_with`.

    Parameters
    ----------
    model
        In evaluation mode.
    post
        Thresholds other than the model's own, for an evaluation at low scores.
    """
    return detect_with(InferenceDetector(model, settings), volume, on_progress, post)


def detect_with(
    detector: InferenceDetector, volume: Volume, on_progress: Progress | None = None, post: PostConfig | None = None
) -> SeriesDetections:
    """Find lesions in a series, see `detect`."""
    body = find_body(volume.voxels)
    if body is None:
        logger.warning("no body is seen in the series: nothing in it is as dense as tissue. Whole slices are searched")
    prepared = prepare(volume, detector.config, body=body or Rectangle.of(volume.voxels))
    grid = prepared.grid
    columns = _Columns(detector.config.experts, detector.embedding_width, grid)
    with closing(prepared.network_slices(detector.device)) as slices:
        for chunk in detector.detect(slices, grid.count, grid.size, post or detector.config.post):
            columns.add(chunk)
            if on_progress is not None:
                on_progress(chunk.first + len(chunk.detections.fused.scores), grid.count)
    proposals = columns.proposals()
    depth = volume.geometry.shape[0]
    findings = (finding for expert in proposals.experts for finding in stack(proposals, expert, depth))
    return SeriesDetections(proposals, tuple(findings))


class _Columns:
    """Collects detections chunk by chunk, mapped to the series."""

    def __init__(self, experts: tuple[str, ...], width: int, grid: NetworkGrid) -> None:
        self._grid = grid
        self._experts = (*experts, FUSED)
        self._parts: list[list[_Part]] = [[] for _ in self._experts]
        self._embeddings = [np.zeros((0, width), dtype=np.float32)]

    def add(self, chunk: ChunkDetections) -> None:
        experts, fused = chunk.detections
        for number in range(len(self._experts) - 1):
            own = RankedBoxes(experts.boxes[:, number], experts.scores[:, number])
            self._parts[number].append(self._part(chunk.first, own))
        self._parts[-1].append(self._part(chunk.first, fused))
        self._embeddings.append(chunk.embeddings.float().numpy())

    def proposals(self) -> Proposals:
        """Return everything as columns, ordered by expert and grid slice."""
        counts = [sum(len(part[0]) for part in parts) for parts in self._parts]
        every = [part for parts in self._parts for part in parts]
        return Proposals(
            experts=self._experts,
            grid_spacing_mm=self._grid.spacing_mm,
            slice_spacing_mm=self._grid.geometry.spacing_mm[0],
            expert_index=np.repeat(np.arange(len(counts), dtype=np.int16), counts),
            grid_index=np.concatenate([part[0] for part in every]),
            boxes=np.concatenate([part[1] for part in every]),
            scores=np.concatenate([part[2] for part in every]),
            embeddings=np.concatenate(self._embeddings),
        )

    def _part(self, first: int, found: RankedBoxes) -> "_Part":
        """Return the boxes of n slices (n, m) as columns."""
        is_box = found.scores >= 0
        grid_index = np.repeat(np.arange(first, first + len(is_box), dtype=np.int32), found.counts.numpy())
        boxes = self._grid.to_series(_array(found.boxes[is_box])).astype(np.float32)
        return grid_index, boxes, _array(found.scores[is_box]).astype(np.float32)


_Part = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]
"""Grid index, box and score of each box."""


def _array(values: Tensor) -> NDArray[np.floating]:
    array: NDArray[np.floating] = values.numpy()
    return array
