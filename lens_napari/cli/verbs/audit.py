"""The verb that shows the log of decisions, says whether it is whole, and makes snapshots once more from it."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from lens_engine.errors import LensError, StoreError
from lens_engine.store.audit.rebuilding import Rebuilt, rebuild
from lens_engine.store.audit.verification import AuditReport, Break, verify
from lens_engine.store.catalog import Catalog
from lens_engine.store.decisions import Decisions
from lens_engine.store.labels.snapshots import Snapshots
from lens_napari.cli.context import Refusals, console, open_database
from lens_napari.review.wording import REASON_TEXT, VERDICT_TEXT

COLUMNS = ("decision", "lesion", "said", "reason", "reader", "round", "at (UTC)", "follows")

MOST_NAMES = 5


class AuditAction(StrEnum):
    """What to do with the log."""

    VERIFY = "verify"
    SHOW = "show"
    REBUILD = "rebuild"


def audit(
    context: typer.Context,
    action: Annotated[
        AuditAction,
        typer.Argument(help="Verify the whole log, show what was said of a series, or rebuild snapshots from the log."),
    ],
    name: Annotated[
        str | None, typer.Argument(help="The series to show, or the snapshot to rebuild; all snapshots by default.")
    ] = None,
) -> None:
    """Say whether any decision was changed, put in or taken out; show what was said of a series; rebuild snapshots."""
    if action is AuditAction.VERIFY:
        _verify(context)
    elif action is AuditAction.REBUILD:
        _rebuild(context, name)
    elif name is None:
        raise typer.BadParameter("Name the series to show: lens audit show SERIES")
    else:
        _show(context, name)


def _verify(context: typer.Context) -> None:
    report = verify(open_database(context))
    if report.breaks:
        raise StoreError(
            f"The log of {report.decisions} decisions is not what was written: {_in_words(report)}",
            "Rows that nobody has changed, put in or taken out since they were written",
            "Restore the database from a backup, and find out who may write to it",
        )
    counts = f"{report.decisions}, by {len(report.heads)} of the project's readers"
    console.print(f"Every decision is as it was written: {counts}")


def _in_words(report: AuditReport) -> str:
    first, others = report.breaks[0], len(report.breaks) - 1
    return _break_in_words(first) + (f", and {others} more" if others else "")


def _break_in_words(found: Break) -> str:
    if found.decision_id is not None:
        return f"decision {found.decision_id} of {found.reader} does not follow the one before it"
    return f"the latest decisions of {found.reader} that snapshot {found.snapshot_id} has seen are gone"


def _rebuild(context: typer.Context, snapshot: str | None) -> None:
    database, refusals = open_database(context), Refusals()
    ids = [record.id for record in Snapshots(database).all()] if snapshot is None else [snapshot]
    for snapshot_id in ids:
        try:
            made = rebuild(database, snapshot_id)
        except LensError as error:
            refusals.add(error)
            continue
        if made.decided_otherwise:
            refusals.add(_not_reproduced(made))
        elif made.is_equal:
            console.print(f"Snapshot {snapshot_id} comes out of the log again, with {made.decisions} decisions.")
        else:
            series = _some(made.otherwise) or "the list of data sets"
            console.print(
                f"Snapshot {snapshot_id}: its {made.decisions} decisions come out of the log again. What is no "
                f"decision was changed since (scans, annotations, marks of completeness): {series}."
            )
    if not ids:
        console.print("No labels have been frozen yet.")
    refusals.exit_if_any()


def _not_reproduced(made: Rebuilt) -> StoreError:
    return StoreError(
        f"Snapshot {made.snapshot_id} does not come out of the log: other lesions in {_some(made.decided_otherwise)}",
        "The labels that its decisions give",
        "See whether the log is whole: lens audit verify. A training on the snapshot learned what stands in its file",
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")


def _show(context: typer.Context, series: str) -> None:
    database = open_database(context)
    table = Table(*COLUMNS)
    for record in Decisions(database).history(Catalog(database).by_name(series).id):
        said = record.decision
        table.add_row(
            str(record.id),
            str(said.candidate_id or ""),
            VERDICT_TEXT[said.verdict],
            REASON_TEXT[said.reason_code] if said.reason_code else "",
            escape(said.reader),
            str(said.round),
            said.decided_at.strftime("%Y-%m-%d %H:%M:%S"),
            str(said.previous_id or ""),
        )
    console.print(table)


VERBS = {"audit": audit}
