"""How a recipe mines before it trains: the section `mining` (algorithms 5)."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lens_engine.errors import ConfigError
from lens_engine.mining.strategies.choice import MiningStrategy, StrategySettings, strategy_settings
from lens_engine.mining.strategies.lens import LensSettings, LensStep
from lens_training.datasets.published.reading import DatasetName

NOT_BUILT = {
    MiningStrategy.MELD: "labels that teach classification only, which no training knows yet",
    MiningStrategy.DISTILLATION: "detections in augmented copies of the scans, which nothing makes yet",
}
"""Strategies that a recipe cannot name, and what is missing."""


class MiningRecipe(BaseModel):
    """A first detector is trained, its boxes are mined, and the recipe's own training begins anew with the labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: MiningStrategy
    settings: Mapping[str, Any] = {}
    """Values other than the published ones, by name. An intra-patient `distance_limit` that is not given is calibrated
    for the embedding of the first detector (algorithms 5.2)."""
    datasets: tuple[DatasetName, ...] | None = Field(default=None, min_length=1)
    """Data sets that the first detector learns from; None takes those of the recipe."""

    @model_validator(mode="after")
    def _can_be_done(self) -> "MiningRecipe":
        if self.strategy in NOT_BUILT:
            built = ", ".join(name for name in MiningStrategy if name not in NOT_BUILT)
            raise ConfigError(
                f"The mining strategy {self.strategy} needs {NOT_BUILT[self.strategy]}",
                f"A recipe can mine with {built}",
                "Choose another strategy",
            )
        strategy_settings(self.strategy, self.settings)
        return self

    @property
    def complete_settings(self) -> StrategySettings:
        """The settings of the strategy, complete."""
        return strategy_settings(self.strategy, self.settings)

    @property
    def calibrates_limit(self) -> bool:
        """Whether matches are wanted and nobody said how near they have to be."""
        settings = self.complete_settings
        if not isinstance(settings, LensSettings) or "distance_limit" in self.settings:
            return False
        return settings.up_to is not LensStep.CROSS_SLICE

    @property
    def uses_unlabelled(self) -> bool:
        """Whether slices without a label are trained on as background: only where the strategy has mined them."""
        settings = self.complete_settings
        return isinstance(settings, LensSettings) and settings.up_to is LensStep.UNLABELLED
