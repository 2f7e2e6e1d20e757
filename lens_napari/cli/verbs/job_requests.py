"""Verbs that ask a worker for something: detect, mine, retrain, evaluate, export."""

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from lens_engine.checkpoint_card import DetectionPrecision
from lens_engine.errors import JobError, StoreError
from lens_engine.findings import Split
from lens_engine.io.annotations.manual_test_set import ExportFormat
from lens_engine.jobs.inputs import DetectInputs, EvaluateInputs, JobInputs, MineInputs, TrainInputs
from lens_engine.jobs.launcher import ensure_worker
from lens_engine.jobs.queue import open_queue
from lens_engine.jobs.results import DetectResult, EvaluateResult, MineResult, TrainResult
from lens_engine.jobs.status import JobQueue, JobState, JobStatus, wait_for
from lens_engine.jobs.watching import WorkerWatch
from lens_engine.project import Project
from lens_engine.snapshot import LabelSet
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.exchange.exporting import export_test_set
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.models.model_versions import ModelRecord, Models
from lens_napari.cli.context import console, open_project, progress_bar
from lens_napari.cli.display import DEVICE_PROBE, last_line, run_probe
from lens_napari.cli.job_results import print_detections, print_evaluation, print_left_out, print_mined, print_trained

WaitOption = Annotated[bool, typer.Option("--wait", help="Show a progress bar until the job has ended.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Model version; the promoted one by default.")]


FORMAT_OF_SUFFIX = {
    ".pkl": ExportFormat.MANUAL_PICKLE,
    ".pickle": ExportFormat.MANUAL_PICKLE,
    ".json": ExportFormat.JSON,
}


class Initialisation(StrEnum):
    """Where the weights of a retrained model come from."""

    PROMOTED = "promoted"
    SCRATCH = "scratch"


class LookingPrecision(StrEnum):
    """What the numbers of a detector may be."""

    FP32 = DetectionPrecision.FP32.value
    BF16 = DetectionPrecision.BF16.value
    AUTO = "auto"
    """The faster one on this computer."""


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
    precision: Annotated[
        LookingPrecision | None,
        typer.Option(help="Numbers to compute with; bf16 finds other boxes, as a model version of its own."),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the network first: a minute for each size, then faster.")
    ] = False,
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="How many workers share the series, in a job each; all but the first are yours to start."
        ),
    ] = 1,
    wait: WaitOption = False,
) -> None:
    """Run the detector, with every dataset expert, over the scans of the project."""
    project = open_project(context)
    database = Database.open(project)
    version = _model(database, model)
    if precision is not None:
        version = _in_precision(database, version, precision)
    catalog = Catalog(database)
    records = [catalog.by_name(name) for name in series] if series else list(catalog.all_series(with_images=True))
    if not records:
        raise StoreError(
            "The project holds no scans", "At least one CT series is needed", "Add some with: lens add PATH"
        )
    if version.notice:
        console.print(f"[yellow]{escape(version.notice)}[/]")
    ids = tuple(record.id for record in records)
    inputs = DetectInputs(series_ids=ids, model_version=version.version, compiles=compiled)
    first, *others = inputs.shared_by(workers)
    status = _submit(project, first, wait, others)
    if status is not None:
        print_detections(DetectResult.model_validate(dict(status.result)))


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
        print_mined(MineResult.model_validate(dict(status.result)))


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
        print_trained(TrainResult.model_validate(dict(status.result)))


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
        print_evaluation(EvaluateResult.model_validate(dict(status.result)))


