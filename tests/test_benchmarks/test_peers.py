import torch

from benchmarks.detector.peers import boxes_of, retinanet


def test_the_peer_takes_a_volume_in_one_pass_and_returns_boxes_in_it():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    (found,) = boxes_of(retinanet(width=4), torch.rand(1, 1, 64, 48, 16), in_autocast=False)
    boxes = found["boxes"]
    assert 0 < len(boxes) <= 300
    assert boxes.shape[1] == 6
    assert (boxes.amin(dim=0) >= 0).all()
    assert (boxes.amax(dim=0) <= torch.tensor([64, 48, 16, 64, 48, 16])).all()
