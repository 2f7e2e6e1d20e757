"""Small real false-positive reduction networks, alone and in a folder that fits a given detector."""

from pathlib import Path

import torch
from torch import nn

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn, read_card
from lens_engine.detector.false_positive_reduction.checkpoint import save_network
from lens_engine.detector.false_positive_reduction.config import FprConfig
from lens_engine.detector.false_positive_reduction.network import FprNetwork
from lens_engine.detector.input_config import InputConfig

CARD = CheckpointCard(trained_on=TrainedOn.PHANTOMS)


def loud_network(config: FprConfig, seed: int = 0) -> FprNetwork:
    """Make a network whose statistics are not those of a new one, so that every parameter counts."""
    generator = torch.Generator().manual_seed(seed)
    network = FprNetwork(config).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.5, 2.0, generator=generator)
            elif isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
                module.weight.normal_(0, module.weight[0].numel() ** -0.5, generator=generator)
        network.trunk.conv1.weight /= 50
    return network


def write_reduction(folder: Path, detector: Path, card: CheckpointCard = CARD, **seen: object) -> Path:
    """Write a network that sees a volume as the detector does, but for `seen`; return its folder."""
    config = read_card(detector).config
    of_detector = {name: config[name] for name in InputConfig.model_fields if name in config}
    small = {"patch": (4, 16, 16), "blocks": (1, 1, 1, 1), "widths": (4, 6, 8, 10), "fc_width": 5}
    save_network(loud_network(FprConfig.model_validate(of_detector | small | seen)), card, folder)
    return folder
