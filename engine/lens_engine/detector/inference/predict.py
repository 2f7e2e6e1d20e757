"""Run a detector on a whole series: boxes of every expert on every grid slice, their fusion, and 3D findings."""

import logging
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.config import PostConfig
from lens_engine.detector.inference.fusion import ABSENT, RankedBoxes
from lens_engine.detector.inference.whole_volume import EXACT, ChunkDetections, InferenceDetector, InferenceSettings
from lens_engine.detector.input_config import CropScope
from lens_engine.detector.preprocess import (
    Augmentation,
    Crop,
    NetworkGrid,
    PreparedVolume,
    find_body,
    prepare,
    prepare_samples,
)
from lens_engine.findings import FUSED
from lens_engine.progress import ProgressCallback
from lens_engine.proposals import Proposals, SeriesDetections
from lens_engine.stacking import stack
from lens_engine.volume import Volume

_FIRST_ROWS = 1024

logger = logging.getLogger("lens_engine.detector.inference.predict")


def detect(
    model: LensDetector,
    volume: Volume,
    on_progress: ProgressCallback | None = None,
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
    detector: InferenceDetector,
    volume: Volume,
    on_progress: ProgressCallback | None = None,
    post: PostConfig | None = None,
    augmentation: Augmentation | None = None,
) -> SeriesDetections:
    """Find lesions in a series, see `detect`.

    Parameters
    ----------
    augmentation
        Where the network's pixels and slices lie instead of where they always do; None for everything but a look at a
        changed copy.
    """
    body = find_body(volume.voxels)
    if body is None:
        logger.warning("no body is seen in the series: nothing in it is as dense as tissue. Whole slices are searched")
    body = body or Crop.of(volume.voxels)
    whole = prepare(volume, detector.config, augmentation, body)
    columns = _Columns(detector.config.experts, detector.embedding_width, whole.grid)
    if detector.config.crop is CropScope.VOLUME:
        chunks = _by_volume(detector, whole, post or detector.config.post)
    else:
        samples = prepare_samples(volume, detector.config, augmentation, body)
        chunks = _by_slice(detector, samples, post or detector.config.post)
    with closing(chunks):
        for grid, chunk in chunks:
            columns.add(chunk, grid)
            if on_progress is not None:
                on_progress(chunk.first + len(chunk.detections.fused.scores), grid.count)
    proposals = columns.proposals()
    depth = volume.geometry.shape[0]
    findings = (finding for expert in proposals.experts for finding in stack(proposals, expert, depth))
    return SeriesDetections(proposals, tuple(findings))


def _by_volume(
    detector: InferenceDetector, prepared: PreparedVolume, post: PostConfig
) -> Generator[tuple[NetworkGrid, ChunkDetections], None, None]:
    """Yield the detections of all slices in one crop, a chunk at a time."""
    with closing(prepared.network_slices(detector.device)) as slices:
        for chunk in detector.detect(slices, prepared.grid.count, prepared.grid.size, post):
            yield prepared.grid, chunk


def _by_slice(
    detector: InferenceDetector, samples: Iterator[PreparedVolume], post: PostConfig
) -> Generator[tuple[NetworkGrid, ChunkDetections], None, None]:
    """Yield the detections of every slice in a crop of its own."""
    for grid_index, prepared in enumerate(samples):
        sample = torch.from_numpy(prepared.sample(grid_index)).to(detector.device)
        yield (
            prepared.grid,
            detector.detect_on_sample(sample, (grid_index, prepared.grid.count), prepared.grid.size, post),
        )


class _Columns:
    """Collects detections chunk by chunk, mapped to the series."""

    def __init__(self, experts: tuple[str, ...], width: int, grid: NetworkGrid) -> None:
        self._grid = grid
        self._experts = (*experts, FUSED)
        self._expert_index, self._grid_index = _Rows(np.int16), _Rows(np.int32)
        self._boxes, self._scores = _Rows(np.float32, 4), _Rows(np.float32)
        self._embeddings = _Rows(np.float32, width)

    def add(self, chunk: ChunkDetections, grid: NetworkGrid) -> None:
        """Add a chunk whose boxes are pixels of `grid`."""
        experts, fused = chunk.detections
        for number in range(len(self._experts) - 1):
            self._add(number, chunk.first, RankedBoxes(experts.boxes[:, number], experts.scores[:, number]), grid)
        self._add(len(self._experts) - 1, chunk.first, fused, grid)
        self._embeddings.extend(chunk.embeddings.numpy())

    def proposals(self) -> Proposals:
        """Return everything as columns, ordered by expert and grid slice."""
        expert_index = self._expert_index.array()
        order = np.argsort(expert_index, kind="stable")
        return Proposals(
            experts=self._experts,
            grid_spacing_mm=self._grid.spacing_mm,
            slice_spacing_mm=self._grid.geometry.spacing_mm[0],
            expert_index=expert_index[order],
            grid_index=self._grid_index.array()[order],
            boxes=self._boxes.array()[order],
            scores=self._scores.array()[order],
            embeddings=self._embeddings.array(),
        )

    def _add(self, number: int, first: int, found: RankedBoxes, grid: NetworkGrid) -> None:
        """Add the boxes of one expert on n slices (n, m)."""
        is_box = (found.scores > ABSENT).numpy()
        slices, _ = np.nonzero(is_box)
        self._expert_index.extend(np.full(len(slices), number))
        self._grid_index.extend(first + slices)
        self._boxes.extend(grid.to_series(found.boxes.numpy()[is_box]))
        self._scores.extend(found.scores.numpy()[is_box])


class _Rows:
    """Rows that are appended to one array.

    Many small arrays, kept between the network's buffers, would tear up the memory that every next chunk uses again.
    """

    def __init__(self, dtype: DTypeLike, *shape: int) -> None:
        self._rows = np.empty((_FIRST_ROWS, *shape), dtype=dtype)
        self._count = 0

    def extend(self, rows: NDArray[Any]) -> None:
        count = self._count + len(rows)
        if count > len(self._rows):
            grown = np.empty((max(count, 2 * len(self._rows)), *self._rows.shape[1:]), dtype=self._rows.dtype)
            grown[: self._count] = self._rows[: self._count]
            self._rows = grown
        self._rows[self._count : count] = rows
        self._count = count

    def array(self) -> NDArray[Any]:
        return self._rows[: self._count]
