"""Which boxes of a series hit a known lesion, by the rule of the evaluation. Needs neither Qt nor napari."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import Overlap
from lens_engine.evaluation.froc import HIT_THRESHOLD, Matches, match, prediction_rows, rule_name
from lens_engine.evaluation.outcomes import Outcome
from lens_engine.findings import Box2D, Finding
from lens_engine.store.labels.complete_truth import TrueLesion
from lens_napari.review.box_table import ANNOTATIONS, NO_LESION, BoxState, Rectangle, Shown

CASE = "the series"
RULE = rule_name("3D", Overlap.IOBB, HIT_THRESHOLD)
RULE_IN_WORDS = (
    f"A box is true where at least {HIT_THRESHOLD:.0%} of it lies in the box of a known lesion "
    f"({RULE}, as in the evaluation)."
)
NOTHING_SHOWN = "Tick an expert or the fusion above to compare it."
Drawn = dict[str, tuple[Rectangle, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """The boxes that are shown, compared with the truth.

    Attributes
    ----------
    is_true
        (n,) bool, whether each finding of the series hits a known lesion, in the order of the rows of the box table,
        where findings come first.
    missed
        Cross-sections of the lesions that nothing shown has found, by slice.
    lines
        What is said of each expert that is shown, and of the fusion.
    """

    is_true: NDArray[np.bool_]
    missed: Mapping[int, tuple[Box2D, ...]]
    lines: tuple[str, ...]

    def marked(self, rectangles: Mapping[str, tuple[Rectangle, ...]], slice_index: int) -> Drawn:
        """Return the rectangles of a slice with what they are, and the missed lesions among the annotations."""
        marked = {group: tuple(self._marked(one) for one in boxes) for group, boxes in rectangles.items()}
        missed = (
            Rectangle(ANNOTATIONS, box, 1.0, NO_LESION, BoxState.PLAIN, is_dimmed=False, outcome=Outcome.MISSED)
            for box in self.missed.get(slice_index, ())
        )
        return marked | {ANNOTATIONS: (*marked[ANNOTATIONS], *missed)}

    def _marked(self, rectangle: Rectangle) -> Rectangle:
        if not 0 <= rectangle.row < len(self.is_true):
            return rectangle
        outcome = Outcome.HIT if self.is_true[rectangle.row] else Outcome.FALSE_POSITIVE
        return replace(rectangle, is_dimmed=False, outcome=outcome)


class Comparison:
    """The findings of one series matched with all its lesions, once for all thresholds.

    Parameters
    ----------
    findings
        In the order of the rows of the box table.
    lesions
        Every lesion of the series.
    """

    def __init__(self, findings: Sequence[Finding], lesions: Sequence[TrueLesion]) -> None:
        self._lesions = tuple(lesions)
        self._is_true = np.zeros(len(findings), dtype=np.bool_)
        self._matches: dict[str, Matches] = {}
        truth = np.asarray([lesion.box for lesion in lesions], dtype=np.float64).reshape(-1, 6)
        for expert in {finding.expert for finding in findings}:
            rows = np.flatnonzero([finding.expert == expert for finding in findings])
            matches = match({CASE: prediction_rows(findings, expert)}, {CASE: truth})
            self._is_true[rows[matches.rows]] = ~matches.is_false_positive
            self._matches[expert] = matches

    def of(self, shown: Shown) -> Compared:
        """Compare the experts that are shown, and the fusion, each from its threshold on."""
        experts = [expert for expert in shown.thresholds if shown.has(expert)]
        is_found = np.zeros(len(self._lesions), dtype=np.bool_)
        lines = []
        for expert in experts:
            found, false = self._of_expert(expert, shown.thresholds[expert])
            is_found |= found
            lines.append(self._line(expert, shown.thresholds[expert], int(found.sum()), false))
        missed: dict[int, list[Box2D]] = defaultdict(list)
        for i in np.flatnonzero(~is_found) if experts else ():
            for section in self._lesions[i].slices:
                missed[section.slice_index].append(section.box)
        return Compared(
            self._is_true, {key: tuple(boxes) for key, boxes in missed.items()}, tuple(lines) or (NOTHING_SHOWN,)
        )

    def _of_expert(self, expert: str, threshold: float) -> tuple[NDArray[np.bool_], int]:
        """Return which lesions an expert finds from a score on, and how many false boxes it has there."""
        if expert not in self._matches:
            return np.zeros(len(self._lesions), dtype=np.bool_), 0
        matches = self._matches[expert]
        is_shown = matches.scores.astype(np.float32) >= np.float32(threshold)  # as the box table compares
        is_found = (matches.found_by >= 0) & np.append(is_shown, False)[matches.found_by]
        return is_found, int((is_shown & matches.is_false_positive).sum())

    def _line(self, expert: str, threshold: float, found: int, false: int) -> str:
        known = f"{found} of {len(self._lesions)} found" if self._lesions else "no lesion is known"
        return f"{expert} at {threshold:.2f}: {known}, {false} false"
