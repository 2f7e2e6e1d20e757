"""What the runner knows of a run, whatever network learns: its steps, its folder, its processes, and how it is done."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lens_engine.jobs.names import LAST_CHECKPOINT
from lens_training.running.processes.world import ALONE, World
from lens_training.running.schedule import TrainingPrecision

DEFAULT_CHECKPOINT_GIB = 12.0
"""A published recipe that mines twice trains three detectors: 39 GB of their 50."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How the steps of a run are done; of these, only precision and threads change a weight.

    Attributes
    ----------
    log_every, checkpoint_every
        Steps between two messages, and between two files from which a killed run goes on.
    checkpoint_gib
        How much all of these files together may write to the disk; where they are large, fewer are written.
    tensorboard
        Whether event files are written.
    threads
        Threads of the CPU; None leaves the choice to torch.
    """

    precision: TrainingPrecision
    log_every: int
    checkpoint_every: int
    tensorboard: bool = False
    threads: int | None = None
    checkpoint_gib: float = DEFAULT_CHECKPOINT_GIB


@dataclass(frozen=True, slots=True)
class Course:
    """A run, as far as it has come.

    Attributes
    ----------
    steps
        The steps still to be done, up to the end of the run; none where it is finished.
    fingerprint
        Digest of everything that decides the weights; a run resumes only what has the same.
    folder
        Holds `last.ckpt` and event files; must exist. With several nodes all of them must see it.
    kept
        Steps after which the weights are kept in a file of their own.
    """

    steps: range
    folder: Path
    fingerprint: str
    settings: RunSettings
    world: World = ALONE
    kept: Mapping[int, Path] = field(default_factory=dict)

    @property
    def last_checkpoint(self) -> Path:
        """The file from which the run goes on when it was stopped or killed."""
        return self.folder / LAST_CHECKPOINT

    @property
    def batch_numbers(self) -> range:
        """Numbers of the batches that this process learns from, one in each step."""
        size, rank = self.world.size, self.world.rank
        return range(self.steps.start * size + rank, self.steps.stop * size, size)
