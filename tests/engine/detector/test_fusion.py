import torch

from lens_engine.detector.config import PostConfig
from lens_engine.detector.fusion import fuse_experts

SIZE = (100, 80)


def on_slice(*boxes_of_expert):
    """Stack one list of boxes per expert to (r, experts, 4)."""
    return torch.tensor(boxes_of_expert, dtype=torch.float32).transpose(0, 1)


def test_the_better_expert_survives_where_two_see_the_same_lesion():
    boxes = on_slice([[10, 10, 30, 30]], [[11, 10, 31, 30]])
    found = fuse_experts(boxes, torch.tensor([[0.4, 0.9]]), SIZE, PostConfig())
    assert [len(expert.scores) for expert in found.experts] == [1, 1]
    torch.testing.assert_close(found.fused.boxes, torch.tensor([[11.0, 10, 31, 30]]))
    torch.testing.assert_close(found.fused.scores, torch.tensor([0.9]))


def test_different_lesions_of_different_experts_are_all_fused():
    boxes = on_slice([[10, 10, 30, 30]], [[50, 50, 60, 70]])
    assert len(fuse_experts(boxes, torch.tensor([[0.4, 0.9]]), SIZE, PostConfig()).fused.scores) == 2


def test_scores_below_the_threshold_are_dropped():
    boxes = on_slice([[0, 0, 5, 5], [20, 20, 30, 30]])
    found = fuse_experts(boxes, torch.tensor([[0.05], [0.049]]), SIZE, PostConfig(score_threshold=0.05))
    assert len(found.fused.scores) == 1


def test_boxes_are_cut_at_the_image_and_dropped_outside_it():
    boxes = on_slice([[-10, 90, 20, 120], [90, 10, 99, 20]])
    found = fuse_experts(boxes, torch.tensor([[0.8], [0.9]]), SIZE, PostConfig())
    assert found.fused.boxes.tolist() == [[0, 90, 20, 100]]


def test_each_expert_keeps_its_best_boxes_only():
    corners = torch.arange(6).float()[:, None] * 12
    boxes = torch.cat([corners, corners, corners + 8, corners + 8], dim=1)[:, None]
    scores = torch.tensor([0.3, 0.9, 0.5, 0.2, 0.8, 0.1])[:, None]
    found = fuse_experts(boxes, scores, SIZE, PostConfig(per_slice=3))
    torch.testing.assert_close(found.fused.scores, torch.tensor([0.9, 0.8, 0.5]))
