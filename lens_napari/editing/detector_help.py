"""Further cross-sections of a box that a reader has begun, from what the detector saw at the place."""

from collections.abc import Sequence

import numpy as np

from lens_engine.boxes import overlaps
from lens_engine.findings import Finding
from lens_napari.editing.draft import Draft

LEAST_OVERLAP = 0.3
"""IoU on a slice from which a finding shows the lesion that the reader means; as for two boxes of one place in 3D."""


def with_detector(draft: Draft, findings: Sequence[Finding]) -> Draft | None:
    """Return a box in work with the slices on which the detector sees it, too; None where it sees nothing there.

    That is the finding, of any expert or the fusion, that overlaps most with the box on the slices of both. Where the
    reader has a cross-section, it stays.
    """
    best = max(findings, key=lambda finding: _overlap(draft, finding), default=None)
    if best is None or _overlap(draft, best) < LEAST_OVERLAP:
        return None
    return draft.with_slices(best.slices)


def _overlap(draft: Draft, finding: Finding) -> float:
    """Return the mean IoU on the slices that both have; 0 where they have none."""
    seen = {one.slice_index: one.box for one in finding.slices}
    both = [(one.box, seen[one.slice_index]) for one in draft.slices if one.slice_index in seen]
    if not both:
        return 0.0
    return float(np.mean([overlaps(np.asarray([own]), np.asarray([other]))[0, 0] for own, other in both]))
