"""What a recipe says: everything that decides a training run besides the data, the initial weights and the seed.

`recipes.files` finds recipes, resolves what they inherit, and validates them as the models below.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from lens_engine.detector.config import DetectorConfig, ProposalKind, narrow_lens, published_lens
from lens_engine.detector.input_config import CropScope
from lens_engine.errors import ConfigError
from lens_engine.findings import Scope
from lens_training.datasets.phantoms import PhantomRecipe
from lens_training.datasets.published.reading import DatasetName, ReadingOptions
from lens_training.recipes.false_positive_reduction import FprRecipe
from lens_training.recipes.mining import MiningRecipe
from lens_training.recipes.retraining import RetrainingRecipe
from lens_training.recipes.sweep import SweepRecipe
from lens_training.running.course import DEFAULT_CHECKPOINT_GIB
from lens_training.running.schedule import ScheduleRecipe, TrainingPrecision

MOST_SHIFT_VOXELS = 16
"""Twice the published shift; so much is kept of a scan around its body."""

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class DetectorSize(StrEnum):
    """Which configuration a detector trained from scratch gets."""

    PUBLISHED = "published"
    NARROW = "narrow"


class DetectorRecipe(BaseModel):
    """Which member of the detector family is trained from scratch."""

    model_config = _FROZEN

    size: DetectorSize = DetectorSize.NARROW
    proposal: ProposalKind = ProposalKind.AFP
    two_stages: bool = True
    """False takes the proposals themselves as detections."""
    inference_side: int | None = Field(default=None, ge=512)
    """Longest side of a slice at inference, in network pixels, where a patient is wider than those that the size
    provides for; memory grows with its square. None is that of the size."""

    crop: CropScope = CropScope.VOLUME
    """Whether training and inference crop a volume or each slice to the body."""

    def config(self, experts: tuple[str, ...]) -> DetectorConfig:
        """Return the configuration for these experts."""
        build = narrow_lens if self.size is DetectorSize.NARROW else published_lens
        config = build(experts, self.proposal, two_stages=self.two_stages)
        stated: dict[str, object] = {"crop": self.crop}
        if self.inference_side is not None:
            stated["inference_side"] = self.inference_side
        return config.model_validate(config.model_dump() | stated)


class InitialWeights(StrEnum):
    """What a detector trained from scratch begins with."""

    IMAGENET = "imagenet"
    """Trunk of the published DenseNet-121; the user says where its weights are."""
    NONE = "none"
    """Random."""


class EvaluatedOutput(StrEnum):
    """Whose findings a row of a table is about."""

    FUSED = "fused"
    UNIVERSAL = "universal"
    """The universal expert alone."""
    WITH_FPR = "with-fpr"
    """The fused findings with the mean of their own score and that of false-positive reduction."""
    FPR_ALONE = "fpr-alone"
    """The fused findings with the score of false-positive reduction instead of their own."""


class MeasuredPart(StrEnum):
    """What a run is measured on."""

    VAL = "val"
    """To choose by: the 200 validation sub-volumes of the manual test set, and the validation split's key slices."""
    TEST = "test"
    """What published rows are about; a run that looks at it often has chosen by it."""


class PublishedRow(BaseModel):
    """What the paper reports for this row; percent at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives per sub-volume."""

    model_config = _FROZEN

    table: str
    sensitivity: tuple[float, ...] | None = Field(default=None, min_length=7, max_length=7)
    average: float | None = None
    ms_per_slice: float | None = None
    with_mining: bool = False
    """Whether the published figure includes mining that the recipe leaves out."""


class EvaluationRecipe(BaseModel):
    """What is compared with the published row."""

    model_config = _FROZEN

    output: EvaluatedOutput = EvaluatedOutput.FUSED
    part: MeasuredPart = MeasuredPart.TEST
    """What the run measures at its end; on phantoms always `val`."""
    around_key_slices: bool = False
    """Look at whole sub-volumes around the key slices as well, for the 3D boxes on them (P3D); five times as many
    slices as the manual test set has."""


_MEANS_OF_READING = dict.fromkeys(("cache_gib", "slice_cache", "slice_cache_gib", "unreadable_share"), True)
"""Fields of sampling that decide how samples are read, and nothing about them."""


