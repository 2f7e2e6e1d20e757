"""What each kind of job leaves behind in `JobStatus.result`: small, made of ids and numbers."""

from pydantic import BaseModel, ConfigDict


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DetectResult(_Result):
    """Of a detect job.

    Attributes
    ----------
    series
        How many series now have detections of this version.
    skipped
        How many of them had been looked at before this job.
    boxes
        2D boxes of each expert and of the fusion, over all series of the job.
    findings
        3D findings of the same.
    """

    model_version: str
    series: int
    skipped: int
    boxes: dict[str, int]
    findings: dict[str, int]


class MineResult(_Result):
    """Of a mine job.

    Attributes
    ----------
    candidates
        How many wait for a reader or inherited a decision.
    by_reason
        How many candidates each mining rule asks about; one may have several reasons.
    distance_limit
        Embedding distance below which two lesions of a patient count as the same.
    limit_note
        How the limit was found, for people.
    """

    model_version: str
    mining_run: int
    series: int
    candidates: int
    by_reason: dict[str, int]
    distance_limit: float
    limit_note: str


class TrainResult(_Result):
    """Of a train job."""

    model_version: str
    parent_version: str
    snapshot_id: str
    steps: int
    promoted: bool


class EvaluateResult(_Result):
    """Of an evaluate job.

    Attributes
    ----------
    measurable
        False when no held-out series is completely annotated; then only `what_to_do` is filled.
    series, patients, lesions
        What was measured on.
    evaluations
        Per model version: the stored evaluation, see `lens_engine.jobs.evaluation`.
    difference
        Second version minus the first, paired over patients, per matching rule; empty for one version.
    """

    measurable: bool
    what_to_do: str = ""
    split: str
    series: int = 0
    patients: int = 0
    lesions: int = 0
    evaluations: dict[str, dict[str, object]] = {}
    difference: dict[str, dict[str, object]] = {}


class ExportResult(_Result):
    """Of an export job; `file` is its name inside the exports folder."""

    file: str
    series: int
    lesions: int
