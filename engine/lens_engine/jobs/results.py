"""What each kind of job leaves behind in `JobStatus.result`: small, made of ids and numbers."""

from pydantic import BaseModel, ConfigDict

from lens_engine.evaluation.report import MeasuredValue
from lens_engine.findings import Split


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DetectResult(_Result):
    """What a detect job found.

    Attributes
    ----------
    series
        How many series now have detections of this version.
    skipped
        How many of them this job found detected, by another job or before it began.
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


class LabelCount(_Result):
    """One row of LENS Table IV: what would be taught if mining went so far.

    Attributes
    ----------
    name
        The last rule that is counted; each row includes those above it.
    lesions, boxes
        3D lesions, and their 2D boxes on slices of the series.
    uncertain_boxes
        2D boxes that are ignored.
    slices
        Slices that teach anything.
    """

    name: str
    lesions: int
    boxes: int
    uncertain_boxes: int
    slices: int


class MineResult(_Result):
    """What a mine job found.

    Attributes
    ----------
    patients
        How many patients the series are of; 0 in results of earlier versions.
    candidates
        How many wait for a reader or inherited a decision.
    by_reason
        How many candidates each mining rule asks about; one may have several reasons.
    distance_limit
        Embedding distance below which two lesions of a patient count as the same.
    limit_note
        How the limit was found, for people.
    label_counts
        What annotations and each rule give, in the form of LENS Table IV; empty in results of earlier versions.
    notes
        Which rules had nothing to work with, and which series could not be looked at, for people.
    threshold_note
        How sure each single-type expert had to be, for people; empty in results of earlier versions.
    """

    model_version: str
    mining_run: int
    series: int
    candidates: int
    by_reason: dict[str, int]
    distance_limit: float
    limit_note: str
    patients: int = 0
    label_counts: tuple[LabelCount, ...] = ()
    notes: tuple[str, ...] = ()
    threshold_note: str = ""


class EvaluateResult(_Result):
    """What an evaluate job measured; the curves are stored with each version (`Models.evaluations`).

    Attributes
    ----------
    measurable
        False when no held-out series is completely annotated; then only `what_to_do` is filled.
    series, patients, lesions
        What was measured on.
    left_out
        Names of complete series with a lesion that is annotated on one slice only.
    disputed
        Names of complete series that two readers have read and differ about.
    average_sensitivity
        Average of the fused findings, by model version and matching rule ("IoBB", "IoU").
    difference
        Rise of the average sensitivity from the first version to each other one, paired over patients, by rule.
    """

    measurable: bool
    what_to_do: str = ""
    split: Split
    series: int = 0
    patients: int = 0
    lesions: int = 0
    left_out: tuple[str, ...] = ()
    disputed: tuple[str, ...] = ()
    average_sensitivity: dict[str, dict[str, MeasuredValue]] = {}
    difference: dict[str, dict[str, MeasuredValue]] = {}


class TrainResult(_Result):
    """What a train job made.

    Attributes
    ----------
    evaluation
        How the new version compares with its parent; None where nobody asked for that, as in results of earlier
        versions.
    """

    model_version: str
    parent_version: str
    snapshot_id: str
    steps: int
    promoted: bool
    evaluation: EvaluateResult | None = None


class ExportResult(_Result):
    """What an export job wrote; files are named without the exports folder they lie in.

    Attributes
    ----------
    mapping_file
        Which pseudonymous name is which scan; must not leave the project. None where no scan needs it.
    readings_file
        Who read which sub-volume, where the format has no room for that.
    left_out
        Names of complete series with a lesion that is annotated on one slice only.
    disputed
        Names of complete series that two readers have read and differ about.
    """

    file: str
    series: int
    lesions: int
    mapping_file: str | None
    readings_file: str | None = None
    left_out: tuple[str, ...] = ()
    disputed: tuple[str, ...] = ()
