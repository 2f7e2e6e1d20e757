"""Verbs that ask a worker for something: detect, mine, retrain, evaluate, export, and jobs and worker themselves."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from lens_engine.errors import JobError, StoreError
from lens_engine.findings import Split
from lens_engine.io.annotations.manual_test_set import ExportFormat
from lens_engine.jobs.environment import process_environment
from lens_engine.jobs.inputs import DetectInputs, EvaluateInputs, JobInputs, JobKind, MineInputs, TrainInputs
from lens_engine.jobs.launcher import WORKER_MODULE, ensure_worker, resume_job
from lens_engine.jobs.queue import open_queue
from lens_engine.jobs.results import DetectResult, EvaluateResult, ExportResult, MineResult, TrainResult
from lens_engine.jobs.status import JobState, JobStatus, wait_for
from lens_engine.project import Project
from lens_engine.snapshot import LabelSet
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.exchange.exporting import export_test_set
from lens_engine.store.labels.completeness import why_left_out
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.models.model_versions import ModelRecord, Models
from lens_napari.cli.context import console, open_project, progress_bar
from lens_napari.cli.handover import become

WaitOption = Annotated[bool, typer.Option("--wait", help="Show a progress bar until the job has ended.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Model version; the promoted one by default.")]


FORMAT_OF_SUFFIX = {
    ".pkl": ExportFormat.MANUAL_PICKLE,
    ".pickle": ExportFormat.MANUAL_PICKLE,
    ".json": ExportFormat.JSON,
}


LABEL_COLUMNS = ("3D lesions", "2D boxes", "2D uncertain", "slices")
"""Of LENS Table IV."""


class Initialisation(StrEnum):
    """Where the weights of a retrained model come from."""

    PROMOTED = "promoted"
    SCRATCH = "scratch"


class HeldOutSplit(StrEnum):
    """What a detector may be measured on."""

    TEST = Split.TEST.value
    VAL = Split.VAL.value


def detect(
    context: typer.Context,
    series: Annotated[
        list[str] | None, typer.Option("--series", help="Name of a series; may be repeated. All by default.")
    ] = None,
    model: ModelOption = None,
    wait: WaitOption = False,
) -> None:
    """Run the detector, with every dataset expert, over the scans of the project."""
    project = open_project(context)
    database = Database.open(project)
    version = _model(database, model)
    catalog = Catalog(database)
    records = [catalog.by_name(name) for name in series] if series else list(catalog.all_series(with_images=True))
    if not records:
        raise StoreError(
            "The project holds no scans", "At least one CT series is needed", "Add some with: lens add PATH"
        )
    if version.notice:
        console.print(f"[yellow]{escape(version.notice)}[/]")
    inputs = DetectInputs(series_ids=tuple(record.id for record in records), model_version=version.version)
    status = _submit(project, inputs, wait)
    if status is not None:
        _print_detections(DetectResult.model_validate(dict(status.result)))


def mine(
    context: typer.Context,
    model: ModelOption = None,
    detect: Annotated[
        bool, typer.Option("--detect", help="First look at the train and val series that the model has not seen.")
    ] = False,
    wait: WaitOption = False,
) -> None:
    """Mine missing annotations and uncertain lesions from the detections."""
    project = open_project(context)
    version = _model(Database.open(project), model)
    status = _submit(project, MineInputs(model_version=version.version, detect=detect), wait)
    if status is not None:
        _print_mined(MineResult.model_validate(dict(status.result)))


def retrain(
    context: typer.Context,
    labels: Annotated[LabelSet, typer.Option(help="Which labels to learn from.")] = LabelSet.CURATED,
    start: Annotated[
        Initialisation, typer.Option("--from", help="Where the weights come from.")
    ] = Initialisation.PROMOTED,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps; those of the recipe by default.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    promote: Annotated[bool, typer.Option("--promote", help="Use the new version from now on.")] = False,
    wait: WaitOption = False,
) -> None:
    """Freeze the labels and decisions into a snapshot, train a new model version on it, and measure it."""
    project = open_project(context)
    database = Database.open(project)
    version = _model(database, None)
    if version.not_inherited:
        console.print(f"[yellow]Note:[/] {escape(version.not_inherited)}.")
    snapshot = Snapshots(database).freeze(labels)
    console.print(f"Snapshot {snapshot.id}: " + ", ".join(f"{count} {name}" for name, count in snapshot.counts.items()))
    inputs = TrainInputs(
        snapshot_id=snapshot.id,
        parent_version=version.version,
        steps=steps,
        seed=seed,
        promote=promote,
        from_scratch=start is Initialisation.SCRATCH,
        measure=True,
    )
    status = _submit(project, inputs, wait)
    if status is not None:
        _print_trained(TrainResult.model_validate(dict(status.result)))


def evaluate(
    context: typer.Context,
    models: Annotated[
        list[str] | None, typer.Argument(help="Model versions, the reference first; the promoted one by default.")
    ] = None,
    split: Annotated[HeldOutSplit, typer.Option(help="Held-out part.")] = HeldOutSplit.TEST,
    wait: WaitOption = False,
) -> None:
    """Measure model versions (FROC) on completely annotated held-out series."""
    project = open_project(context)
    database = Database.open(project)
    versions = tuple(models) if models else (_model(database, None).version,)
    for version in versions:
        Models(database).get(version)
    status = _submit(project, EvaluateInputs(model_versions=versions, split=Split(split)), wait)
    if status is not None:
        _print_evaluation(EvaluateResult.model_validate(dict(status.result)))


def export(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help="File to write.")],
    form: Annotated[
        ExportFormat | None, typer.Option("--format", help="File format; by default what the name ends with says.")
    ] = None,
) -> None:
    """Write the complete 3D annotations in the published form of the manual test set, or as JSON."""
    chosen = form or FORMAT_OF_SUFFIX.get(out.suffix.lower())
    if chosen is None:
        raise typer.BadParameter(
            f"{out.name} ends with none of {', '.join(FORMAT_OF_SUFFIX)}; name its form with --format", param_hint="OUT"
        )
    report = export_test_set(Database.open(open_project(context)), chosen, out)
    console.print(f"{report.lesions} lesions of {report.series} series written to {escape(str(out))}")
    if report.mapping_file is not None:
        console.print(f"Which series is which stays in the project: {escape(str(report.mapping_file))}")
    if report.readings_file is not None:
        console.print(f"Who read what: {escape(str(report.readings_file))}")
    _print_left_out(report.left_out, report.disputed)


def jobs(
    context: typer.Context,
    cancel: Annotated[str | None, typer.Option(metavar="JOB", help="Ask a job to end.")] = None,
    resume: Annotated[str | None, typer.Option(metavar="JOB", help="Go on with a cancelled or failed job.")] = None,
    log: Annotated[str | None, typer.Option(metavar="JOB", help="Show the log of a job.")] = None,
    result: Annotated[str | None, typer.Option(metavar="JOB", help="Show what a finished job found.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the latest jobs.")] = 20,
) -> None:
    """List the jobs of the project, cancel or resume one, or show its log or its result."""
    project = open_project(context)
    queue = open_queue(project)
    try:
        if cancel is not None:
            queue.cancel(cancel)
        if resume is not None:
            followed = resume_job(project, queue, resume)
            place = "" if followed == resume else f" in place of {resume}"
            console.print(f"Job {followed} goes on{place}.", highlight=False)
        if log is not None:
            file = queue.log_file(log)
            if not file.is_file():
                queue.status(log)  # says if there is no such job
                raise JobError(
                    f"Job {log} has no log yet", "A log appears when a worker starts the job", "See: lens jobs"
                )
            console.out(file.read_text(encoding="utf-8"), end="")
            return
        if result is not None:
            _print_result(queue.status(result))
            return
        table = Table(Column("job", no_wrap=True), "kind", "state", "progress", "what", "worker")
        for status in queue.jobs(limit):
            progress = f"{status.done}/{status.total}" if status.total else ""
            table.add_row(
                status.id,
                status.kind,
                status.state,
                progress,
                escape(status.error or status.stage),
                status.worker or "",
            )
        console.print(table)
    finally:
        queue.close()


def worker(
    context: typer.Context,
    idle_minutes: Annotated[
        float | None, typer.Option(min=0, help="End after so long without a job; without it, only when interrupted.")
    ] = None,
    executor_id: Annotated[
        str | None, typer.Option(help="Stable name of this worker; host and device by default.")
    ] = None,
) -> None:
    """Run jobs in the foreground until interrupted (needs the extra 'engine')."""
    arguments = ["--project", str(open_project(context).folder)]
    if idle_minutes is not None:
        arguments += ["--idle-minutes", str(idle_minutes)]
    if executor_id is not None:
        arguments += ["--executor-id", executor_id]
    become(WORKER_MODULE, arguments, process_environment())


def _model(database: Database, version: str | None) -> ModelRecord:
    models = Models(database)
    return models.promoted() if version is None else models.get(version)


def _submit(project: Project, inputs: JobInputs, wait: bool) -> JobStatus | None:
    """Queue a job, see that a worker is alive, and with `wait` follow it to its end."""
    queue = open_queue(project)
    try:
        job_id = queue.submit(inputs)
        ensure_worker(project)
        if not wait:
            console.print(f"Job {job_id} is queued; see it with: lens jobs")
            return None
        with progress_bar() as progress:
            task = progress.add_task(inputs.kind, total=None)

            def show(status: JobStatus) -> None:
                is_done = status.state is JobState.DONE
                total = status.total or (1 if is_done else None)
                progress.update(
                    task,
                    description=f"{inputs.kind} done" if is_done else escape(status.stage or status.state),
                    completed=total if is_done else status.done,
                    total=total,
                )

            status = _follow(queue.cancel, lambda: wait_for(queue, job_id, show), job_id)
        if status.state is not JobState.DONE:
            raise JobError(
                f"The {inputs.kind} job {job_id} {status.state}: {status.error or 'it was cancelled'}",
                "",
                f"See its log with: lens jobs --log {job_id}",
            )
        return status
    finally:
        queue.close()


def _follow(cancel: Callable[[str], None], wait: Callable[[], JobStatus], job_id: str) -> JobStatus:
    """Wait for a job; an interrupted wait cancels it, as a person at the keyboard means by Ctrl-C."""
    try:
        return wait()
    except KeyboardInterrupt:
        cancel(job_id)
        console.print(f"Job {job_id} was asked to end; go on with: lens jobs --resume {job_id}")
        raise


def _print_result(status: JobStatus) -> None:
    """Show what a job found, as the verb that asks for it does with `--wait`."""
    if status.state is not JobState.DONE:
        raise JobError(
            f"Job {status.id} is {status.state}", "Only a job that is done has a result", "See how far it is: lens jobs"
        )
    values = dict(status.result)
    match status.kind:
        case JobKind.DETECT:
            _print_detections(DetectResult.model_validate(values))
        case JobKind.MINE:
            _print_mined(MineResult.model_validate(values))
        case JobKind.TRAIN:
            _print_trained(TrainResult.model_validate(values))
        case JobKind.EVALUATE:
            _print_evaluation(EvaluateResult.model_validate(values))
        case JobKind.EXPORT:
            exported = ExportResult.model_validate(values)
            console.print(f"{exported.lesions} lesions of {exported.series} series written to {escape(exported.file)}")


def _print_mined(result: MineResult) -> None:
    patients = f" of {result.patients} patients" if result.patients else ""
    notes = f"{result.limit_note} {result.threshold_note}".rstrip()
    console.print(f"{result.candidates} candidates in {result.series} series{patients}. {notes}")
    for reason, count in result.by_reason.items():
        console.print(f"  {reason}: {count}")
    if result.label_counts:
        table = Table("what is taught", *(Column(name, justify="right") for name in LABEL_COLUMNS))
        for row in result.label_counts:
            table.add_row(row.name, *map(str, (row.lesions, row.boxes, row.uncertain_boxes, row.slices)))
        console.print(table)
    for note in result.notes:
        console.print(note)


def _print_trained(result: TrainResult) -> None:
    console.print(
        f"New model version {result.model_version} after {result.steps} steps"
        + (" (promoted)" if result.promoted else f"; use it with: lens models --promote {result.model_version}")
    )
    if result.evaluation is not None:
        _print_evaluation(result.evaluation)
    console.print("Once it is in use, let it look at the scans again with: lens mine --detect")


def _print_detections(result: DetectResult) -> None:
    table = Table("expert", "2D boxes", "3D findings")
    for expert, boxes in result.boxes.items():
        table.add_row(expert, str(boxes), str(result.findings.get(expert, 0)))
    console.print(table)
    console.print(f"{result.series} series with {result.model_version}, {result.skipped} of them detected before.")


def _print_evaluation(result: EvaluateResult) -> None:
    if not result.measurable:
        console.print(f"Not measurable yet: {escape(result.what_to_do)}")
        return
    console.print(
        f"Average sensitivity (%) on {result.series} {result.split} series of {result.patients} patients with "
        f"{result.lesions} lesions; 95 % intervals over patients"
    )
    rules = next(iter(result.average_sensitivity.values())).keys()
    table = Table("model", *rules, *(f"change in {rule}" for rule in rules))
    for version, average in result.average_sensitivity.items():
        changes = result.difference.get(version, {})
        table.add_row(
            version,
            *(average[rule].in_percent for rule in rules),
            *(changes[rule].in_percent if rule in changes else "" for rule in rules),
        )
    console.print(table)
    _print_left_out(result.left_out, result.disputed)


def _print_left_out(names: Sequence[str], disputed: Sequence[str]) -> None:
    if names or disputed:
        console.print(f"[yellow]Note:[/] {escape(why_left_out(names, disputed))}")


VERBS = {
    "detect": detect,
    "mine": mine,
    "retrain": retrain,
    "evaluate": evaluate,
    "export": export,
    "worker": worker,
    "jobs": jobs,
}