class SamplingRecipe(BaseModel):
    """Which slices and regions are learnt from (algorithms 4.3, 8)."""

    model_config = _FROZEN

    batch_size: int = Field(default=4, ge=1)
    """Samples per step, all of one data set."""
    negatives_per_positive: float = Field(default=0.5, ge=0)
    """Lesion-free slices for each slice with a lesion; LENS: 1 to 2."""
    rejected_per_positive: float = Field(default=0.5, gt=0)
    """Slices of rejected places for each slice with a lesion, at most, and at least one where there is any; they add to
    the lesion-free ones."""
    regions: int = Field(default=64, ge=1)
    """Regions per image in the head."""
    proposals: int | None = Field(default=None, ge=1)
    """Best proposals of an image that regions are drawn from; None takes the detector's own limit for training. Few
    make hard negatives."""
    lesion_region_share: float = Field(default=0.25, gt=0, le=1)
    cache_gib: float = Field(default=3.0, gt=0)
    """Memory for prepared volumes in each training process, shared with its workers. Of what finds no room,
    every sample reads the slices that it needs."""
    slice_cache: Path | None = None
    """Folder that keeps the slices of packed scans and the bodies of all, for every run; None keeps nothing."""
    slice_cache_gib: float = Field(default=64.0, ge=0)
    """How much these slices may take there; what was used longest ago goes first."""
    unreadable_share: float = Field(default=0.01, ge=0, lt=1)
    """Share of the scans that may turn out to be unreadable; they are named and left out, one more ends the run."""


class AugmentationRecipe(BaseModel):
    """What varies between two looks at one slice (algorithms 2, steps 3, 5 and 6)."""

    model_config = _FROZEN

    scale: tuple[float, float] = (0.8, 1.2)
    shift: int = Field(default=8, ge=0, le=MOST_SHIFT_VOXELS)
    """Voxels by which the upper and the left edge of a whole slice's crop move; of a window, network pixels by which it
    may leave the image."""
    flips: bool = False
    """Mirror at random along every axis; of all published systems data distillation alone does (algorithms 2, 5.7)."""
    crop_side: int | None = Field(default=None, ge=32)
    """Side of a square window of network pixels around the sampled lesion; None shows the whole slice."""
    free_window_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the windows on lesion slices that may lie anywhere: with `crop_side` the only way to see the rest."""
    varies_depth: bool = True
    """Centre the sample beside the labelled slice as often and as far as inference's grid slices lie beside slices of
    the series, so that interpolated ones are learnt as well; at most half a grid step."""

    @model_validator(mode="after")
    def _scale_rises(self) -> "AugmentationRecipe":
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale is {self.scale}; two positive factors, low before high, are needed")
        return self


class LossRecipe(BaseModel):
    """Weights of the losses (LENS Eq. 3)."""

    model_config = _FROZEN

    proposal: dict[str, float] = {}
    """Weight of each part of the proposal network's loss, by its name; a part not named has the published weight."""
    classes: float = 1.0
    boxes: float = 10.0