def export(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help="File to write.")],
    form: Annotated[
        ExportFormat | None, typer.Option("--format", help="File format; by default what the name ends with says.")
    ] = None,
    with_folders: Annotated[
        bool,
        typer.Option("--with-folders", help="Name files and folders in the mapping; names of patients may be in them."),
    ] = False,
) -> None:
    """Write the complete 3D annotations in the published form of the manual test set, or as JSON."""
    chosen = form or FORMAT_OF_SUFFIX.get(out.suffix.lower())
    if chosen is None:
        raise typer.BadParameter(
            f"{out.name} ends with none of {', '.join(FORMAT_OF_SUFFIX)}; name its form with --format", param_hint="OUT"
        )
    report = export_test_set(Database.open(open_project(context)), chosen, out, with_folders=with_folders)
    console.print(f"{report.lesions} lesions of {report.series} series written to {escape(str(out))}")
    if report.mapping_file is not None:
        console.print(f"Which series is which stays in the project: {escape(str(report.mapping_file))}")
    if report.readings_file is not None:
        console.print(f"Who read what: {escape(str(report.readings_file))}")
    print_left_out(report.left_out, report.disputed)


def follow(queue: JobQueue, job_ids: Sequence[str], wait: Callable[[], JobStatus]) -> JobStatus:
    """Wait for a job; an interrupted wait cancels it and those sharing its work, as a person means by Ctrl-C.

    Those that are over stay as they are.
    """
    try:
        return wait()
    except KeyboardInterrupt:
        for job_id in job_ids:
            if not queue.status(job_id).state.is_final:
                queue.cancel(job_id)
                console.print(f"Job {job_id} was asked to end; go on with: lens jobs --resume {job_id}")
        raise


def _in_precision(database: Database, version: ModelRecord, wanted: LookingPrecision) -> ModelRecord:
    """Return the version that looks in that precision, and say which it is where it is not the one that was named."""
    if wanted is LookingPrecision.AUTO:
        precision, why = _faster_precision()
        console.print(f"{precision} is taken: {why}")
    else:
        precision = DetectionPrecision(wanted)
    found = Models(database).in_precision(version.version, precision)
    if found.version != version.version:
        console.print(
            f"{version.version} in {precision} is the model version {found.version}, for it finds other boxes. What "
            f"{version.version} has found stays. Mine with it by: lens mine --model {found.version}"
        )
    return found


def _faster_precision() -> tuple[DetectionPrecision, str]:
    """Return the faster precision on this computer, as measured, and what was measured."""
    answer = run_probe(DEVICE_PROBE)
    if answer.returncode:
        raise JobError(
            f"The speed of this computer cannot be measured: {last_line(answer.stderr)}",
            "torch, from the extra 'engine'",
            "Say --precision fp32 or bf16",
        )
    report = json.loads(answer.stdout)
    return DetectionPrecision(report["faster"]), f"{report['bf16']} ({report['device']})"


def _model(database: Database, version: str | None) -> ModelRecord:
    models = Models(database)
    return models.promoted() if version is None else models.get(version)


def _submit(project: Project, inputs: JobInputs, wait: bool, sharing: Sequence[JobInputs] = ()) -> JobStatus | None:
    """Queue a job and those sharing its work, see that a worker is alive, and with `wait` follow it to its end."""
    queue = open_queue(project)
    try:
        job_ids = [queue.submit(each) for each in (inputs, *sharing)]
        job_id = job_ids[0]
        ensure_worker(project)
        if not wait:
            queued = f"{len(job_ids)} jobs are queued; see them" if sharing else f"Job {job_id} is queued; see it"
            console.print(f"{queued} with: lens jobs")
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

            watch = WorkerWatch(project)
            try:
                status = follow(queue, job_ids, lambda: wait_for(queue, job_id, show, look_at=watch.look_at))
            finally:
                watch.close()
        if status.state is not JobState.DONE:
            raise JobError(
                f"The {inputs.kind} job {job_id} {status.state}: {status.error or 'it was cancelled'}",
                "",
                f"See its log with: lens jobs --log {job_id}",
            )
        return status
    finally:
        queue.close()


VERBS = {
    "detect": detect,
    "mine": mine,
    "retrain": retrain,
    "evaluate": evaluate,
    "export": export,
}
