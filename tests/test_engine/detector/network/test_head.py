import math

import pytest
import torch
from torch.nn import functional

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.network.head import SharedHead, classifier, regressor


def test_a_new_classifier_is_undecided_so_that_its_first_loss_is_the_logarithm_of_two(tiny_config):
    """Algorithms 4.2: softmax with a bias of zero."""
    torch.manual_seed(0)
    model = LensDetector(tiny_config)
    shared = model.head_features(torch.randn(1, 8, 8, 8), [torch.tensor([[2.0, 3, 20, 21]]).expand(64, 4)])
    for layer in model.classifiers:
        loss = functional.cross_entropy(layer(shared), torch.arange(64) % 2)
        assert float(loss) == pytest.approx(math.log(2), abs=0.01)
    torch.testing.assert_close(model.expert_scores(shared), torch.full((64, 2), 0.5), atol=0.02, rtol=0)


def test_a_new_regressor_leaves_boxes_almost_where_they_are(tiny_config):
    torch.manual_seed(0)
    model = LensDetector(tiny_config)
    boxes = torch.tensor([[2.0, 3, 20, 21], [0, 0, 8, 30]])
    shared = model.head_features(torch.randn(1, 8, 8, 8), [boxes])
    torch.testing.assert_close(model.expert_boxes(shared, boxes), boxes[:, None].expand(2, 2, 4), atol=0.2, rtol=0)


def test_layers_begin_with_the_published_spread():
    torch.manual_seed(0)
    head = SharedHead(4, 7, 100)
    bound = (3 / (4 * 49)) ** 0.5
    assert 0.98 * bound < head.fc6.weight.abs().max() <= bound
    assert float(classifier(4000).weight.std()) == pytest.approx(0.01, rel=0.05)
    assert float(regressor(4000).weight.std()) == pytest.approx(0.001, rel=0.05)
    assert not any(layer.bias.any() for layer in (head.fc6, head.fc7, classifier(4), regressor(4)))
