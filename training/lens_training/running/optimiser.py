"""The optimisers that networks here are trained with, and their learning rate (algorithms 8)."""

from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn

from lens_training.running.schedule import ScheduleRecipe


def radam(network: nn.Module, schedule: ScheduleRecipe, steps: int) -> OptimizerLRSchedulerConfig:
    """Return RAdam for a run of that many steps; biases and normalisation without decay, at twice the rate."""
    return _scheduled(torch.optim.RAdam(_groups(network, schedule)), schedule, steps)


def sgd(network: nn.Module, schedule: ScheduleRecipe, steps: int, momentum: float) -> OptimizerLRSchedulerConfig:
    """Return stochastic gradient descent for a run; biases and normalisation without decay, at twice the rate."""
    return _scheduled(torch.optim.SGD(_groups(network, schedule), momentum=momentum), schedule, steps)


def _groups(network: nn.Module, schedule: ScheduleRecipe) -> list[dict[str, Any]]:
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [
        {"params": weights, "lr": schedule.learning_rate, "weight_decay": schedule.weight_decay},
        {"params": others, "lr": 2 * schedule.learning_rate, "weight_decay": 0.0},
    ]


def _scheduled(optimiser: torch.optim.Optimizer, schedule: ScheduleRecipe, steps: int) -> OptimizerLRSchedulerConfig:
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: schedule.factor(step, steps))
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": rate, "interval": "step"}}
