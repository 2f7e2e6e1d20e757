"""Labels and small maps that the tests of all objectives share; every map has 16 x 16 cells, so images of 64 pixels."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lens_engine.detector.config import AnchorConfig, ProposalConfig, ProposalKind
from lens_engine.detector.proposal_networks.base import ProposalNetwork
from lens_engine.detector.proposal_networks.build import build_proposal_network
from lens_training.datasets.labels import SliceLabels
from lens_training.detector.objectives.base import ProposalObjective
from lens_training.detector.objectives.build import proposal_objective
from lens_training.detector.objectives.cells import CellGrid

CELLS = 16
SIDE = 4 * CELLS
GRID = CellGrid(CELLS, CELLS)
CHANNELS = 4

Row = tuple[float, float, float, float]


def boxes(*rows: Row) -> np.ndarray:
    return np.asarray(rows, dtype=np.float64).reshape(-1, 4)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def network_of(kind: ProposalKind, seed: int = 0) -> ProposalNetwork:
    config = ProposalConfig(kind=kind, width=4, anchors=AnchorConfig(sizes=(12.0, 24.0), ratios=(0.5, 1.0, 2.0)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_proposal_network(CHANNELS, config)


@dataclass(frozen=True, eq=False)
class Scene:
    """The raw maps of one kind of network for one image, and their losses for any labels."""

    objective: ProposalObjective
    outputs: tuple[Tensor, ...]
    size: tuple[int, int] = (SIDE, SIDE)

    def losses(self, labels: SliceLabels, seed: int = 0) -> dict[str, Tensor]:
        return self.objective.losses(self.outputs, [labels], [self.size], random(seed))

    def certain_losses(self, labels: SliceLabels, seed: int = 0) -> dict[str, Tensor]:
        return self.objective.certain_losses(self.outputs, [0], [labels], [self.size], random(seed))

    def certain_gradients(self, labels: SliceLabels, seed: int = 0) -> list[Tensor]:
        """Return the gradient of what lesions and rejected places alone cost for each map, (maps, h, w)."""
        return self._gradients(self.certain_losses(labels, seed))

    def with_outputs(self, *outputs: Tensor) -> "Scene":
        return replace(self, outputs=outputs)

    def gradients(self, labels: SliceLabels, seed: int = 0) -> list[Tensor]:
        """Return the gradient of the summed parts for each map, (maps, h, w)."""
        return self._gradients(self.losses(labels, seed))

    def _gradients(self, losses: dict[str, Tensor]) -> list[Tensor]:
        total = torch.stack(list(losses.values())).sum()
        gradients = torch.autograd.grad(total, self.outputs, allow_unused=True, materialize_grads=True)
        return [gradient.flatten(0, -3) for gradient in gradients]


def scene_of(kind: ProposalKind, seed: int = 0) -> Scene:
    """Make maps with numbers of every size, by random features."""
    network = network_of(kind)
    features = torch.from_numpy(random(seed).normal(0, 30, (1, CHANNELS, CELLS, CELLS))).float()
    with torch.no_grad():
        outputs = tuple(network(features))
    return Scene(proposal_objective(network), tuple(output.requires_grad_() for output in outputs))


def initial_scene_of(kind: ProposalKind) -> Scene:
    """Make the maps that a new network gives before it sees anything, where features are 0."""
    network = network_of(kind)
    return Scene(proposal_objective(network), tuple(network(torch.zeros(1, CHANNELS, CELLS, CELLS))))
