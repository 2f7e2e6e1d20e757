import torch

from benchmarks.detector import operations
from benchmarks.detector.subjects import crowded_boxes
from lens_engine.boxes import non_maximum_suppression
from lens_engine.detector.network import ops


def test_the_other_roi_aligns_pool_the_same():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 3, 12, 17, generator=generator)
    low = torch.rand(9, 2, generator=generator) * 60 - 15
    boxes = torch.cat([low, low + torch.rand(9, 2, generator=generator) * 40], dim=1)
    expected = ops.roi_align(features, [boxes], operations.POOLED, operations.SCALE)
    for other in (operations.by_grid_sample, operations.by_gather):
        torch.testing.assert_close(other(features, boxes), expected, rtol=0, atol=1e-5)


def test_crowded_boxes_are_suppressed_to_about_one_for_each_lesion():
    boxes, scores = crowded_boxes(400, 3, per_lesion=8)
    assert boxes.shape == (400, 6)
    assert len(set(scores.tolist())) == 400
    assert 50 <= len(non_maximum_suppression(boxes, scores, 0.3)) < 200
