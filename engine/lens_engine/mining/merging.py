"""One question for each lesion: candidates that are parts of one lesion, or lie at one place, become one (ours).

Tracklets break where a lesion tapers, because the IoU of a large and a small cross-section is low; with thick slices
that happens to every second lesion. What several rules found, or one in several pieces, is asked once, for all reasons.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import Overlap, overlaps, sizes
from lens_engine.findings import Candidate, Finding, Reason, Rule
from lens_engine.mining.places import holds_centre
from lens_engine.mining.settings import MiningSettings

SUREST_FIRST = {Rule.CROSS_SLICE: 0, Rule.INTRA_PATIENT: 1, Rule.CROSS_DATASET: 2}

MAX_SIZE_RATIO = 2.0
"""A box whose centre lies in another is the same question only if neither is more than this many times larger."""


def merge_candidates(candidates: Sequence[Candidate], settings: MiningSettings) -> list[Candidate]:
    """Return one candidate for each lesion of a series, the surest rule and the best score first."""
    return _fold_same_places(_join_pieces(_sorted(candidates), settings), settings)


def _sorted(candidates: Iterable[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda c: (SUREST_FIRST[c.reasons[0].rule], -c.finding.score))


def _join_pieces(candidates: Sequence[Candidate], settings: MiningSettings) -> list[Candidate]:
    """Join candidates that follow each other along z, where the end of one lies mostly within the end of the other."""
    next_piece = dict(_following_pieces(candidates, settings))
    firsts = set(range(len(candidates))) - set(next_piece.values())
    joined = []
    for first in firsts:
        pieces = [first]
        while pieces[-1] in next_piece:
            pieces.append(next_piece[pieces[-1]])
        joined.append(_join([candidates[piece] for piece in sorted(pieces)]))
    return _sorted(joined)


def _following_pieces(candidates: Sequence[Candidate], settings: MiningSettings) -> list[tuple[int, int]]:
    """Return pairs (upper piece, lower piece), each candidate once on either side, the best IoU first."""
    tops = np.asarray([c.finding.slices[0].slice_index for c in candidates], dtype=np.intp)
    bottoms = np.asarray([c.finding.slices[-1].slice_index for c in candidates], dtype=np.intp)
    first_boxes = np.asarray([c.finding.slices[0].box for c in candidates], dtype=np.float64).reshape(-1, 4)
    last_boxes = np.asarray([c.finding.slices[-1].box for c in candidates], dtype=np.float64).reshape(-1, 4)
    pairs = []
    for upper in range(len(candidates)):
        # Two neighbouring grid slices may stand for one common slice of the series.
        follows = (tops >= bottoms[upper]) & (tops <= bottoms[upper] + 1)
        below = np.flatnonzero(follows & (tops > tops[upper]) & (bottoms > bottoms[upper]))
        if below.size == 0:
            continue
        end = last_boxes[upper : upper + 1]
        is_inside = overlaps(end, first_boxes[below], Overlap.IOBBGT)[0] > settings.overlap_ratio
        ious = overlaps(end, first_boxes[below])[0]
        pairs += [(-float(ious[i]), upper, int(below[i])) for i in np.flatnonzero(is_inside)]
    used: set[tuple[str, int]] = set()
    chosen = []
    for _, upper, lower in sorted(pairs):
        if not used & {("upper", upper), ("lower", lower)}:
            used |= {("upper", upper), ("lower", lower)}
            chosen.append((upper, lower))
    return chosen


def _join(pieces: Sequence[Candidate]) -> Candidate:
    """Return pieces, the surest first, as one candidate; on a common slice the surest says where the lesion is."""
    if len(pieces) == 1:
        return pieces[0]
    sections = {section.slice_index: section for piece in reversed(pieces) for section in piece.finding.slices}
    slices = tuple(sections[index] for index in sorted(sections))
    best = max(pieces, key=lambda piece: piece.finding.score).finding
    boxes, scores = np.asarray([s.box for s in slices]), np.asarray([s.score for s in slices])
    weights = scores if scores.sum() > 0 else np.ones(len(scores))
    x1, y1, x2, y2 = (float(value) for value in np.average(boxes, axis=0, weights=weights))
    finding = Finding(
        expert=best.expert,
        box=(x1, y1, float(slices[0].slice_index), x2, y2, float(slices[-1].slice_index + 1)),
        slices=slices,
        score=best.score,
        expert_scores=_best_scores([piece.finding for piece in pieces]),
    )
    return replace(pieces[0], finding=finding, reasons=_merge_reasons(pieces))


def _fold_same_places(candidates: Sequence[Candidate], settings: MiningSettings) -> list[Candidate]:
    """Fold each candidate into the surer one that asks about the same place, keeping the reasons of both.

    Two continuations are never folded: they are different annotated lesions.
    """
    boxes = np.asarray([candidate.finding.box for candidate in candidates], dtype=np.float64).reshape(-1, 6)
    kept: list[Candidate] = []
    kept_boxes = np.empty_like(boxes)
    for candidate, box in zip(candidates, boxes, strict=True):
        is_continuation = candidate.reasons[0].rule is Rule.CROSS_SLICE
        place = None if is_continuation else _same_place(box, kept_boxes[: len(kept)], settings)
        if place is None:
            kept_boxes[len(kept)] = box
            kept.append(candidate)
        else:
            kept[place] = _fold([kept[place], candidate])
    return kept


def _fold(candidates: Sequence[Candidate]) -> Candidate:
    """Return the first candidate with the reasons and the scores of all."""
    surest = candidates[0]
    finding = replace(surest.finding, expert_scores=_best_scores([candidate.finding for candidate in candidates]))
    return replace(surest, finding=finding, reasons=_merge_reasons(candidates))


def _best_scores(findings: Sequence[Finding]) -> dict[str, float]:
    names = dict.fromkeys(name for finding in findings for name in finding.expert_scores)
    return {name: max(finding.expert_scores.get(name, 0.0) for finding in findings) for name in names}


def _same_place(box: NDArray[np.float64], others: NDArray[np.float64], settings: MiningSettings) -> int | None:
    """Return the first of `others` that asks the same question as `box`."""
    near = np.flatnonzero(((others[:, :3] < box[3:]) & (box[:3] < others[:, 3:])).all(axis=1))
    if near.size == 0:
        return None
    others, box = others[near], box[None]
    ratio = sizes(others) / np.maximum(sizes(box), np.finfo(np.float64).tiny)
    is_similar = (ratio <= MAX_SIZE_RATIO) & (ratio >= 1 / MAX_SIZE_RATIO)
    is_same = (overlaps(box, others)[0] >= settings.same_lesion_iou) | (holds_centre(box, others) & is_similar)
    return int(near[np.argmax(is_same)]) if is_same.any() else None


def _merge_reasons(candidates: Sequence[Candidate]) -> tuple[Reason, ...]:
    """Return all reasons in order, the strongest one for each annotation, each decision and each expert."""
    merged: dict[tuple[Rule, int | None, int | None, str | None], Reason] = {}
    for reason in (reason for candidate in candidates for reason in candidate.reasons):
        key = (reason.rule, reason.annotation_id, reason.decision_id, reason.expert)
        if key not in merged or _strength(reason) > _strength(merged[key]):
            merged[key] = reason
    return tuple(merged.values())


def _strength(reason: Reason) -> float:
    if reason.distance is not None:
        return -reason.distance
    return reason.score if reason.score is not None else 0.0