class Recipe(BaseModel):
    """Everything that decides a training run besides the labels, the initial weights and the seed."""

    model_config = _FROZEN

    name: str
    title: str = ""
    """One line for people."""
    row: PublishedRow | None = None
    """Set for recipes of a row in a published table."""
    datasets: tuple[DatasetName, ...] = Field(default=tuple(DatasetName), min_length=1)
    """Data sets to learn from, the universal one first; phantoms take the place of each."""
    reading: ReadingOptions = ReadingOptions()
    """How published data sets are read: margin, held-out share, fold."""
    steps: int | None = Field(default=None, ge=1)
    """Length of the run; either this or `epochs`."""
    epochs: int | None = Field(default=None, ge=1)
    """Length of the run; an epoch shows every 3D lesion once."""
    schedule: ScheduleRecipe
    sampling: SamplingRecipe = SamplingRecipe()
    augmentation: AugmentationRecipe = AugmentationRecipe()
    losses: LossRecipe = LossRecipe()
    freezes_batch_norm: bool = False
    """Keep the statistics of batch normalisation as they are, for very small or very one-sided sets."""
    detector: DetectorRecipe = DetectorRecipe()
    """What is built when a training starts from scratch; otherwise the initial weights decide."""
    initial_weights: InitialWeights = InitialWeights.NONE
    precision: TrainingPrecision = TrainingPrecision.FP32
    workers: int | None = Field(default=None, ge=0)
    """Processes that prepare batches; 0 prepares them in the training process, None takes what
    `detector.data_workers` finds sensible."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of the CPU; None leaves the choice to torch. Equal numbers on a rerun need the same threads."""
    log_every: int = Field(default=10, ge=1)
    checkpoint_every: int = Field(default=50, ge=1)
    """Steps between two files from which a killed run goes on; more of them where `checkpoint_gib` asks for it."""
    checkpoint_gib: float = Field(default=DEFAULT_CHECKPOINT_GIB, gt=0)
    """How much these files together may write to the disk in one training."""
    checkpoint_epochs: tuple[PositiveInt, ...] = ()
    """Epochs after which the weights are kept as a checkpoint of their own, `epoch-N`; MELD begins again from one."""
    tensorboard: bool = False
    """Whether losses, learning rate and speed also go to event files for TensorBoard."""
    phantoms: PhantomRecipe | None = None
    """Patients to make where the data are phantoms."""
    evaluation: EvaluationRecipe = EvaluationRecipe()
    mining: MiningRecipe | None = None
    """Mine the training scans with a first detector, and train from the start weights on what was mined, too."""
    sweep: SweepRecipe | None = None
    """Mine, train and measure at several values of one threshold; what comes before is done once for all of them."""
    false_positive_reduction: FprRecipe | None = None
    """Train a second network on the detector's own findings, and average the scores (algorithms 4.6)."""
    retraining: RetrainingRecipe = RetrainingRecipe()
    """How *Retrain* goes on with a detector that this recipe has trained."""
    stores_half: bool = False
    """Store the weights in 16 bits: half the file, for a model that is shipped."""

    @model_validator(mode="after")
    def _has_one_length(self) -> "Recipe":
        if (self.steps is None) == (self.epochs is None):
            given = f"steps is {self.steps} and epochs is {self.epochs}"
            raise ValueError(f"{given}; exactly one of them is needed, the other one null")
        return self

    @model_validator(mode="after")
    def _has_each_dataset_once(self) -> "Recipe":
        given = ", ".join(self.datasets)
        if len(set(self.datasets)) < len(self.datasets):
            raise ValueError(f"datasets are {given}; each of them is needed once")
        scopes = [name.scope for name in self.datasets]
        if Scope.UNIVERSAL in scopes[1:]:
            raise ValueError(f"datasets are {given}; the universal one comes first")
        if self.evaluation.output is EvaluatedOutput.UNIVERSAL and Scope.UNIVERSAL not in scopes:
            raise ValueError(f"evaluation.output is universal, but datasets are {given}; one of them must be universal")
        return self

    @model_validator(mode="after")
    def _mines_what_it_learns_from(self) -> "Recipe":
        if self.mining is None:
            return self
        if Scope.UNIVERSAL not in [name.scope for name in self.datasets]:
            raise ValueError(f"datasets are {', '.join(self.datasets)}; mining needs a universal one")
        unknown = [name for name in self.datasets if name not in self.first_round.datasets]
        if unknown:
            raise ValueError(f"mining.datasets lack {', '.join(unknown)}; the first detector learns from all of them")
        return self

    @model_validator(mode="after")
    def _goes_on_from_an_epoch_that_there_is(self) -> "Recipe":
        epoch = None if self.mining is None else self.mining.begins_with_epoch
        if epoch is not None and (self.epochs is None or self.epochs <= epoch):
            length = f"{self.steps} steps" if self.epochs is None else f"{self.epochs} epochs"
            raise ConfigError(
                f"Recipe {self.name} goes on from the weights after epoch {epoch}, and its run has {length}",
                "A run given in epochs, longer than that",
                "Give it more epochs, or a recipe of your own with mining: {begins_with_epoch: null}",
            )
        return self

    @model_validator(mode="after")
    def _sweeps_what_it_mines(self) -> "Recipe":
        if self.sweep is None:
            return self
        if self.mining is None:
            raise ValueError("sweep varies a setting of mining, and there is no mining")
        if self.mining.rounds > 1:
            raise ValueError(f"sweep shares one first round, and mining.rounds is {self.mining.rounds}")
        for value in self.sweep.values:
            self.sweep.mining_at(self.mining, value)
        return self

    @model_validator(mode="after")
    def _trains_what_it_compares(self) -> "Recipe":
        is_judged = self.evaluation.output in (EvaluatedOutput.WITH_FPR, EvaluatedOutput.FPR_ALONE)
        if is_judged and self.false_positive_reduction is None:
            raise ValueError(f"evaluation.output is {self.evaluation.output}, and there is no false_positive_reduction")
        return self

    @property
    def first_round(self) -> "Recipe":
        """What trains the detectors that mine: the recipe up to its detector, without mining."""
        datasets = self.datasets if self.mining is None else self.mining.datasets or self.datasets
        left_out = {"mining": None, "sweep": None, "false_positive_reduction": None}
        evaluation = self.evaluation.model_copy(update={"output": EvaluatedOutput.FUSED})
        begins_with = None if self.mining is None else self.mining.begins_with_epoch
        kept = {*self.checkpoint_epochs, *(() if begins_with is None else (begins_with,))}
        changed = {"datasets": datasets, "evaluation": evaluation, "checkpoint_epochs": tuple(sorted(kept))}
        return self.model_copy(update=left_out | changed)

    @property
    def own_training(self) -> "Recipe":
        """What trains the detector of the recipe itself: all of it, or what is left behind an epoch of the first."""
        epoch = None if self.mining is None else self.mining.begins_with_epoch
        if epoch is None or self.epochs is None:
            return self
        share = epoch / self.epochs
        passed = [drop for drop in self.schedule.drops if drop <= share]
        schedule = self.schedule.model_copy(
            update={
                "learning_rate": self.schedule.learning_rate * self.schedule.drop_factor ** len(passed),
                "warmup_steps": 0,
                "drops": tuple((drop - share) / (1 - share) for drop in self.schedule.drops if drop > share),
            }
        )
        return self.model_copy(update={"epochs": self.epochs - epoch, "schedule": schedule, "checkpoint_epochs": ()})

    @property
    def points(self) -> Mapping[str, "Recipe"]:
        """The recipe at each value of its sweep, by the name of the point; none where it does not sweep."""
        if self.sweep is None or self.mining is None:
            return {}
        return {
            self.sweep.point_name(value): self.model_copy(
                update={"sweep": None, "mining": self.sweep.mining_at(self.mining, value)}
            )
            for value in self.sweep.values
        }

    @property
    def deciding_fields(self) -> str:
        """Everything that decides the weights besides the labels, as JSON; how fast and loud the run is does not."""
        indifferent = (
            "workers",
            "log_every",
            "checkpoint_every",
            "checkpoint_gib",
            "checkpoint_epochs",
            "tensorboard",
            "title",
            "row",
            "evaluation",
            "reading",
            "mining",
            "retraining",
            "sweep",
        )
        return self.model_dump_json(exclude=dict.fromkeys(indifferent, True) | {"sampling": _MEANS_OF_READING})

    @property
    def for_retraining(self) -> "Recipe":
        """How a detector that this recipe has trained learns on."""
        new = self.retraining
        schedule = self.schedule.model_copy(
            update={
                "learning_rate": self.schedule.learning_rate * new.rate,
                "warmup_steps": new.warmup_steps,
                "drops": new.drops,
                "drop_factor": new.drop_factor,
            }
        )
        length = {"steps": new.steps, "epochs": new.epochs, "checkpoint_every": new.checkpoint_every}
        return self.model_copy(update=length | {"schedule": schedule, "checkpoint_epochs": ()})

    def steps_in(self, batches_per_epoch: int, processes: int = 1) -> int:
        """Return how many steps the run has, when every process takes a batch of its own in each step."""
        if self.epochs is not None:
            return self.steps_of(self.epochs, batches_per_epoch, processes)
        return self.steps or 0  # never 0: one of both is set

    def steps_of(self, epochs: int, batches_per_epoch: int, processes: int = 1) -> int:
        """Return after how many steps so many epochs are over."""
        return -(-epochs * batches_per_epoch // processes)

    def with_length(self, *, steps: int | None = None, epochs: int | None = None) -> "Recipe":
        """Return the recipe with another length; the same where neither is given.

        Raises
        ------
        ConfigError
            If both are given.
        """
        if steps is not None and epochs is not None:
            raise ConfigError(
                f"The length of the run is given as {steps} steps and as {epochs} epochs",
                "One of them",
                "Leave one out",
            )
        if steps is None and epochs is None:
            return self
        return self.model_validate(self.model_dump() | {"steps": steps, "epochs": epochs})

    def with_options(self, options: Mapping[str, object]) -> "Recipe":
        """Return the recipe with some fields replaced; None keeps what the recipe says."""
        return self.model_validate(self.model_dump() | {name: v for name, v in options.items() if v is not None})
