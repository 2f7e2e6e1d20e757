"""What of a series mining compares, so that nothing else needs an embedding, and the vectors of that."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lens_engine.findings import FUSED, Box2D
from lens_engine.mining.inputs import AnnotationOnSeries
from lens_engine.mining.rules.cross_slice import boxes_beside, continue_annotations
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.tracklets import build_tracklets
from lens_engine.proposals import Proposals

Embed = Callable[[Sequence[tuple[float, Box2D]]], NDArray[np.float32]]
"""Returns unit vectors (n, d) of n boxes of one series, each on a slice of it, perhaps between two."""
Vectors = Mapping[int, NDArray[np.float32]]
"""The vector of each annotation or decision, by its id."""


class SeriesLesions(NamedTuple):
    """The labels of a series, and what readers decided as a lesion there."""

    annotations: tuple[AnnotationOnSeries, ...]
    decided: tuple[AnnotationOnSeries, ...] = ()


class ComparedBoxes(NamedTuple):
    """Boxes that mining compares: their rows among the fused boxes of a series, (m,), and where they lie."""

    rows: NDArray[np.intp]
    places: Sequence[tuple[float, Box2D]]

    @classmethod
    def of(cls, proposals: Proposals, rows: NDArray[np.intp]) -> "ComparedBoxes":
        """Return the fused boxes in these rows."""
        return cls(rows, places_of(proposals, rows))


NO_BOXES = ComparedBoxes(np.zeros(0, dtype=np.intp), ())
"""Where there are no detections."""


@dataclass(frozen=True, slots=True, eq=False)
class SeriesVectors:
    """What one embedding says about one series.

    Attributes
    ----------
    annotations, decided
        Vectors of its known lesions.
    rows, boxes
        (m,) rows of fused boxes, and their vectors, (m, d).
    """

    annotations: Vectors
    decided: Vectors
    rows: NDArray[np.intp]
    boxes: NDArray[np.float32]

    @classmethod
    def none(cls) -> "SeriesVectors":
        """Return what is said of a series in which nothing was embedded."""
        return cls({}, {}, np.zeros(0, dtype=np.intp), np.zeros((0, 0), dtype=np.float32))

    def of_lesions(self, lesions: SeriesLesions) -> SeriesLesions:
        """Return known lesions with their vectors; what came after the embedding has none, and is no partner."""
        return SeriesLesions(
            tuple(replace(note, embedding=self.annotations.get(note.id)) for note in lesions.annotations),
            tuple(replace(note, embedding=self.decided.get(note.id)) for note in lesions.decided),
        )

    def of_boxes(self, proposals: Proposals) -> Proposals:
        """Return the boxes of the series with these embeddings in place of those they have."""
        return with_embeddings(proposals, self.rows, self.boxes)


def embed_series(embed: Embed, lesions: SeriesLesions, boxes: ComparedBoxes) -> SeriesVectors:
    """Embed the known lesions of a series, each on the slice it is recognised by, and the boxes that are compared.

    Parameters
    ----------
    embed
        Not called where there is nothing to embed.
    """
    known = (*lesions.annotations, *lesions.decided)
    places: list[tuple[float, Box2D]] = [
        (lesion.recognised_by.slice_index, lesion.recognised_by.box) for lesion in known
    ]
    places += boxes.places
    if not places:
        return SeriesVectors.none()
    vectors = embed(places)
    first = len(lesions.annotations)
    of_known = vectors[: len(known)]
    return SeriesVectors(
        {note.id: vector for note, vector in zip(lesions.annotations, of_known[:first], strict=True)},
        {note.id: vector for note, vector in zip(lesions.decided, of_known[first:], strict=True)},
        boxes.rows,
        vectors[len(known) :],
    )


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
