import torch

from lens_engine.detector.afp import PRIOR, AnchorFreeProposals, decode_cells


def test_sizes_at_chosen_cells_equal_the_dense_map():
    network = AnchorFreeProposals(5, 7).double()
    features = torch.randn(5, 6, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    dense = network(features[None])[1][0].flatten(1).T
    cells = torch.arange(6 * 9).flip(0)
    torch.testing.assert_close(network.sizes_at(features, cells), dense[cells])


def test_an_untrained_network_expects_few_lesions():
    centerness, _ = AnchorFreeProposals(8, 4)(torch.zeros(1, 8, 4, 4))
    torch.testing.assert_close(centerness.sigmoid(), torch.full((1, 1, 4, 4), PRIOR))


def test_a_cell_stands_for_the_middle_of_its_four_pixels():
    sizes = torch.tensor([[1.0, 2, 3, 4], [-1, 0, 0.5, 0]])  # top, bottom, left, right in cells
    boxes = decode_cells(torch.tensor([0, 11]), sizes, map_width=10)
    assert boxes.tolist() == [[-10, -2, 18, 10], [4, 6, 6, 6]]
