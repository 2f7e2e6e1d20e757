"""The versions of a project as the models panel lists them, with what was measured of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lens_engine.store.models.model_versions import ModelRecord
from lens_napari.review.versions.froc_view import Evaluation, FrocView, froc_view

NOT_MEASURED = "–"


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One version with its average sensitivity in words, if it was measured."""

    record: ModelRecord
    average: str


@dataclass(frozen=True, slots=True, eq=False)
class ModelsView:
    """Everything the models panel shows; lines are newest first."""

    lines: tuple[ModelLine, ...]
    froc: FrocView


def models_view(records: Sequence[ModelRecord], evaluations: Mapping[str, Sequence[Evaluation]]) -> ModelsView:
    """Return the lines of all versions and the curves of the newest.

    Parameters
    ----------
    records
        Oldest first.
    evaluations
        What was measured of each version, oldest first.
    """
    froc = froc_view(records, evaluations)
    lines = [ModelLine(record, froc.averages.get(record.version, NOT_MEASURED)) for record in reversed(records)]
    return ModelsView(tuple(lines), froc)
