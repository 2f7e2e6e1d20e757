"""The patch around a lesion, the same for training and inference (algorithms 5.8).

Three slices of the network's grid, the middle one being the slice of the lesion; a square around the centre of the box,
whatever the size of the lesion. Nothing is cropped: where the patch leaves the image, the outermost pixel repeats, and
so does the outermost slice.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lens_engine.detector.preprocess import Augmentation, Crop, prepare
from lens_engine.findings import Box2D
from lens_engine.lesion_embedding.config import EmbeddingConfig
from lens_engine.volume import Volume


class LesionPatch(NamedTuple):
    """What the network sees of a lesion.

    Attributes
    ----------
    pixels
        float32 (3, side, side), intensities in [0, 255] minus the mean, head first.
    box
        float32 (4,), `[x1, y1, x2, y2]` in pixels of the patch; may end beyond it.
    """

    pixels: NDArray[np.float32]
    box: NDArray[np.float32]


def cut_patch(volume: Volume, config: EmbeddingConfig, slice_index: float, box: Box2D) -> LesionPatch:
    """Return the patch around a box on a slice of the series.

    Parameters
    ----------
    slice_index
        A fraction lies between two slices.
    box
        Voxel edges of the series.
    """
    # The grid passes through the slice of the lesion, and the image is never cropped.
    phase = Augmentation(phase_mm=slice_index * volume.geometry.spacing_mm[0])
    prepared = prepare(volume, config, phase, Crop.of(volume.voxels))
    grid, side = prepared.grid, config.patch_side
    x1, y1, x2, y2 = grid.to_network(np.asarray([box]))[0].tolist()
    left, top = (int(np.floor((low + high) / 2 + 0.5)) - side // 2 for low, high in ((x1, x2), (y1, y2)))
    rows, columns = (
        np.clip(np.arange(start, start + side), 0, length - 1)
        for start, length in zip((top, left), grid.size, strict=True)
    )
    shown = grid.window(int(rows[0]), int(columns[0]), int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1)
    window = replace(prepared, grid=shown, _taps_of={})
    centre = grid.nearest_grid_index(slice_index)
    inside = np.ix_(rows - rows[0], columns - columns[0])
    pixels = np.stack([window.network_slice(centre + step)[inside] for step in (-1, 0, 1)])
    placed = np.maximum(np.array([x1 - left, y1 - top, x2 - left, y2 - top]), 0.0)
    return LesionPatch(pixels, placed.astype(np.float32))
