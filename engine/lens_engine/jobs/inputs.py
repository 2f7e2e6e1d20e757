"""What each kind of job needs to know: ids and numbers only, never a path and never a patient.

The same models make the command-line options and the forms of the viewer.
"""

import re
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lens_engine.findings import Split
from lens_engine.io.annotations.manual_test_set import ExportFormat


class JobKind(StrEnum):
    """What a job does."""

    DETECT = "detect"
    MINE = "mine"
    TRAIN = "train"
    EVALUATE = "evaluate"
    EXPORT = "export"


def _held_out(split: Split) -> Split:
    if split is Split.TRAIN:
        raise ValueError("a detector is evaluated on held-out patients: choose 'test' or 'val'")
    return split


def _file_name(target: str) -> str:
    if not re.fullmatch(r"[\w][\w.\- ]*", target):
        raise ValueError("give a plain file name without folders; it is written into the project's exports folder")
    return target


def _order(series_ids: tuple[int, ...], job: int, jobs: int) -> tuple[int, ...]:
    """Return series in the order of a job, beginning at the first of its part or, backwards, at the last."""
    if job % 2:
        end = (job + 1) * len(series_ids) // jobs
        return (series_ids[end:] + series_ids[:end])[::-1]
    start = job * len(series_ids) // jobs
    return series_ids[start:] + series_ids[:start]


class _Inputs(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DetectInputs(_Inputs):
    """Run one model version over series; those that it has already seen are skipped."""

    kind: ClassVar[JobKind] = JobKind.DETECT
    series_ids: tuple[int, ...] = Field(min_length=1, description="Series to look at")
    model_version: str = Field(min_length=1, description="Model version, such as v1")
    compiles: bool = Field(default=False, description="Compile the network first")

    def shared_by(self, jobs: int) -> "tuple[DetectInputs, ...]":
        """Return the inputs of jobs that share these series: each goes over all of them, and begins with its own part.

        Every second one goes backwards, towards the one before it. Jobs side by side in one direction would be at
        neighbouring series from then on, and the scan that one of them reads ahead would be taken by the other.
        """
        orders = (_order(self.series_ids, job, jobs) for job in range(jobs))
        return tuple(self.model_copy(update={"series_ids": order}) for order in orders)


class MineInputs(_Inputs):
    """Mine candidates from the detections of one model version, over all patients outside the test split."""

    kind: ClassVar[JobKind] = JobKind.MINE
    model_version: str = Field(min_length=1, description="Model version whose detections are mined")
    detect: bool = Field(default=False, description="First look at the series that this version has not seen")


class TrainInputs(_Inputs):
    """Train a new model version on a frozen snapshot."""

    kind: ClassVar[JobKind] = JobKind.TRAIN
    snapshot_id: str = Field(min_length=1, description="Snapshot of labels, frozen before the job was queued")
    parent_version: str = Field(min_length=1, description="Model version to fine-tune, and parent of the new one")
    steps: int | None = Field(default=None, ge=1, description="Training steps; the recipe's when not given")
    seed: int = Field(default=0, ge=0, description="Seed of everything random")
    promote: bool = Field(default=False, description="Make the new version the project's when it is done")
    from_scratch: bool = Field(default=False, description="Do not start from the parent's weights")
    measure: bool = Field(
        default=False, description="Then measure the new version and its parent on the complete test series"
    )


class EvaluateInputs(_Inputs):
    """Measure model versions on completely annotated held-out series; two versions are also compared pairwise."""

    kind: ClassVar[JobKind] = JobKind.EVALUATE
    model_versions: tuple[str, ...] = Field(min_length=1, description="Model versions, the reference first")
    split: Annotated[Split, AfterValidator(_held_out)] = Field(default=Split.TEST, description="Held-out part")


class ExportInputs(_Inputs):
    """Write the complete test-set annotations into the exports folder of the project."""

    kind: ClassVar[JobKind] = JobKind.EXPORT
    format: ExportFormat = Field(description="File format")
    target: Annotated[str, AfterValidator(_file_name)] = Field(description="File name inside the exports folder")


JobInputs = DetectInputs | MineInputs | TrainInputs | EvaluateInputs | ExportInputs

INPUTS_OF: dict[JobKind, type[JobInputs]] = {
    model.kind: model for model in (DetectInputs, MineInputs, TrainInputs, EvaluateInputs, ExportInputs)
}
"""The inputs model of each kind."""
