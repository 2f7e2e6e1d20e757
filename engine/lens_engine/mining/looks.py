"""Which of the boxes of a series mining compares, so that no others need an embedding."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lens_engine.findings import FUSED, Box2D
from lens_engine.mining.inputs import AnnotationOnSeries
from lens_engine.mining.rules.cross_slice import boxes_beside, continue_annotations
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.tracklets import build_tracklets
from lens_engine.proposals import Proposals


def compared_rows(
    proposals: Proposals, annotations: Sequence[AnnotationOnSeries], settings: MiningSettings
) -> NDArray[np.intp]:
    """Return the fused boxes whose embeddings mining reads, ascending, counted among the fused boxes.

    Those are the centres of all tracklets, and what continues an annotation on its neighbouring grid slices.
    """
    tracklets = build_tracklets(proposals, settings)
    wanted = [tracklets.centres]
    wanted += boxes_beside(tracklets, annotations, continue_annotations(tracklets, annotations, settings))
    linked = np.flatnonzero(proposals.of(FUSED).scores >= settings.tracklet_min_score)
    return np.unique(linked[np.concatenate(wanted)])


def places_of(proposals: Proposals, rows: NDArray[np.intp]) -> list[tuple[float, Box2D]]:
    """Return where fused boxes lie: slice of the series, a fraction between two, and voxel edges."""
    fused = proposals.of(FUSED)
    slices = fused.grid_index[rows] * (fused.grid_spacing_mm / fused.slice_spacing_mm)
    boxes = fused.boxes[rows].astype(np.float64).tolist()
    return [(place, (x1, y1, x2, y2)) for place, (x1, y1, x2, y2) in zip(slices.tolist(), boxes, strict=True)]


def with_embeddings(proposals: Proposals, rows: NDArray[np.intp], vectors: NDArray[np.float32]) -> Proposals:
    """Return the same boxes with other embeddings: `vectors` for some fused boxes, and zeros for those not embedded."""
    embeddings = np.zeros((len(proposals.embeddings), vectors.shape[1]), dtype=np.float32)
    embeddings[rows] = vectors
    return replace(proposals, embeddings=embeddings)
