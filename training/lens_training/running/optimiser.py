"""The optimisers that networks here are trained with, and their learning rate (algorithms 8).

Biases, those of normalisation as well, have no decay and twice the rate, as in MULAN; what the weights of normalisation
have is said by the recipe.
"""

from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn

from lens_training.running.schedule import ScheduleRecipe

_BIAS_RATE = 2.0
"""Learning rate of a bias, in multiples of that of a weight."""
_NORMALISATION = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm)


def radam(network: nn.Module, schedule: ScheduleRecipe, steps: int) -> OptimizerLRSchedulerConfig:
    """Return RAdam for a run of that many steps."""
    groups = parameter_groups(network, schedule)
    optimiser = torch.optim.RAdam(groups, decoupled_weight_decay=schedule.decouples_decay)
    return _scheduled(optimiser, schedule, steps)


def sgd(network: nn.Module, schedule: ScheduleRecipe, steps: int, momentum: float) -> OptimizerLRSchedulerConfig:
    """Return stochastic gradient descent for a run; its decay is coupled."""
    return _scheduled(torch.optim.SGD(parameter_groups(network, schedule), momentum=momentum), schedule, steps)


def parameter_groups(network: nn.Module, schedule: ScheduleRecipe) -> list[dict[str, Any]]:
    """Return the parameters of a network as optimisers take them, with one group for each pair of rate and decay."""
    rate, decay = schedule.learning_rate, schedule.weight_decay
    of_weights = rate, decay
    of_normalisation = schedule.normalisation_rate * rate, decay if schedule.decays_normalisation else 0.0
    of_biases = _BIAS_RATE * rate, 0.0
    groups: dict[tuple[float, float], list[nn.Parameter]] = {of_weights: [], of_normalisation: [], of_biases: []}
    for module in network.modules():
        own = of_normalisation if isinstance(module, _NORMALISATION) else of_weights
        for name, parameter in module.named_parameters(recurse=False):
            groups[of_biases if name == "bias" else own].append(parameter)
    return [
        {"params": found, "lr": own_rate, "weight_decay": own_decay}
        for (own_rate, own_decay), found in groups.items()
        if found
    ]


def _scheduled(optimiser: torch.optim.Optimizer, schedule: ScheduleRecipe, steps: int) -> OptimizerLRSchedulerConfig:
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: schedule.factor(step, steps))
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": rate, "interval": "step"}}
