"""The lines that a worker and the child process of a job exchange: one JSON object each.

Worker to child: a task, or `Cancel`. Child to worker: any number of `Progressed`, then one `Finished` or `Failed`.
Closing the child's standard input ends it at once: a worker that dies takes its child with it.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from lens_engine.errors import LensError
from lens_engine.findings import Split
from lens_engine.io.annotations.manual_test_set import ExportFormat


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DetectSeries(_Message):
    """Detect in one series and store what is found; a series that has detections of this version is left alone."""

    task: Literal["detect"] = "detect"
    series_id: int
    model_version: str
    waits: bool = False
    """Whether it waits for another job that is at the same series; otherwise the result says that it is `taken`."""
    compiles: bool = False
    """Whether the network is compiled first; boxes are the same but for rounding."""
    next_series_id: int | None = None
    """The series that is likely to come then: its scan is read while this one is computed."""


class EmbedAnnotations(_Message):
    """Compute the embeddings of a series' annotations into a file of the job."""

    task: Literal["embed"] = "embed"
    series_id: int
    model_version: str


class CalibrateRules(_Message):
    """Compare patients with each other, and keep the thresholds that follow in a file of the job."""

    task: Literal["calibrate"] = "calibrate"
    series_ids: tuple[int, ...]
    model_version: str


class MinePatients(_Message):
    """Mine all series of some patients, one patient after the other, into the file of their batch."""

    task: Literal["mine"] = "mine"
    batch: int
    series_ids: tuple[int, ...]
    model_version: str


class StoreCandidates(_Message):
    """Store what was mined in all batches as one run, known by the moment at which it began."""

    task: Literal["store"] = "store"
    batches: int
    series: int
    model_version: str
    begun_at: datetime


class EvaluateModels(_Message):
    """Measure model versions on completely annotated series that all of them have seen, and store the result."""

    task: Literal["evaluate"] = "evaluate"
    series_ids: tuple[int, ...]
    model_versions: tuple[str, ...]
    split: Split


class ExportAnnotations(_Message):
    """Write the complete test-set annotations."""

    task: Literal["export"] = "export"
    format: ExportFormat
    target: str


class Cancel(_Message):
    """Stop the task that runs, at the next report of progress."""

    task: Literal["cancel"] = "cancel"


Task = (
    DetectSeries
    | EmbedAnnotations
    | CalibrateRules
    | MinePatients
    | StoreCandidates
    | EvaluateModels
    | ExportAnnotations
)


class Progressed(_Message):
    """How far the running task is: `done` of `total` of its own units (slices, patients)."""

    event: Literal["progressed"] = "progressed"
    done: int
    total: int


class Finished(_Message):
    """The task is done."""

    event: Literal["finished"] = "finished"
    result: dict[str, Any]


class Failed(_Message):
    """The task failed for a reason that a user can understand; the child lives on."""

    event: Literal["failed"] = "failed"
    happened: str
    expected: str
    remedy: str

    @classmethod
    def of(cls, error: LensError) -> "Failed":
        """Return it for an error."""
        return cls(happened=error.happened, expected=error.expected, remedy=error.remedy)


Event = Progressed | Finished | Failed

REQUEST: TypeAdapter[Task | Cancel] = TypeAdapter(Annotated[Task | Cancel, Field(discriminator="task")])
EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Progressed | Finished | Failed, Field(discriminator="event")])
