import torch

from lens_engine.detector.proposal_networks.base import Branch


def test_outputs_at_chosen_cells_equal_the_dense_map():
    branch = Branch(5, 7, 3).double()
    features = torch.randn(5, 6, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    dense = branch(features[None])[0].flatten(1).T
    cells = torch.arange(6 * 9).flip(0)
    torch.testing.assert_close(branch.at(features, cells), dense[cells])
