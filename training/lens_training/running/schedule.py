"""What recipes of every network say about their optimiser: the learning rate over the steps, and the precision."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class TrainingPrecision(StrEnum):
    """Numbers that the network computes with in training; weights are always kept in 32 bits."""

    FP32 = "32-true"
    BF16_MIXED = "bf16-mixed"
    FP16_MIXED = "16-mixed"


class ScheduleRecipe(BaseModel):
    """RAdam and its learning rate (algorithms 8)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the rate rises linearly."""
    drops: tuple[float, ...] = (0.5, 0.75)
    """Shares of all steps after which the rate is multiplied by `drop_factor`; LENS: after 4 and 6 of 8 epochs."""
    drop_factor: float = Field(default=0.1, gt=0, le=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    """Decay of the weights; biases have none and twice the rate, as in MULAN."""
    decays_normalisation: bool = True
    """Whether the weights of normalisation decay as well; in MULAN they do."""
    normalisation_rate: float = Field(default=1.0, gt=0)
    """Rate of the weights of normalisation, in multiples of `learning_rate`."""
    decouples_decay: bool = False
    """Take the decay off the weights beside RAdam's step, as AdamW does; otherwise it is part of the gradient, as in
    MULAN, where RAdam divides it by the gradient's size."""
    gradient_clip: float = Field(default=10.0, gt=0)
    """Largest norm of the whole gradient."""

    def factor(self, step: int, steps: int) -> float:
        """Return what the learning rate is multiplied by before step `step` of `steps`."""
        warm = min(1.0, (step + 1) / (self.warmup_steps + 1))
        passed = sum(step >= share * steps for share in self.drops)
        return warm * self.drop_factor**passed
