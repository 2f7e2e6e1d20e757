"""What the experiment consists of: which phantoms, how poor their labels are, how long is trained, what is compared.

Everything is fixed here before a test patient is looked at; `loop.yaml` holds the values.
"""

from enum import StrEnum
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lens_engine.errors import ConfigError
from lens_engine.io.yaml_files import load_yaml
from lens_engine.phantom.patient import TEST_SEEDS, TRAIN_SEEDS, VAL_SEEDS
from lens_engine.snapshot import LabelSet

LOOP = "loop"
"""What the experiment is called beside the recipes."""
LOOP_FILE = Path(__file__).parent / "loop.yaml"


class Order(StrEnum):
    """An order in which a reader goes through the candidates."""

    AS_ASKED = "as asked"
    BY_SCORE = "by score"
    AT_RANDOM = "at random"


class Arm(StrEnum):
    """One way to label the training patients; all arms start from the same detector and take the same steps."""

    ORIGINAL = "original labels"
    MINED = "+ mined"
    PART_AT_RANDOM = "+ part decided, at random"
    PART_BY_SCORE = "+ part decided, by score"
    PART_AS_ASKED = "+ part decided, as asked"
    DECIDED = "+ mined and decided"
    COMPLETE = "+ complete truth"

    @property
    def labels(self) -> LabelSet:
        """The labels of the project that the arm learns from."""
        return {Arm.ORIGINAL: LabelSet.ORIGINAL, Arm.MINED: LabelSet.MINED}.get(self, LabelSet.CURATED)


PART_ARMS = {
    Order.AT_RANDOM: Arm.PART_AT_RANDOM,
    Order.BY_SCORE: Arm.PART_BY_SCORE,
    Order.AS_ASKED: Arm.PART_AS_ASKED,
}
"""The arms whose reader stops after a part of the candidates, by the order in which they were asked."""


class PatientSeeds(BaseModel):
    """Phantom patients by their seeds: `count` of them from `first` on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: int
    count: int = Field(ge=1)

    @property
    def seeds(self) -> range:
        """The seeds, ascending."""
        return range(self.first, self.first + self.count)

    def after(self, number: int) -> "PatientSeeds":
        """Return the as many patients that come `number` times later."""
        return PatientSeeds(first=self.first + number * self.count, count=self.count)

    def require_within(self, allowed: range, what: str) -> None:
        """Refuse patients that belong to another purpose.

        Raises
        ------
        ValueError
            If a seed lies outside `allowed`.
        """
        if self.seeds[0] not in allowed or self.seeds[-1] not in allowed:
            raise ValueError(
                f"{what} have the seeds {self.seeds[0]} to {self.seeds[-1]}; "
                f"{allowed[0]} to {allowed[-1]} are set aside for them"
            )


class LoopDesign(BaseModel):
    """The whole experiment.

    Attributes
    ----------
    replicates
        How often it is done, each time with other training patients, other initial weights and another order.
    universal
        Training patients of the universal data set in the first replicate; the others take those that follow.
    single_type
        The same of each single-type data set.
    studies
        Scans of each universal training patient, months apart.
    withheld_share
        Share of their lesions that nobody marked.
    test
        Patients that every detector is measured on; their truth is complete.
    base_steps
        Training of the detector that all arms start from, on the original labels, from random weights.
    arm_steps
        Training of each arm.
    part
        Share of the candidates that a reader who stops early has decided.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    replicates: int = Field(ge=1)
    universal: PatientSeeds
    single_type: PatientSeeds
    studies: int = Field(ge=1)
    withheld_share: float = Field(ge=0, lt=1)
    test: PatientSeeds
    base_steps: int = Field(ge=1)
    arm_steps: int = Field(ge=1)
    part: float = Field(gt=0, lt=1)
    error_rate: float = Field(default=0.0, ge=0, le=1)
    """Share of the simulated reader's answers that are wrong."""

    @model_validator(mode="after")
    def _patients_have_one_purpose(self) -> "LoopDesign":
        last = self.replicates - 1
        for part, what in ((self.universal, "universal patients"), (self.single_type, "single-type patients")):
            part.require_within(TRAIN_SEEDS, what)
            part.after(last).require_within(TRAIN_SEEDS, what)
        measured = VAL_SEEDS if self.test.first in VAL_SEEDS else TEST_SEEDS  # a design is tuned on the former
        self.test.require_within(measured, "measured patients")
        return self


def load_design(path: Path = LOOP_FILE) -> LoopDesign:
    """Read a design.

    Raises
    ------
    ConfigError
        If the file cannot be read or says something impossible.
    """
    try:
        return LoopDesign.model_validate(load_yaml(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ConfigError(
            f"{path} is no design of the loop experiment: {error}", f"A YAML file like {LOOP_FILE.name}", "Correct it"
        ) from error
