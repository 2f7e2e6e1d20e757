import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lens_engine.boxes import non_maximum_suppression
from lens_engine.detector.config import PostConfig
from lens_engine.detector.inference.fusion import ABSENT, fuse_experts, select

SIZE = (100, 80)


def on_slice(*boxes_of_expert):
    """Stack one list of boxes per expert to (1, r, experts, 4)."""
    return torch.tensor(boxes_of_expert, dtype=torch.float32).transpose(0, 1)[None]


def fused_on_slice(boxes, scores, post):
    found = fuse_experts(boxes, torch.tensor(scores)[None], SIZE, post)
    number = int(found.fused.counts[0])
    return found, found.fused.boxes[0, :number], found.fused.scores[0, :number]


def test_the_better_expert_survives_where_two_see_the_same_lesion():
    boxes = on_slice([[10, 10, 30, 30]], [[11, 10, 31, 30]])
    found, fused, scores = fused_on_slice(boxes, [[0.4, 0.9]], PostConfig())
    assert found.experts.counts.tolist() == [[1, 1]]
    torch.testing.assert_close(fused, torch.tensor([[11.0, 10, 31, 30]]))
    torch.testing.assert_close(scores, torch.tensor([0.9]))


def test_different_lesions_of_different_experts_are_all_fused():
    boxes = on_slice([[10, 10, 30, 30]], [[50, 50, 60, 70]])
    assert len(fused_on_slice(boxes, [[0.4, 0.9]], PostConfig())[1]) == 2


def test_scores_below_the_threshold_are_dropped():
    boxes = on_slice([[0, 0, 5, 5], [20, 20, 30, 30]])
    assert len(fused_on_slice(boxes, [[0.05], [0.049]], PostConfig(score_threshold=0.05))[1]) == 1


def test_a_threshold_of_zero_takes_no_proposal_that_is_none():
    boxes = on_slice([[0, 0, 5, 5], [20, 20, 30, 30]])
    assert len(fused_on_slice(boxes, [[0.0], [ABSENT]], PostConfig(score_threshold=0))[1]) == 1


def test_boxes_are_cut_at_the_image_and_dropped_outside_it():
    boxes = on_slice([[-10, 90, 20, 120], [90, 10, 99, 20]])
    _, fused, _ = fused_on_slice(boxes, [[0.8], [0.9]], PostConfig())
    assert fused.tolist() == [[0, 90, 20, 100]]


def test_each_expert_keeps_its_best_boxes_only():
    corners = torch.arange(6).float()[:, None] * 12
    boxes = torch.cat([corners, corners, corners + 8, corners + 8], dim=1)[None, :, None]
    scores = [[score] for score in (0.3, 0.9, 0.5, 0.2, 0.8, 0.1)]
    torch.testing.assert_close(fused_on_slice(boxes, scores, PostConfig(per_slice=3))[2], torch.tensor([0.9, 0.8, 0.5]))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 60), st.integers(1, 3), st.integers(0, 1000), st.integers(1, 70))
def test_selecting_many_sets_at_once_equals_one_greedy_nms_for_each(count, sets, seed, limit):
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(sets, count, 2, generator=generator) * 40
    boxes = torch.cat([low, low + torch.rand(sets, count, 2, generator=generator) * 20 + 1], dim=-1)
    scores = torch.randint(0, 20, (sets, count), generator=generator) / 20  # with many of the same
    possible = torch.rand(sets, count, generator=generator) > 0.3
    found = select(boxes, scores, possible, 0.5, limit)
    for one in range(sets):
        rows = np.flatnonzero(possible[one].numpy())
        own = boxes[one].numpy()[rows], scores[one].numpy()[rows]
        kept = rows[non_maximum_suppression(*own, 0.5)][:limit]
        assert int(found.counts[one]) == len(kept)
        np.testing.assert_array_equal(found.boxes[one, : len(kept)].numpy(), boxes[one].numpy()[kept])
        assert not found.boxes[one, len(kept) :].any()
