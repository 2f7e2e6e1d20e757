"""The mining strategies by name, for recipes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from lens_engine.errors import ConfigError
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.looks import compared_rows
from lens_engine.mining.settings import NO_OTHER_NAMES
from lens_engine.mining.slices import NO_ROWS
from lens_engine.mining.strategies.distillation import DistillationSettings, mine_distillation
from lens_engine.mining.strategies.labels import MinedLabels
from lens_engine.mining.strategies.lens import LensSettings, mine_lens
from lens_engine.mining.strategies.meld import MeldSettings, matched_rows, mine_meld
from lens_engine.mining.strategies.series_slices import annotation_labels, mined_series
from lens_engine.mining.strategies.wang import WangSettings, mine_wang


@dataclass(frozen=True, slots=True)
class NoMiningSettings:
    """Only what is annotated is taught; nothing can be set."""

    __pydantic_config__ = NO_OTHER_NAMES


class MiningStrategy(StrEnum):
    """How labels are made of annotations and detections."""

    NONE = "none"
    LENS = "lens"
    MELD = "meld"
    WANG = "wang"
    DISTILLATION = "distillation"


StrategySettings = NoMiningSettings | LensSettings | MeldSettings | WangSettings | DistillationSettings

SETTINGS_OF: Mapping[MiningStrategy, type[StrategySettings]] = {
    MiningStrategy.NONE: NoMiningSettings,
    MiningStrategy.LENS: LensSettings,
    MiningStrategy.MELD: MeldSettings,
    MiningStrategy.WANG: WangSettings,
    MiningStrategy.DISTILLATION: DistillationSettings,
}
"""What can be set for each strategy; the defaults are those published."""


def strategy_settings(name: str, values: Mapping[str, Any] | None = None) -> StrategySettings:
    """Return the settings of a strategy, with some values other than the published ones.

    Parameters
    ----------
    values
        By name, as a recipe file has them; `rules` of LENS is a mapping again.

    Raises
    ------
    ConfigError
        If there is no such strategy or setting, or a value is impossible.
    """
    if name not in set(MiningStrategy):
        raise ConfigError(
            f"The mining strategy is {name!r}", f"One of {', '.join(MiningStrategy)} is needed", "Correct the recipe"
        )
    settings_type = SETTINGS_OF[MiningStrategy(name)]
    try:
        return TypeAdapter[StrategySettings](settings_type).validate_python(dict(values or {}))
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"The setting {'.'.join(map(str, first['loc']))} of the mining strategy {name} is {first['input']!r}",
            f"It is refused: {first['msg']}",
            "Correct the recipe",
        ) from error


def rows_to_embed(series: SeriesMiningInput, settings: StrategySettings) -> NDArray[np.intp]:
    """Return the fused boxes of a series whose embeddings a strategy compares, ascending, calibration included."""
    match settings:
        case LensSettings():
            return compared_rows(series.proposals, series.annotations, settings.rules)
        case MeldSettings():
            calibrated = compared_rows(series.proposals, series.annotations, settings.rules)
            return np.union1d(calibrated, matched_rows(series, settings))
    return NO_ROWS


def mine_labels(inputs: Sequence[SeriesMiningInput], settings: StrategySettings) -> tuple[MinedLabels, ...]:
    """Return the labels of all universal series among `inputs`, in their order.

    Parameters
    ----------
    inputs
        All series of a patient at once. Several patients may come together; they are never compared. Series of complete
        data sets lend their annotations as partners and need no mining.
    """
    match settings:
        case LensSettings():
            return mine_lens(inputs, settings)
        case MeldSettings():
            return mine_meld(inputs, settings)
        case WangSettings():
            return mine_wang(inputs, settings)
        case DistillationSettings():
            return mine_distillation(inputs, settings)
        case NoMiningSettings():
            return tuple(
                MinedLabels(series.series_id, tuple(annotation_labels(series))) for series in mined_series(inputs)
            )
