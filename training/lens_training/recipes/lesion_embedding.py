"""How a lesion embedding is trained: a recipe of its own kind (algorithms 5.8)."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lens_engine.errors import ConfigError
from lens_engine.lesion_embedding.config import EmbeddingConfig, narrow_embedding, published_embedding
from lens_training.recipes.files import read_fields
from lens_training.running.schedule import ScheduleRecipe, TrainingPrecision

EMBEDDING_RECIPES = Path(__file__).parent / "embeddings"
"""Recipes of embeddings lie apart from those of detectors."""

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class EmbeddingSize(StrEnum):
    """Which configuration the network gets."""

    PUBLISHED = "published"
    NARROW = "narrow"

    def config(self, terms: int) -> EmbeddingConfig:
        """Return the configuration for a classifier of that many terms."""
        return narrow_embedding(terms) if self is EmbeddingSize.NARROW else published_embedding(terms)


class Likeness(StrEnum):
    """What makes two lesions alike in the triplets."""

    TERMS = "terms"
    """Terms of radiology reports that they share, from the public label files: LesaNet."""
    LESIONS = "lesions"
    """Being one lesion in two studies, then type and place in the body; without report terms. Not LesaNet."""


class EmbeddingPhantoms(BaseModel):
    """Phantom patients of the universal data set to learn from and to measure on."""

    model_config = _FROZEN

    patients: int = Field(ge=1)
    """Training patients, all of whose lesions are known."""
    val_patients: int = Field(ge=2)
    """Patients that matches are measured on."""
    studies: int = Field(default=2, ge=2)
    """Scans of each patient, months apart."""
    slice_spacings_mm: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(4.0,), min_length=1)
    """Training patients take turns with these."""
    places: int = Field(default=0, ge=0)
    """Places of each patient that are no lesion and are shown in each of its studies, too."""
    withheld_share: float = Field(default=0.5, ge=0, lt=1)
    """Share of the lesions of validation patients that nobody marked."""


class EmbeddingRecipe(BaseModel):
    """Everything that decides the training besides the lesions and the seed; the defaults are those of LesaNet."""

    model_config = _FROZEN

    name: str
    title: str = ""
    """One line for people."""
    size: EmbeddingSize = EmbeddingSize.PUBLISHED
    likeness: Likeness = Likeness.TERMS
    epochs: int = Field(default=15, ge=1)
    """How often every lesion is seen."""
    schedule: ScheduleRecipe = ScheduleRecipe(learning_rate=0.01, drops=(2 / 3,), weight_decay=1e-4)
    """Of stochastic gradient descent; the rate drops after 10 of 15 epochs."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    batch_size: int = Field(default=128, ge=2)
    looks: int = Field(default=1, ge=1)
    """Looks at each lesion of a batch, from different scans where there are several."""
    gathers: bool = False
    """Put lesions into one batch that lie near each other in the body: they are harder to tell apart."""
    triplets: int = Field(default=5000, ge=1)
    """Triplets drawn from each batch."""
    margin: float = Field(default=0.1, gt=0)
    """By how much the unlike lesion must lie further away than the like one."""
    hard_entries: int = Field(default=10_000, ge=1)
    """Lesion-term pairs that are drawn again from each batch, the more wrong the more often."""
    nearness: float | None = Field(default=None, gt=0)
    """Distance over which a less alike look is drawn e times less often; None draws near and far ones equally."""
    triplet_weight: float = Field(default=5.0, ge=0)
    """Weight of the triplets in the loss."""
    terms_weight: float = Field(default=1.0, ge=0)
    """Weight of each of the three parts that are about terms."""
    largest_positive_weight: float = Field(default=300.0, gt=0)
    """Of a rare term in the cross-entropy."""
    shift: int = Field(default=0, ge=0)
    """Pixels by which a patch may lie beside its lesion."""
    box_jitter: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of its sides by which each edge of a box may lie elsewhere, as those of a detector do."""
    noise: float = Field(default=0.0, ge=0)
    """Standard deviation of the noise and of the offset that are added to intensities of 0 to 255."""
    precision: TrainingPrecision = TrainingPrecision.FP32
    threads: int | None = Field(default=None, ge=1)
    """Threads of the CPU; None leaves the choice to torch. Equal numbers on a rerun need the same threads."""
    log_every: int = Field(default=10, ge=1)
    checkpoint_every: int = Field(default=50, ge=1)
    """Steps between two files from which a killed run goes on."""
    phantoms: EmbeddingPhantoms | None = None
    """Patients to make where the data are phantoms."""
    stores_half: bool = False
    """Store the weights in 16 bits: half the file, for a model that is shipped."""

    @model_validator(mode="after")
    def _fills_batches(self) -> "EmbeddingRecipe":
        if self.batch_size % self.looks:
            raise ValueError(f"batch_size is {self.batch_size}; a multiple of looks, which is {self.looks}, is needed")
        return self

    @model_validator(mode="after")
    def _decays_as_it_descends(self) -> "EmbeddingRecipe":
        if self.schedule.decouples_decay:
            raise ValueError("schedule.decouples_decay is true; only RAdam can do that, and an embedding has SGD")
        return self


def embedding_recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes that come with the package, in order."""
    return tuple(sorted(path.stem for path in EMBEDDING_RECIPES.glob("*.yaml")))


def load_embedding_recipe(name_or_path: str) -> EmbeddingRecipe:
    """Return the recipe of that name, or the one in that file.

    Raises
    ------
    ConfigError
        If there is none, or it is not valid.
    """
    path = Path(name_or_path)
    if path.suffix not in {".yaml", ".yml"}:
        path = EMBEDDING_RECIPES / f"{name_or_path}.yaml"
        if not path.is_file():
            raise ConfigError(
                f"There is no recipe of an embedding called {name_or_path!r}",
                f"One of {', '.join(embedding_recipe_names())}, or a YAML file",
                "Correct the name",
            )
    try:
        return EmbeddingRecipe.model_validate(read_fields(path) | {"name": path.stem})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"]) or "the whole file"
        raise ConfigError(
            f"Recipe {path.name} is wrong at {place}: {problem['msg']}",
            "See lens_training.recipes.lesion_embedding.EmbeddingRecipe for all fields",
            "Correct the file",
        ) from error
