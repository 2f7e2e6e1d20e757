"""Intra-patient matching: a finding that looks like a lesion annotated in another series of the patient.

See algorithms 5.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.mining.inputs import require_one_length

Known = tuple[int, int, NDArray[np.float32]]
"""Id of an annotation or decision, id of its series, embedding."""


@dataclass(frozen=True, slots=True)
class Match:
    """A finding and the known lesion that it resembles most.

    Attributes
    ----------
    row
        Where the finding's embedding stands among all.
    annotation_id
        The nearest annotation, or decision.
    distance
        How far the two embeddings lie apart, in [0, 2].
    is_decision
        Whether the id is that of a decision.
    """

    row: int
    annotation_id: int
    distance: float
    is_decision: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class KnownLesions:
    """The embedded annotations of one patient, and what readers decided as lesions behind them.

    Attributes
    ----------
    ids, series
        (a,) of the annotations and decisions, and of the series each lies in.
    embeddings
        (a, d) of unit length.
    annotations
        How many of them are annotations.
    """

    ids: NDArray[np.int64]
    series: NDArray[np.int64]
    embeddings: NDArray[np.float64]
    annotations: int

    @classmethod
    def gather(cls, annotations: Sequence[Known], decided: Sequence[Known] = ()) -> "KnownLesions":
        """Collect what is known of annotations and decisions.

        Raises
        ------
        BoxError
            If the embeddings have different lengths.
        """
        known = [*annotations, *decided]
        require_one_length([note[2] for note in known])
        return cls(
            ids=np.asarray([note[0] for note in known], dtype=np.int64),
            series=np.asarray([note[1] for note in known], dtype=np.int64),
            embeddings=np.asarray([note[2] for note in known] or np.zeros((0, 0)), dtype=np.float64),
            annotations=len(annotations),
        )

    def match(self, row: int, lesion: int, distance: float) -> Match:
        """Return what row of the findings resembles which of these lesions, and how much."""
        return Match(row, int(self.ids[lesion]), distance, is_decision=lesion >= self.annotations)


def match_lesions(
    embeddings: NDArray[np.float64], series_id: int | None, known: KnownLesions, distance_limit: float
) -> list[Match]:
    """Match the findings of one series to annotations of the patient.

    Parameters
    ----------
    embeddings
        (n, d) of the findings, of unit length. A row of zeros was not embedded and matches nothing.
    series_id
        The series of the findings, whose own lesions are no partners; None lets those of all series be partners.
    distance_limit
        A match must lie below it.

    Returns
    -------
    list
        At most one match for each finding, with its nearest known lesion (the first of equals).
    """
    elsewhere = np.arange(len(known.ids)) if series_id is None else np.flatnonzero(known.series != series_id)
    if elsewhere.size == 0 or len(embeddings) == 0:
        return []
    distances = embedding_distances(embeddings, known.embeddings[elsewhere])
    nearest = distances.argmin(axis=1)
    smallest = distances[np.arange(len(distances)), nearest]
    return [
        known.match(int(row), int(elsewhere[nearest[row]]), float(smallest[row]))
        for row in np.flatnonzero(smallest < distance_limit)
    ]


def embedding_distances(embeddings: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Euclidean distance of every pair of unit vectors, (n, m) in [0, 2]; infinite where one is all zero.

    Raises
    ------
    BoxError
        If the two come from embeddings of different length.
    """
    require_one_length([*embeddings[:1], *others[:1]])
    if len(embeddings) == 0 or len(others) == 0:
        return np.zeros((len(embeddings), len(others)))
    # The lengths are 1 in single precision only, which matters for the difference of near vectors.
    lengths = (embeddings**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None, :]
    distances = np.sqrt(np.clip(lengths - 2.0 * (embeddings @ others.T), 0.0, 4.0))
    distances[~embeddings.any(axis=1)] = np.inf
    distances[:, ~others.any(axis=1)] = np.inf
    return np.asarray(distances, dtype=np.float64)
