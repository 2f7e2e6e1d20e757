"""How a false-positive reduction network is trained: the section of a recipe (algorithms 4.6, 8)."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from lens_engine.detector.false_positive_reduction.config import FprConfig, narrow_fpr, published_fpr
from lens_engine.detector.input_config import InputConfig
from lens_training.running.schedule import ScheduleRecipe


class FprSize(StrEnum):
    """Which configuration the network gets."""

    PUBLISHED = "published"
    NARROW = "narrow"

    def config(self, seen: InputConfig) -> FprConfig:
        """Return the configuration for findings of a detector that sees volumes in this way."""
        return narrow_fpr(seen) if self is FprSize.NARROW else published_fpr(seen)


class FprRecipe(BaseModel):
    """Everything that decides the training besides the findings, the initial weights and the seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: FprSize = FprSize.PUBLISHED
    epochs: int = Field(default=6, ge=1)
    """How often every lesion is seen."""
    schedule: ScheduleRecipe = ScheduleRecipe(learning_rate=2e-4, drops=(1 / 3, 2 / 3))
    """The rate drops after 2 and 4 of 6 epochs."""
    batch_size: int = Field(default=32, ge=1)
    negatives_per_positive: float = Field(default=2.0, gt=0)
    min_score: float = Field(default=0.01, ge=0, lt=1)
    """Findings that the detector scores lower teach nothing."""
    flips: bool = False
    """Mirror patches at random along every axis; LENS does not."""
    shift: int = Field(default=0, ge=0)
    """Voxels by which a patch may lie beside its finding in the plane; LENS moves nothing."""
    focal_alpha: float = Field(default=0.5, gt=0, lt=1)
    """Weight of a lesion; a false positive has the rest."""
    focal_gamma: float = Field(default=2.0, ge=0)
    """How fast the loss forgets what is known already."""
    patches_gib: float = Field(default=32.0, gt=0)
    """Disk space for the patches, which are made once; false positives are left out at random beyond it."""
    log_every: int = Field(default=10, ge=1)
    checkpoint_every: int = Field(default=50, ge=1)
    """Steps between two files from which a killed run goes on."""
