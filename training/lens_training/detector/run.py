"""What one training run is: what is learnt from, how, where, and by how many processes."""

from dataclasses import dataclass
from pathlib import Path

from lens_training.datasets.case import TrainingSet
from lens_training.recipes.recipe import Recipe
from lens_training.running.course import RunSettings
from lens_training.running.processes.world import ALONE, World


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What is trained, how, and where.

    Attributes
    ----------
    fingerprint
        Digest of labels, recipe, seed and initial weights; a run resumes only what has the same and as many processes.
    folder
        Holds `last.ckpt` and event files, as in `Course`.
    """

    training_set: TrainingSet
    recipe: Recipe
    seed: int
    fingerprint: str
    folder: Path
    world: World = ALONE

    @property
    def full_fingerprint(self) -> str:
        """Equal for runs that give the same weights."""
        return f"{self.fingerprint} in {self.world.size}"

    @property
    def settings(self) -> RunSettings:
        """How its steps are done."""
        return RunSettings(
            precision=self.recipe.precision,
            log_every=self.recipe.log_every,
            checkpoint_every=self.recipe.checkpoint_every,
            tensorboard=self.recipe.tensorboard,
            threads=self.recipe.threads,
            checkpoint_gib=self.recipe.checkpoint_gib,
        )

    @property
    def kept_epochs(self) -> tuple[int, ...]:
        """Epochs after which the weights are kept."""
        return self.recipe.checkpoint_epochs

    def kept_file(self, epoch: int) -> Path:
        """Return where the weights after an epoch lie while the run goes on."""
        return self.folder / f"epoch-{epoch}.ckpt"
