"""New scores for findings: how likely the network thinks each is a lesion, alone or averaged with the detector's."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

import numpy as np
import torch
from numpy.typing import NDArray

from lens_engine.detector.false_positive_reduction.network import FprNetwork
from lens_engine.detector.false_positive_reduction.patches import PatchCutter, by_depth
from lens_engine.findings import FUSED, Finding
from lens_engine.progress import ProgressCallback
from lens_engine.proposals import SeriesDetections
from lens_engine.volume import Volume

PATCHES_AT_ONCE = 32


class ScoreRule(StrEnum):
    """What becomes the score of a finding."""

    AVERAGE = "average"
    """Mean of the detector's and the network's (LENS Eq. 4)."""
    ALONE = "alone"
    """The network's only."""


def reduce_in_series(
    network: FprNetwork, volume: Volume, found: SeriesDetections, on_progress: ProgressCallback | None = None
) -> SeriesDetections:
    """Return what a detector found in a series with the final scores of its fused findings, best first (LENS Eq. 4).

    The network has learned from fused findings only: those of single experts, and all 2D boxes, stay as they are.
    """
    of_experts = tuple(finding for finding in found.findings if finding.expert != FUSED)
    fused = [finding for finding in found.findings if finding.expert == FUSED]
    final = rescored(fused, lesion_probabilities(network, volume, fused, on_progress=on_progress))
    return replace(found, findings=of_experts + tuple(sorted(final, key=lambda finding: -finding.score)))


@torch.inference_mode()
def lesion_probabilities(
    network: FprNetwork,
    volume: Volume,
    findings: Sequence[Finding],
    *,
    batch: int = PATCHES_AT_ONCE,
    dtype: torch.dtype = torch.float32,
    on_progress: ProgressCallback | None = None,
) -> NDArray[np.float64]:
    """Return how likely each finding is a lesion, in [0, 1], (n,).

    Memory grows with `batch`, not with the number of findings or slices.

    Parameters
    ----------
    network
        In evaluation mode; the work is done on its device.
    dtype
        Of the convolutions: `torch.bfloat16` is faster where the device is made for it.
    """
    device = next(network.parameters()).device
    boxes = [finding.box for finding in findings]
    order = by_depth(boxes)
    cutter = PatchCutter(volume, network.config)
    probabilities = np.zeros(len(findings))
    for start in range(0, len(order), batch):
        numbers = order[start : start + batch]
        patches = [cutter.cut(boxes[number]) for number in numbers]
        voxels = torch.from_numpy(np.stack([patch.voxels for patch in patches]))[:, None].to(device)
        places = torch.from_numpy(np.stack([patch.box for patch in patches])).to(device)
        with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
            maps = network.trunk(voxels)
        probabilities[numbers] = network.judge(maps, places).double().sigmoid().cpu().numpy()
        if on_progress is not None:
            on_progress(start + len(numbers), len(order))
    return probabilities


def rescored(
    findings: Sequence[Finding], probabilities: NDArray[np.float64], rule: ScoreRule = ScoreRule.AVERAGE
) -> tuple[Finding, ...]:
    """Return the findings with scores by the rule, in their order.

    The 3D score alone changes, and the detector's is kept beside it. The scores of the cross-sections and of the
    experts stay what the detector said: nobody has looked at them again.
    """
    return tuple(
        replace(finding, score=_score(finding.score, float(probability), rule), detector_score=finding.score)
        for finding, probability in zip(findings, probabilities, strict=True)
    )


def _score(detector: float, network: float, rule: ScoreRule) -> float:
    return network if rule is ScoreRule.ALONE else (detector + network) / 2
