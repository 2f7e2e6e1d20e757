import torch

from lens_engine.detector.config import ProposalKind
from lens_engine.detector.proposal_networks.base import PRIOR


def test_only_peaks_score(loud, features):
    scores = loud(ProposalKind.CENTERNET).score(features).scores.view(2, 6, 9)
    for image in scores:
        for row, column in image.nonzero().tolist():
            around = image[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            assert image[row, column] == around.max()
            assert (around > 0).sum() == 1
        assert image.any()


def test_an_untrained_network_expects_few_lesions(untrained):
    heat = untrained(ProposalKind.CENTERNET)(torch.zeros(1, 5, 4, 4)).heat
    torch.testing.assert_close(heat.sigmoid(), torch.full((1, 1, 4, 4), PRIOR))
