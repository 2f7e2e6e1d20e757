"""What each kind of job does, as durable steps: one for each series that a network sees, one for a batch of patients.

After a crash a job goes on at the step it was in, so a step may run again: each leaves finished work alone.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest

from lens_engine.errors import JobError, LensError
from lens_engine.findings import Split
from lens_engine.jobs.inputs import (
    DetectInputs,
    EvaluateInputs,
    ExportInputs,
    JobInputs,
    MineInputs,
    TrainInputs,
)
from lens_engine.jobs.names import MINED_FOLDER
from lens_engine.jobs.results import DetectResult, EvaluateResult, TrainResult
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.detections import Detections
from lens_engine.store.labels.completeness import (
    how_to_measure,
    measurable_elsewhere,
    measured_series,
)
from lens_engine.store.labels.left_out import why_left_out
from lens_engine.worker.job import Job, JsonObject, Meter
from lens_engine.worker.messages import (
    CalibrateRules,
    DetectSeries,
    EmbedAnnotations,
    EvaluateModels,
    ExportAnnotations,
    MinePatients,
    StoreCandidates,
)
from lens_engine.worker.shared_series import SharedSeries
from lens_engine.worker.training_step import register_model, train_model

PATIENTS_OF_A_STEP = 10
"""Recording a step takes about 10 ms, mining a patient 100 ms: the steps cost 1 %, and a crash a second."""


@dataclass(frozen=True, slots=True)
class Detected:
    """What a mining has looked at first: how far the job is, and why some series were left out."""

    meter: Meter
    problems: tuple[str, ...]


def run(job: Job, inputs: JobInputs) -> JsonObject:
    """Do the whole job and return its result. Raises `LensError` with what went wrong."""
    match inputs:
        case DetectInputs():
            return detect(job, inputs)
        case MineInputs():
            return mine(job, inputs)
        case TrainInputs():
            return train(job, inputs)
        case EvaluateInputs():
            return evaluate(job, inputs)
        case ExportInputs():
            return export(job, inputs)


def detect(job: Job, inputs: DetectInputs) -> JsonObject:
    """Detect in every series; one that cannot be read is named at the end and does not keep the others waiting."""
    meter = Meter(len(inputs.series_ids))
    series = _series(job, inputs.series_ids)
    results = _detect_all(job, meter, series, inputs.model_version, compiles=inputs.compiles)
    _raise_problems(job, results)
    return DetectResult(
        model_version=inputs.model_version,
        series=len(results),
        skipped=sum(bool(result["skipped"]) for result in results),
        boxes=_sum(results, "boxes"),
        findings=_sum(results, "findings"),
    ).model_dump()


def mine(job: Job, inputs: MineInputs) -> JsonObject:
    """Detect where that is asked for, embed the known lesions of every series outside the test split, then mine.

    Nobody sees a candidate before those of all patients are stored.
    """
    version = inputs.model_version
    detected = _detect_unseen(job, version) if inputs.detect else Detected(Meter(0), ())

    def plan() -> JsonObject:
        detections = Detections(job.database)
        series = _minable_series(job)
        return {"series_ids": [item.id for item in series if detections.exists(item.id, version)]}

    series_ids = job.step("Choosing the series", plan)["series_ids"]
    if not series_ids:
        raise _nothing_to_mine(version, has_series=bool(_minable_series(job)))
    records = _series(job, series_ids)
    batches = batches_of_patients(records)
    meter = detected.meter
    meter.total = meter.done + len(records) + len(batches) + 2
    for series in records:
        task = EmbedAnnotations(series_id=series.id, model_version=version)
        job.task_step(f"Comparing the annotations of {series.name}", task, meter)
    begun = job.step("Beginning", lambda: {"batches": batches, "begun_at": datetime.now(UTC).isoformat()})
    rules = CalibrateRules(series_ids=tuple(series_ids), model_version=version)
    job.task_step("Comparing the patients", rules, meter)
    for number, ids in enumerate(begun["batches"]):
        patients = MinePatients(batch=number, series_ids=tuple(ids), model_version=version)
        job.task_step(f"Mining batch {number + 1} of {len(begun['batches'])}", patients, meter)
    store = StoreCandidates(
        batches=len(begun["batches"]), series=len(records), model_version=version, begun_at=begun["begun_at"]
    )
    result = job.task_step("Storing the candidates", store, meter)
    if detected.problems:
        result = {**result, "notes": [*result.get("notes", ()), _not_looked_at(detected.problems)]}
    shutil.rmtree(job.folder / MINED_FOLDER, ignore_errors=True)  # a step that is recorded as done runs never again
    return result


def train(job: Job, inputs: TrainInputs) -> JsonObject:
    """Train in a process of its own, going on from its last checkpoint after a crash; register the version; measure.

    What it is worth belongs to a training: nobody has to be there at its end to ask for that.
    """
    steps = job.step("Training", lambda: train_model(job, inputs))["steps"]
    version = job.step("Registering the model", lambda: register_model(job, inputs))["model_version"]
    evaluation = _measured(job, (inputs.parent_version, version)) if inputs.measure else None
    return TrainResult(
        model_version=version,
        parent_version=inputs.parent_version,
        snapshot_id=inputs.snapshot_id,
        steps=steps,
        promoted=inputs.promote,
        evaluation=evaluation,
    ).model_dump(mode="json")


def evaluate(job: Job, inputs: EvaluateInputs) -> JsonObject:
    """Detect what is missing on completely annotated held-out series, then measure."""
    chosen = job.step("Choosing the series", lambda: _measured_series(job, inputs.split))
    series_ids = chosen["series_ids"]
    left_out, disputed = (chosen.get(name, []) for name in ("left_out", "disputed"))  # an older worker recorded the ids
    if not series_ids:
        what_to_do = _what_to_do(job, inputs.split, left_out, disputed)
        return EvaluateResult(
            measurable=False, split=inputs.split, what_to_do=what_to_do, left_out=left_out, disputed=disputed
        ).model_dump(mode="json")
    meter = Meter(len(series_ids) * len(inputs.model_versions) + 1)
    for version in inputs.model_versions:
        _raise_problems(job, _detect_all(job, meter, _series(job, series_ids), version))
    task = EvaluateModels(series_ids=tuple(series_ids), model_versions=inputs.model_versions, split=inputs.split)
    return {**job.task_step("Measuring", task, meter), "left_out": left_out, "disputed": disputed}


def export(job: Job, inputs: ExportInputs) -> JsonObject:
    """Write the complete test-set annotations."""
    return job.task_step("Writing", ExportAnnotations(format=inputs.format, target=inputs.target), Meter(1))


def _measured(job: Job, versions: tuple[str, ...]) -> EvaluateResult:
    """Return how versions compare; what keeps a new version from being measured does not unmake it."""
    inputs = EvaluateInputs(model_versions=versions)
    try:
        return EvaluateResult.model_validate(evaluate(job, inputs))
    except LensError as failure:
        job.log(f"the new version could not be measured: {failure}")
        words = f"The new version is made, but it could not be measured: {failure}"
        return EvaluateResult(measurable=False, split=inputs.split, what_to_do=words)


def _series(job: Job, series_ids: Sequence[int]) -> list[SeriesRecord]:
    return list(Catalog(job.database).some_series(series_ids))


def batches_of_patients(records: Sequence[SeriesRecord]) -> list[list[int]]:
    """Return the series of some patients at a time, all those of a patient together."""
    by_patient: dict[int, list[int]] = {}
    for record in records:
        by_patient.setdefault(record.patient_id, []).append(record.id)
    patients = list(by_patient.values())
    starts = range(0, len(patients), PATIENTS_OF_A_STEP)
    return [[series_id for ids in patients[k : k + PATIENTS_OF_A_STEP] for series_id in ids] for k in starts]


def _minable_series(job: Job) -> list[SeriesRecord]:
    return [item for item in Catalog(job.database).all_series(with_images=True) if item.split is not Split.TEST]


def _detect_unseen(job: Job, version: str) -> Detected:
    """Detect in what is mined and was not seen by a version, one durable step a series."""

    def plan() -> JsonObject:
        detections = Detections(job.database)
        return {"series_ids": [item.id for item in _minable_series(job) if not detections.exists(item.id, version)]}

    series = _series(job, job.step("Choosing the series to look at", plan)["series_ids"])
    minable = [item.id for item in _minable_series(job)]
    meter = Meter(len(series) + len(minable) + len(batches_of_patients(_series(job, minable))) + 2)
    results = _detect_all(job, meter, series, version)
    return Detected(meter, tuple(str(result["problem"]) for result in results if result.get("problem")))


def _not_looked_at(problems: Sequence[str]) -> str:
    return f"{len(problems)} series could not be looked at and were left out: {' '.join(problems[:3])}"


def _nothing_to_mine(version: str, *, has_series: bool) -> JobError:
    if not has_series:
        return JobError(
            "The project has no scan of a train or val patient",
            "Test patients are never mined",
            "Add other patients, for example with: lens add PATH --split train",
        )
    return JobError(
        f"No series outside the test patients has detections of model {version}",
        "Mining needs detections",
        f"Run 'lens detect --model {version}' first",
    )


def _detect_all(
    job: Job, meter: Meter, series: Sequence[SeriesRecord], version: str, *, compiles: bool = False
) -> list[JsonObject]:
    """Detect in series; those that another job is at come last, by when they are done or it is waited for."""
    shared = SharedSeries(Detections(job.database), version, [record.id for record in series])
    tasks = detection_tasks(series, version, compiles=compiles)
    results = job.detect_steps(tasks, meter, shared)
    taken = [
        (name, task.model_copy(update={"waits": True, "next_series_id": None}))
        for (name, task), result in zip(tasks, results, strict=True)
        if result.get("taken")
    ]
    later = iter(job.detect_steps(taken, meter, shared))
    meter.see_others(ahead=0, per_second=0.0)  # what comes now is this job's alone
    return [next(later) if result.get("taken") else result for result in results]


def detection_tasks(
    series: Sequence[SeriesRecord], version: str, *, compiles: bool = False
) -> list[tuple[str, DetectSeries]]:
    """Return a task with its name for each series, which says what comes after it."""
    tasks = []
    for record, following in zip_longest(series, series[1:]):
        task = DetectSeries(
            series_id=record.id,
            model_version=version,
            compiles=compiles,
            next_series_id=None if following is None else following.id,
        )
        tasks.append((f"Detecting in {record.name} with {version}", task))
    return tasks


def _raise_problems(job: Job, results: Sequence[JsonObject]) -> None:
    """Name the series that could not be used, all of them in the job's log, when all others are done."""
    problems = [str(result["problem"]) for result in results if result.get("problem")]
    if problems:
        job.log("\n  ".join([f"{len(problems)} of {len(results)} series could not be used:", *problems]))
        raise JobError(
            f"{len(problems)} of {len(results)} series could not be used: {' '.join(problems[:3])}",
            "All others are done and stay done" if len(problems) < len(results) else "",
            f"Correct or leave out these series and start the job again; all are listed by: lens jobs --log {job.id}",
        )


def _sum(results: Sequence[JsonObject], key: str) -> dict[str, int]:
    total: dict[str, int] = {}
    for result in results:
        for expert, count in result[key].items():
            total[expert] = total.get(expert, 0) + count
    return total


def _measured_series(job: Job, split: Split) -> JsonObject:
    measured = measured_series(job.database, split)
    return {
        "series_ids": [item.id for item in measured.series],
        "left_out": list(measured.left_out),
        "disputed": list(measured.disputed),
    }


def _what_to_do(job: Job, split: Split, left_out: Sequence[str], disputed: Sequence[str]) -> str:
    sentences = (
        f"The gain cannot be measured: no series of the {split} patients is annotated completely.",
        why_left_out(left_out, disputed) or how_to_measure(split),
        measurable_elsewhere(job.database, split),
    )
    return " ".join(filter(None, sentences))
