"""What jobs have found, in words and tables: the same at the end of a verb that waits and in `lens jobs --result`."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Column, Table

from lens_engine.errors import JobError
from lens_engine.jobs.inputs import JobKind
from lens_engine.jobs.results import DetectResult, EvaluateResult, ExportResult, MineResult, TrainResult
from lens_engine.jobs.status import JobState, JobStatus
from lens_engine.store.labels.left_out import why_left_out
from lens_napari.cli.context import console

LABEL_COLUMNS = ("3D lesions", "2D boxes", "2D uncertain", "slices")
"""Of LENS Table IV."""


def print_result(status: JobStatus) -> None:
    """Show what a job found, as the verb that asks for it does with `--wait`."""
    if status.state is not JobState.DONE:
        raise JobError(
            f"Job {status.id} is {status.state}", "Only a job that is done has a result", "See how far it is: lens jobs"
        )
    values = dict(status.result)
    match status.kind:
        case JobKind.DETECT:
            print_detections(DetectResult.model_validate(values))
        case JobKind.MINE:
            print_mined(MineResult.model_validate(values))
        case JobKind.TRAIN:
            print_trained(TrainResult.model_validate(values))
        case JobKind.EVALUATE:
            print_evaluation(EvaluateResult.model_validate(values))
        case JobKind.EXPORT:
            exported = ExportResult.model_validate(values)
            console.print(f"{exported.lesions} lesions of {exported.series} series written to {escape(exported.file)}")


def print_mined(result: MineResult) -> None:
    """Show how many candidates a mining found and what they would teach."""
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


def print_trained(result: TrainResult) -> None:
    """Show which version a training made, and how it compares with its parent."""
    console.print(
        f"New model version {result.model_version} after {result.steps} steps"
        + (" (promoted)" if result.promoted else f"; use it with: lens models --promote {result.model_version}")
    )
    if result.evaluation is not None:
        print_evaluation(result.evaluation)
    console.print("Once it is in use, let it look at the scans again with: lens mine --detect")


def print_detections(result: DetectResult) -> None:
    """Show how much each expert found."""
    table = Table("expert", "2D boxes", "3D findings")
    for expert, boxes in result.boxes.items():
        table.add_row(expert, str(boxes), str(result.findings.get(expert, 0)))
    console.print(table)
    detected = f"{result.skipped} of them detected by another job or before"
    console.print(f"{result.series} series with {result.model_version}, {detected}.")


def print_evaluation(result: EvaluateResult) -> None:
    """Show the average sensitivities of versions, or what is missing to measure them."""
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
    print_left_out(result.left_out, result.disputed)


def print_left_out(names: Sequence[str], disputed: Sequence[str]) -> None:
    """Say which complete series were left out, where there are any."""
    if names or disputed:
        console.print(f"[yellow]Note:[/] {escape(why_left_out(names, disputed))}")
