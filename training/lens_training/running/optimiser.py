"""RAdam as every network here is trained with it, and its learning rate (algorithms 8)."""

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn

from lens_training.running.schedule import ScheduleRecipe


def radam(network: nn.Module, schedule: ScheduleRecipe, steps: int) -> OptimizerLRSchedulerConfig:
    """Return the optimiser of a run of that many steps; biases and normalisation without decay, at twice the rate."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    optimiser = torch.optim.RAdam(
        [
            {"params": weights, "lr": schedule.learning_rate, "weight_decay": schedule.weight_decay},
            {"params": others, "lr": 2 * schedule.learning_rate, "weight_decay": 0.0},
        ]
    )
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: schedule.factor(step, steps))
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": rate, "interval": "step"}}
