import torch

from lens_engine.detector.network.embedding import embed


def test_every_embedding_has_length_one(tiny_detector):
    features = torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    boxes = [torch.tensor([[0.0, 0, 5, 5], [10, 10, 40, 50]]), torch.tensor([[50.0, 60, 64, 72]])]
    with torch.no_grad():
        found = embed(tiny_detector, features, boxes)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))


def test_a_silent_head_still_gives_unit_vectors(tiny_detector):
    with torch.no_grad():
        tiny_detector.head.fc7.weight.zero_()
        tiny_detector.head.fc7.bias.fill_(-1)
        found = embed(tiny_detector, torch.ones(1, 8, 4, 4), [torch.tensor([[0.0, 0, 8, 8]])])
    torch.testing.assert_close(found.norm(dim=1), torch.ones(1))
