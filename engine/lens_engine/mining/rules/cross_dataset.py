"""Cross-dataset mining: what single-type experts see and nobody has marked (algorithms 5.3)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import non_maximum_suppression
from lens_engine.findings import FUSED, Finding
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.places import Marks, lies_at
from lens_engine.mining.settings import MiningSettings
from lens_engine.proposals import Proposals
from lens_engine.stacking import findings_of_chains, link


def single_type_experts(series: SeriesMiningInput) -> tuple[str, ...]:
    """Return the experts whose data sets label one type of lesion."""
    return tuple(name for name in series.proposals.experts if name != FUSED and name not in series.universal_experts)


def uncertain_findings(series: SeriesMiningInput, known: Sequence[Marks], settings: MiningSettings) -> list[Finding]:
    """Return the lesions that a single-type expert is sure of, away from all known ones.

    The published rule works on 2D boxes; those that remain are linked, so that a reader is asked once for each lesion.

    Parameters
    ----------
    known
        Places of annotations and of mined missing annotations.
    """
    boxes = uncertain_boxes(series, known, settings)
    chains = link(boxes.boxes, boxes.grid_index, settings.linking_iou)
    return findings_of_chains(boxes, chains, series.proposals, series.slices)


def uncertain_boxes(series: SeriesMiningInput, known: Sequence[Marks], settings: MiningSettings) -> Proposals:
    """Return the uncertain 2D boxes of a series, one for each place and slice."""
    proposals = series.proposals
    single_type = single_type_experts(series)
    limits = [settings.min_score_of(name) if name in single_type else np.inf for name in proposals.experts]
    is_sure = proposals.scores > np.asarray(limits)[proposals.expert_index]
    boxes = proposals.take(np.flatnonzero(is_sure))
    is_known = np.zeros(len(boxes.scores), dtype=np.bool_)
    for marks in known:
        is_known |= lies_at(boxes.boxes, boxes.grid_index, marks, settings.overlap_ratio)
    boxes = boxes.take(np.flatnonzero(~is_known))
    return boxes.take(_best_of_each_slice(boxes, settings.uncertain_nms_iou))


def _best_of_each_slice(boxes: Proposals, nms_iou: float) -> NDArray[np.intp]:
    """Return the rows that survive on their slice, slice by slice, the best first.

    All slices at once, as solids: those of different slices share nothing, two of one slice as much as their areas.
    """
    top = boxes.grid_index[:, None].astype(np.float64)
    solids = np.concatenate([boxes.boxes[:, :2], top, boxes.boxes[:, 2:], top + 1], axis=1)
    kept = non_maximum_suppression(solids, boxes.scores, nms_iou)
    return kept[np.argsort(boxes.grid_index[kept], kind="stable")]
