import numpy as np
import torch

from lens_engine.detector.inference.predict import detect
from lens_engine.detector.network.embedding import embed, embed_boxes
from lens_engine.findings import FUSED


def test_a_box_is_embedded_as_the_detector_embedded_it(tiny_detector, make_volume):
    volume = make_volume(6, (4.0, 2.0, 2.0))  # slices lie on the grid
    fused = detect(tiny_detector, volume).proposals.of(FUSED)
    rows = range(0, len(fused.scores), 3)
    boxes = [(int(fused.grid_index[row]), tuple(fused.boxes[row].tolist())) for row in rows]
    found = embed_boxes(tiny_detector, volume, boxes)
    np.testing.assert_allclose(found, fused.embeddings[list(rows)], atol=1e-4)


def test_every_embedding_has_length_one(tiny_detector, make_volume):
    found = embed_boxes(
        tiny_detector, make_volume(4), [(3, (0, 0, 5, 5)), (0, (10, 10, 40, 50)), (3, (50, 60, 64, 72))]
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_a_silent_head_still_gives_unit_vectors(tiny_detector):
    with torch.no_grad():
        tiny_detector.head.fc7.weight.zero_()
        tiny_detector.head.fc7.bias.fill_(-1)
        found = embed(tiny_detector, torch.ones(1, 8, 4, 4), [torch.tensor([[0.0, 0, 8, 8]])])
    torch.testing.assert_close(found.norm(dim=1), torch.ones(1))


def test_no_boxes_give_no_embeddings(tiny_detector, make_volume):
    assert embed_boxes(tiny_detector, make_volume(3), []).shape == (0, tiny_detector.embedding_width)
