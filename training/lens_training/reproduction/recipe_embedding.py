"""Which lesion embedding a recipe mines with, and what its log and its results say of that (algorithms 5.8)."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from lens_engine.checkpoint_card import CARD_NAME, MeasuredLimit, read_embedding_card, shipped_embedding_folder

FALLBACK = "deeplesion-without-reports"
"""Recipe of the embedding that takes the place of one whose label files are not at hand."""


class UsedEmbedding(BaseModel):
    """The lesion embedding that a recipe has mined with, for the results.

    Attributes
    ----------
    recipe
        That trained it; None where its card does not say.
    weights
        SHA-256 of its weights.
    distance_limit
        What its card says of its limit; None where it says nothing.
    note
        For people: which one it is, and why not the one that the recipe names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str | None
    weights: str
    distance_limit: MeasuredLimit | None
    note: str


@dataclass(frozen=True, slots=True)
class ChosenEmbedding:
    """Where the embedding lies that a recipe mines with, and what is said of it."""

    folder: Path
    used: UsedEmbedding


def choose_embedding(named: str, runs: Path, given: Path | None = None) -> ChosenEmbedding:
    """Return the embedding that was given, else the named one, else the best one that is at hand.

    The one that ships is always at hand under its own name. Others lie where `lens recipe embed` leaves them.

    Parameters
    ----------
    named
        Recipe of the embedding that is wanted.
    runs
        Folder with a folder for each recipe of an embedding that was run, by its name.
    given
        Folder of an embedding to use whatever the recipe names.

    Raises
    ------
    CheckpointError
        If a folder holds no lesion embedding that this version understands.
    """
    shipped = shipped_embedding_folder()
    if given is not None:
        return _chosen(given, f"as was asked for; the recipe names {named}")
    if named == read_embedding_card(shipped).recipe:
        return _chosen(shipped, "as the recipe says; it ships and was trained on phantoms")
    if (runs / named / CARD_NAME).exists():
        return _chosen(runs / named, "as the recipe says")
    why = f"for {named}, which the recipe names, is not in {runs / named}"
    if (runs / FALLBACK / CARD_NAME).exists():
        return _chosen(runs / FALLBACK, f"{why}; it was trained without terms of reports")
    return _chosen(shipped, f"{why}; it ships and was trained on phantoms alone, never on patients")


def _chosen(folder: Path, why: str) -> ChosenEmbedding:
    card = read_embedding_card(folder)
    name = card.recipe or "of an unknown recipe"
    note = f"Lesions are compared by the embedding {name} ({card.weights_digest[:12]}), {why}."
    return ChosenEmbedding(
        folder,
        UsedEmbedding(recipe=card.recipe, weights=card.weights_digest, distance_limit=card.distance_limit, note=note),
    )
