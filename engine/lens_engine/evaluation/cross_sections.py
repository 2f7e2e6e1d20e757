"""MELD's volumetric criterion: a finding is right if any of its cross-sections is right on its slice (algorithms 9.3).

The cross-sections are the boxes of the chain that the finding was stacked from, not its averaged 3D box.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import Overlap, overlaps
from lens_engine.errors import BoxError
from lens_engine.evaluation.froc import (
    Matches,
    VolumeHits,
    check_volumes,
    checked_predictions,
    checked_truth,
    hits_of_shares,
    pool,
    rule_name,
)
from lens_engine.findings import Finding, SliceBox

CROSS_SECTION_IOU = 0.5

LesionSections = Sequence[SliceBox]
"""One true lesion: its box on every slice where it is known, at least one."""


def match_cross_sections(
    findings: Mapping[str, Sequence[Finding]],
    truths: Mapping[str, Sequence[LesionSections]],
    threshold: float = CROSS_SECTION_IOU,
    is_strict: bool = True,
) -> Matches:
    """Compare the cross-sections of findings with those of the true lesions, slice by slice.

    Parameters
    ----------
    findings
        What one expert, or the fusion, found in each volume.
    truths
        The lesions of each volume, and the slices on which they are known.
    threshold, is_strict
        MELD asks for an IoU greater than 0.5.

    Raises
    ------
    BoxError
        If findings belong to no volume of the truth, a finding or a lesion has no cross-section, a true one is broken
        or empty, a score is NaN, or `threshold` is not in (0, 1].
    """
    rule = cross_section_rule(threshold, is_strict)
    check_volumes(findings, truths)
    volumes = {
        name: cross_section_hits(name, findings.get(name, ()), lesions, threshold, is_strict)
        for name, lesions in truths.items()
    }
    return pool(volumes, rule)


def cross_section_rule(threshold: float = CROSS_SECTION_IOU, is_strict: bool = True) -> str:
    """Return the rule as it is written beside a metric; raises as `froc.rule_name`."""
    return rule_name("any cross-section", Overlap.IOU, threshold, is_strict)


def cross_section_hits(
    name: str,
    found: Sequence[Finding],
    lesions: Sequence[LesionSections],
    threshold: float = CROSS_SECTION_IOU,
    is_strict: bool = True,
) -> VolumeHits:
    """Return which findings of one volume hit which of its lesions, for `froc.pool`; see `match_cross_sections`."""
    _, scores = checked_predictions(name, np.asarray([[finding.score] for finding in found]), 1)
    owners, boxes = _flat(name, [finding.slices for finding in found])
    lesion_of, truth = _flat(name, lesions)
    checked_truth(name, truth[:, 1:], 2)
    hits = np.zeros((len(found), len(lesions)), dtype=np.bool_)
    for slice_index in np.unique(truth[:, 0]):
        own, other = np.flatnonzero(boxes[:, 0] == slice_index), np.flatnonzero(truth[:, 0] == slice_index)
        with np.errstate(invalid="ignore"):
            shares = overlaps(boxes[own, 1:], truth[other, 1:], Overlap.IOU)
        rows, columns = np.nonzero(hits_of_shares(shares, threshold, is_strict))
        hits[owners[own[rows]], lesion_of[other[columns]]] = True
    return VolumeHits.where(scores, hits)


def _flat(name: str, groups: Sequence[Sequence[SliceBox]]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the group of each cross-section (m,), and slice index and box of each, (m, 5)."""
    if not all(groups):
        raise BoxError(
            f"A finding or lesion of {name} has no cross-section",
            "At least one slice with a box is needed for each",
            "Give a 3D box the same section on every slice with findings.slices_of_box",
        )
    owners = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    rows = [(item.slice_index, *item.box) for group in groups for item in group]
    return owners, np.asarray(rows, dtype=np.float64).reshape(-1, 5)
