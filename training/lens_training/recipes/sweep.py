"""One recipe at several values of a threshold of its mining: the section `sweep` (the sweeps of LENS, R5)."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lens_training.recipes.mining import MiningRecipe


class SweepRecipe(BaseModel):
    """Which setting of the mining strategy takes which values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    setting: str = Field(min_length=1)
    """Name in `mining.settings`; a dot leads into a mapping, as in `rules.uncertain_min_score`."""
    values: tuple[float, ...] = Field(min_length=2)

    @field_validator("values")
    @classmethod
    def _are_distinct(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(values)) < len(values):
            raise ValueError(f"values are {', '.join(f'{value:g}' for value in values)}; each of them is needed once")
        return values

    def point_name(self, value: float) -> str:
        """Return what the point of a value is called, as its folder is."""
        return f"{self.setting}-{value:g}"

    def mining_at(self, mining: MiningRecipe, value: float) -> MiningRecipe:
        """Return how a point mines.

        Raises
        ------
        ConfigError
            If the strategy has no such setting, or the value is impossible.
        """
        settings = _with_value(mining.settings, self.setting.split("."), value)
        return MiningRecipe.model_validate(mining.model_dump() | {"settings": settings})


def _with_value(settings: Mapping[str, Any], path: list[str], value: float) -> dict[str, Any]:
    first, *others = path
    return {**settings, first: _with_value(settings.get(first, {}), others, value) if others else value}
