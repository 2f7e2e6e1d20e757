"""How a trained detector learns on: the section `retraining` of the recipe that it was trained by."""

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RetrainingRecipe(BaseModel):
    """What *Retrain* changes of the recipe; crops, sampling, losses and everything else stay as they were learnt with.

    The values here are those of MELD's fine-tuning (algorithms 6 and 8): half the epochs at a tenth of the rate, then a
    hundredth.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int | None = Field(default=None, ge=1)
    """Length of the run; either this or `epochs`."""
    epochs: int | None = Field(default=4, ge=1)
    rate: float = Field(default=0.1, gt=0)
    """Share of the recipe's first learning rate to begin with."""
    warmup_steps: int = Field(default=0, ge=0)
    drops: tuple[float, ...] = (0.5,)
    drop_factor: float = Field(default=0.1, gt=0, le=1)
    parent_share: float = Field(default=0.0, ge=0, lt=1)
    """Weight of the parent's numbers in the average of both that becomes the new version; what was learnt before is
    forgotten less."""

    checkpoint_every: int = Field(default=50, ge=1)
    """Steps between two files from which a killed run goes on; a reader waits for this run."""

    @model_validator(mode="after")
    def _has_one_length(self) -> "RetrainingRecipe":
        if (self.steps is None) == (self.epochs is None):
            given = f"retraining.steps is {self.steps} and retraining.epochs is {self.epochs}"
            raise ValueError(f"{given}; exactly one of them is needed, the other one null")
        return self
