"""What the detector says about one series: 2D boxes on its 2 mm grid, and the findings stacked from them.

Proposals are columns, not objects, because a series has tens of thousands. Boxes are half-open voxel edges of the
series (not of the network's input); only the slice is a grid slice.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import BoxError
from lens_engine.findings import FUSED, Finding


@dataclass(frozen=True, slots=True, eq=False)
class Proposals:
    """Final 2D boxes of every expert and of their fusion, after score threshold and NMS (algorithms 4.4).

    Attributes
    ----------
    experts
        Names; `expert_index` points into it, the last name is `FUSED`.
    grid_spacing_mm, slice_spacing_mm
        Distance of two grid slices, and of two slices of the series. Grid slice j lies at
        `j * grid_spacing_mm` below the first slice of the series.
    expert_index
        int16 (n,).
    grid_index
        int32 (n,), grid slice of each box; ascending within an expert.
    boxes
        float32 (n, 4), `[x1, y1, x2, y2]`.
    scores
        float32 (n,), in [0, 1].
    embeddings
        float32 (m, d) of unit length, one for each of the m fused boxes in their order; other boxes have none.
    """

    experts: tuple[str, ...]
    grid_spacing_mm: float
    slice_spacing_mm: float
    expert_index: NDArray[np.int16]
    grid_index: NDArray[np.int32]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    embeddings: NDArray[np.float32]

    def __post_init__(self) -> None:
        count = len(self.scores)
        lengths = {len(self.expert_index), len(self.grid_index), len(self.boxes), count}
        if lengths != {count}:
            raise BoxError(f"The columns have lengths {sorted(lengths)}", "One value per box is needed", "")
        if not self.experts or self.experts[-1] != FUSED:
            raise BoxError(f"The experts are {self.experts}", f"The last one must be {FUSED!r}", "")
        fused = int(np.count_nonzero(self.is_fused))
        if len(self.embeddings) != fused:
            raise BoxError(
                f"There are {len(self.embeddings)} embeddings for {fused} fused boxes", "One for each is needed", ""
            )

    @property
    def is_fused(self) -> NDArray[np.bool_]:
        """Which boxes belong to the fusion, (n,)."""
        return np.asarray(self.expert_index == len(self.experts) - 1)

    def of(self, expert: str) -> "Proposals":
        """Return the rows of one expert (or of `FUSED`), in the same order."""
        return self.take(np.flatnonzero(self.expert_index == self.experts.index(expert)))

    def take(self, rows: NDArray[np.intp]) -> "Proposals":
        """Return the given rows, in the given order."""
        is_fused = self.is_fused
        embedding_of_row = np.cumsum(is_fused) - 1
        return Proposals(
            self.experts,
            self.grid_spacing_mm,
            self.slice_spacing_mm,
            self.expert_index[rows],
            self.grid_index[rows],
            self.boxes[rows],
            self.scores[rows],
            self.embeddings[embedding_of_row[rows[is_fused[rows]]]],
        )

    def without_embeddings(self) -> "Proposals":
        """Return the same boxes with embeddings of no length, for what never compares them."""
        return replace(self, embeddings=self.embeddings[:, :0])


@dataclass(frozen=True, slots=True, eq=False)
class SeriesDetections:
    """Everything one model version says about one series."""

    proposals: Proposals
    findings: tuple[Finding, ...]
