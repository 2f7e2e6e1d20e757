from dataclasses import replace

import numpy as np
import pytest
import torch

from lens_engine.detector.false_positive_reduction.rescoring import (
    ScoreRule,
    lesion_probabilities,
    reduce_in_series,
    rescored,
)
from lens_engine.findings import FUSED, Finding, SliceBox
from lens_engine.proposals import Proposals, SeriesDetections


@pytest.fixture
def findings() -> tuple[Finding, ...]:
    """Return findings in no order of depth."""
    found = []
    for number, z in enumerate((6, 1, 4, 3, 7)):
        x, y = 20.0 + 4 * number, 40.0 - 3 * number
        part = SliceBox(z, (x, y, x + 8, y + 10), 0.3)
        found.append(Finding(FUSED, (x, y, z, x + 8, y + 10, z + 1), (part,), 0.1 * (number + 1), {"universal": 0.3}))
    return tuple(found)


def test_the_score_is_the_mean_of_both_and_nothing_else_changes(tiny_network, make_volume, findings):
    volume = make_volume(9)
    probabilities = lesion_probabilities(tiny_network, volume, findings)
    new = rescored(findings, probabilities)
    assert [finding.score for finding in new] == pytest.approx(
        [(finding.score + value) / 2 for finding, value in zip(findings, probabilities, strict=True)]
    )
    for before, after in zip(findings, new, strict=True):
        assert (after.box, after.slices, after.expert_scores) == (before.box, before.slices, before.expert_scores)
        assert (before.detector_score, after.detector_score) == (None, before.score)


def test_the_network_alone_can_score(findings):
    alone = rescored(findings, np.array([0.1, 0.9, 0.5, 0.3, 0.7]), ScoreRule.ALONE)
    assert [finding.score for finding in alone] == [0.1, 0.9, 0.5, 0.3, 0.7]


def test_every_finding_gets_its_own_probability_whatever_the_batch(tiny_network, make_volume, findings):
    volume = make_volume(9)
    together = lesion_probabilities(tiny_network, volume, findings)
    assert len(np.unique(together)) == len(findings)
    assert ((together > 0) & (together < 1)).all()
    for batch in (1, 2):
        np.testing.assert_allclose(
            lesion_probabilities(tiny_network, volume, findings, batch=batch), together, rtol=1e-5
        )
    backwards = lesion_probabilities(tiny_network, volume, findings[::-1])
    np.testing.assert_allclose(backwards[::-1], together, rtol=1e-5)


def test_no_more_patches_are_held_than_a_batch_has(tiny_network, make_volume, findings):
    counts: list[int] = []
    tiny_network.trunk.register_forward_hook(lambda _trunk, inputs, _maps: counts.append(len(inputs[0])))
    lesion_probabilities(tiny_network, make_volume(9), findings, batch=2)
    assert counts == [2, 2, 1]


def test_half_precision_stays_close(tiny_network, make_volume, findings):
    volume = make_volume(9)
    exact = lesion_probabilities(tiny_network, volume, findings)
    rough = lesion_probabilities(tiny_network, volume, findings, dtype=torch.bfloat16)
    np.testing.assert_allclose(rough, exact, atol=0.02)


def test_no_findings_stay_none(tiny_network, make_volume):
    assert rescored((), lesion_probabilities(tiny_network, make_volume(9), ())) == ()


@pytest.fixture
def detections(findings) -> SeriesDetections:
    """Return what a detector says whose expert and fusion find the same."""
    proposals = Proposals(
        experts=("universal", FUSED),
        grid_spacing_mm=4.0,
        slice_spacing_mm=5.0,
        expert_index=np.zeros(1, np.int16),
        grid_index=np.zeros(1, np.int32),
        boxes=np.zeros((1, 4), np.float32),
        scores=np.zeros(1, np.float32),
        embeddings=np.zeros((0, 4), np.float32),
    )
    return SeriesDetections(proposals, (*(replace(finding, expert="universal") for finding in findings), *findings))


def test_in_a_series_the_fused_findings_alone_are_judged_again_and_come_best_first(
    tiny_network, make_volume, findings, detections
):
    volume = make_volume(9)
    reduced = reduce_in_series(tiny_network, volume, detections)
    assert reduced.proposals is detections.proposals
    assert reduced.findings[:5] == detections.findings[:5]
    scores = [finding.score for finding in reduced.findings[5:]]
    assert scores == sorted(scores, reverse=True)
    probabilities = lesion_probabilities(tiny_network, volume, findings)
    final = {finding.box: finding for finding in rescored(findings, probabilities)}
    assert {finding.box: finding for finding in reduced.findings[5:]} == final


def test_the_progress_of_a_series_counts_its_fused_findings(tiny_network, make_volume, detections):
    told = []
    reduce_in_series(tiny_network, make_volume(9), detections, lambda *progress: told.append(progress))
    assert told == [(5, 5)]
