"""Detection on chosen slices of a series alone, as the papers measure on key slices (algorithms 9.2).

The slice grid is put through each of them, the crop is that of the body on the slice itself (algorithms 2, step 4), and
no other slices are read than those of its sample. Boxes are then comparable with those of detectors that always look at
a slice of the scan; those of `predict` lie on a grid that passes beside most of them.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from lens_engine.detector.config import PostConfig
from lens_engine.detector.inference.fusion import ABSENT, RankedBoxes
from lens_engine.detector.inference.whole_volume import InferenceDetector
from lens_engine.detector.input_config import InputConfig
from lens_engine.detector.preprocess import Augmentation, Crop, NetworkGrid, PreparedVolume, body_rectangle, make_grid
from lens_engine.findings import FUSED
from lens_engine.geometry import VolumeGeometry
from lens_engine.proposals import Proposals

ReadSlices = Callable[[Sequence[int]], NDArray[np.int16]]
"""Returns some slices of the series, ascending, as HU (n, height, width)."""


def detect_on_slices(
    detector: InferenceDetector,
    geometry: VolumeGeometry,
    read: ReadSlices,
    slices: Iterable[int],
    post: PostConfig | None = None,
) -> Proposals:
    """Find lesions on some slices of a series.

    Parameters
    ----------
    post
        Thresholds other than the model's own.

    Returns
    -------
    Proposals
        On a grid that is the slices of the series. They come without embeddings (m, 0): nothing compares them.
    """
    experts = (*detector.config.experts, FUSED)
    expert_index, slice_index, boxes, scores = [], [], [np.zeros((0, 4))], [np.zeros(0)]
    for index in sorted(slices):
        prepared, place = prepare_slice(geometry, read, index, detector.config)
        sample = torch.from_numpy(prepared.sample(place[0])).to(detector.device)
        found = detector.detect_on_sample(sample, place, prepared.grid.size, post or detector.config.post).detections
        of_experts = [RankedBoxes(*(values[:, n] for values in found.experts)) for n in range(len(experts) - 1)]
        for number, ranked in enumerate((*of_experts, found.fused)):
            is_box = (ranked.scores[0] > ABSENT).numpy()
            boxes.append(prepared.grid.to_series(ranked.boxes[0].numpy()[is_box]))
            scores.append(ranked.scores[0].numpy()[is_box])
            expert_index += [number] * int(is_box.sum())
            slice_index += [index] * int(is_box.sum())
    order = np.argsort(expert_index, kind="stable")
    fused = expert_index.count(len(experts) - 1)
    return Proposals(
        experts=experts,
        grid_spacing_mm=geometry.spacing_mm[0],
        slice_spacing_mm=geometry.spacing_mm[0],
        expert_index=np.asarray(expert_index, dtype=np.int16)[order],
        grid_index=np.asarray(slice_index, dtype=np.int32)[order],
        boxes=np.concatenate(boxes).astype(np.float32)[order],
        scores=np.concatenate(scores).astype(np.float32)[order],
        embeddings=np.zeros((fused, 0), dtype=np.float32),
    )


def prepare_slice(
    geometry: VolumeGeometry, read: ReadSlices, slice_index: int, config: InputConfig
) -> tuple[PreparedVolume, tuple[int, int]]:
    """Return what a sample on a slice needs of a series, with the number of its grid slice among how many."""
    grid = _grid_through(geometry, slice_index, Crop(0, 0, *geometry.shape[1:]), config)
    centre = grid.nearest_grid_index(slice_index)
    needed = grid.sample_slices(centre)
    voxels = read(needed)
    body = body_rectangle(voxels[[needed.index(slice_index)]])
    grid = _grid_through(geometry, slice_index, body, config)
    return PreparedVolume(voxels, grid, config, slices=needed), (centre, grid.count)


def _grid_through(geometry: VolumeGeometry, slice_index: int, crop: Crop, config: InputConfig) -> NetworkGrid:
    return make_grid(geometry, crop, config, Augmentation(phase_mm=slice_index * geometry.spacing_mm[0]))
