"""How a recipe mines before it trains: the section `mining` (algorithms 5)."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lens_engine.errors import ConfigError
from lens_engine.mining.strategies.choice import MiningStrategy, StrategySettings, strategy_settings
from lens_engine.mining.strategies.distillation import DistillationSettings
from lens_engine.mining.strategies.lens import LensSettings, LensStep
from lens_engine.mining.strategies.meld import MeldSettings
from lens_training.datasets.published.reading import DatasetName

ROUND_NAMES = ("first-round", "second-round")
"""Folders of the rounds, in their order; more than two are of no use (algorithms 5.4)."""


class MiningRecipe(BaseModel):
    """A first detector is trained, its boxes are mined, and the recipe's own training begins anew with the labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: MiningStrategy
    settings: Mapping[str, Any] = {}
    """Values other than the published ones, by name. A `distance_limit` that is not given is calibrated for the
    lesion embedding that is used (algorithms 5.2)."""
    datasets: tuple[DatasetName, ...] | None = Field(default=None, min_length=1)
    """Data sets that the detectors which mine learn from; None takes those of the recipe."""
    rounds: int = Field(default=1, ge=1, le=len(ROUND_NAMES))
    """How often a detector is trained and mines. Each round mines anew from the annotations, with the boxes of a
    detector that was trained from the start weights on what the round before has mined."""
    begins_with_epoch: int | None = Field(default=None, ge=1)
    """The recipe's own training goes on from the weights that the first detector had after this epoch, with what is
    left of the epochs and of the learning rate's course; None begins with the start weights."""
    embedding: str = "phantom-embedding"
    """Name of the recipe whose lesion embedding says which lesions are one (algorithms 5.8)."""
    copies: int = Field(default=0, ge=0)
    """Changed copies of each training scan that are detected in as well; they vary like the recipe's samples."""

    @model_validator(mode="after")
    def _can_be_done(self) -> "MiningRecipe":
        settings = self.complete_settings
        if isinstance(settings, DistillationSettings) and self.copies < max(settings.copies, 1):
            raise ConfigError(
                f"mining.copies is {self.copies}",
                f"The mining strategy {self.strategy} needs at least {max(settings.copies, 1)} copies of each scan",
                f"Write copies: {max(settings.copies, 1)}, or choose another strategy",
            )
        return self

    @property
    def complete_settings(self) -> StrategySettings:
        """The settings of the strategy, complete."""
        return strategy_settings(self.strategy, self.settings)

    @property
    def matches(self) -> bool:
        """Whether embeddings are compared with a distance limit."""
        settings = self.complete_settings
        if isinstance(settings, LensSettings):
            return settings.up_to is not LensStep.CROSS_SLICE
        return isinstance(settings, MeldSettings) and settings.with_matching

    @property
    def calibrates_limit(self) -> bool:
        """Whether matches are wanted and nobody said how near they have to be."""
        return self.matches and "distance_limit" not in self.settings

    @property
    def uses_unlabelled(self) -> bool:
        """Whether slices without an annotation are trained on as well: only where the strategy has mined them."""
        settings = self.complete_settings
        if isinstance(settings, LensSettings):
            return settings.up_to is LensStep.UNLABELLED
        return isinstance(settings, MeldSettings | DistillationSettings)
