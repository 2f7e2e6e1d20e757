import math

import pytest
import torch

from lens_engine.detector.network.box_coder import decode_boxes, encode_boxes


def test_decoding_inverts_encoding():
    corner = torch.rand(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 100
    sides = torch.rand(50, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 40 + 2
    boxes = torch.cat([corner, corner + sides], dim=1)
    proposals = boxes.roll(1, dims=0)
    torch.testing.assert_close(decode_boxes(encode_boxes(boxes, proposals), proposals), boxes)


def test_deltas_are_relative_to_half_open_sizes():
    deltas = encode_boxes(torch.tensor([[10.0, 0, 30, 10]]), torch.tensor([[0.0, 0, 10, 10]]))
    assert deltas[0].tolist() == pytest.approx([1.5, 0, math.log(2), 0])


def test_growth_is_limited():
    box = decode_boxes(torch.tensor([[0.0, 0, 50, 50]]), torch.tensor([[0.0, 0, 16, 16]]))
    assert (box[0, 2] - box[0, 0]).item() == pytest.approx(1000, rel=1e-4)
