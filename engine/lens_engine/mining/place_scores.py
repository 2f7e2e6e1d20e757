"""What every expert and their fusion say at the place of one finding, also where their own box is another one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import overlaps
from lens_engine.findings import FUSED, Finding, SliceBox
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.places import holds_centre
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.slices import NO_ROWS, rows_by_slice
from lens_engine.proposals import Proposals
from lens_engine.stacking import nearest_grid_index


@dataclass(frozen=True, slots=True, eq=False)
class PlaceScores:
    """The boxes of one series, ready to be asked about places.

    Attributes
    ----------
    proposals
        2D boxes of every expert and their fusion.
    rows_of_slice
        Rows of `proposals` on each grid slice.
    findings
        3D boxes of the same.
    boxes
        (n, 6) of `findings`.
    settings
        `linking_iou` and `same_lesion_iou` say when two boxes lie at one place.
    """

    proposals: Proposals
    rows_of_slice: dict[int, NDArray[np.intp]]
    findings: tuple[Finding, ...]
    boxes: NDArray[np.float64]
    settings: MiningSettings

    @classmethod
    def of(cls, series: SeriesMiningInput, settings: MiningSettings) -> "PlaceScores":
        """Sort the boxes of a series by place."""
        boxes = np.asarray([finding.box for finding in series.findings], dtype=np.float64).reshape(-1, 6)
        return cls(series.proposals, rows_by_slice(series.proposals.grid_index), series.findings, boxes, settings)

    def complete(self, finding: Finding) -> Finding:
        """Return a finding with the score of every expert, and of the fusion, that sees its place.

        That is the best of three: what the finding says itself, the expert's best 2D box at one of the cross-sections,
        and the expert's 3D box that overlaps most among those at the same place (as for decisions: 3D IoU of at least
        `same_lesion_iou`, or either centre inside the other). Where false-positive reduction has judged the fused
        finding at the place again, the fusion says what that one says: its 2D boxes are those of before.
        """
        scores = dict(finding.expert_scores)
        nearest = self._nearest(finding)
        for name, score in (
            (finding.expert, finding.score),
            *self._on_slices(finding.slices),
            *((name, other.score) for name, other in nearest.items()),
        ):
            scores[name] = max(score, scores.get(name, 0.0))
        fused = nearest.get(FUSED)
        if fused is not None and fused.detector_score is not None:
            scores[FUSED] = fused.score
        return replace(finding, expert_scores={name: scores[name] for name in self._in_order(scores)})

    def _on_slices(self, sections: Sequence[SliceBox]) -> list[tuple[str, float]]:
        best = np.zeros(len(self.proposals.experts))
        grid_mm, slice_mm = self.proposals.grid_spacing_mm, self.proposals.slice_spacing_mm
        for section in sections:
            rows = self.rows_of_slice.get(nearest_grid_index(section.slice_index, grid_mm, slice_mm), NO_ROWS)
            ious = overlaps(self.proposals.boxes[rows], np.asarray([section.box]))[:, 0]
            near = rows[ious > self.settings.linking_iou]
            np.maximum.at(best, self.proposals.expert_index[near], self.proposals.scores[near].astype(np.float64))
        return [(name, float(score)) for name, score in zip(self.proposals.experts, best, strict=True) if score > 0]

    def _nearest(self, finding: Finding) -> dict[str, Finding]:
        """Return the 3D finding of each expert at a place that overlaps most with what is asked about."""
        box = np.asarray([finding.box], dtype=np.float64)
        ious = overlaps(box, self.boxes)[0]
        is_same = (ious >= self.settings.same_lesion_iou) | holds_centre(box, self.boxes)
        best: dict[str, int] = {}
        for row in np.flatnonzero(is_same).tolist():
            expert, score = self.findings[row].expert, self.findings[row].score
            before = best.get(expert)
            if before is None or (ious[row], score) > (ious[before], self.findings[before].score):
                best[expert] = row
        return {expert: self.findings[row] for expert, row in best.items()}

    def _in_order(self, scores: dict[str, float]) -> list[str]:
        return [name for name in self.proposals.experts if name in scores] + [
            name for name in scores if name not in self.proposals.experts
        ]
