"""The verb that lists, brings in, promotes and rolls back model versions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from lens_engine.checkpoint_card import CheckpointCard
from lens_engine.findings import Scope
from lens_engine.model_folder import ModelFolder, read_model
from lens_engine.store.catalog import Catalog, DatasetRecord
from lens_engine.store.database import Database
from lens_engine.store.models.lesion_embedding import bring_in_embedding
from lens_engine.store.models.model_versions import Models
from lens_napari.cli.context import console, open_database


def models(
    context: typer.Context,
    add: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Bring in a checkpoint, or what 'lens recipe run' or a training has left in FOLDER."
        ),
    ] = None,
    reduction: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="With --add: the false-positive reduction, where it lies elsewhere."),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW", help="With --add: call the expert OLD as the project's data set NEW; repeatable."
        ),
    ] = None,
    embedding: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Mine with this lesion embedding from now on; see 'lens recipe embed'."),
    ] = None,
    promote: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Use this version from now on; an older one rolls back.")
    ] = None,
    roll_back: Annotated[
        bool, typer.Option("--roll-back", help="Use the version again that was in use before the present one.")
    ] = False,
) -> None:
    """List the model versions of the project with their lineage, bring one in, promote one, or roll back."""
    if reduction is not None and add is None:
        raise typer.BadParameter("it is brought in with its detector: --add FOLDER", param_hint="--reduction")
    if rename and add is None:
        raise typer.BadParameter(
            "experts are renamed when their model is brought in: --add FOLDER", param_hint="--rename"
        )
    names = [_pair(text) for text in rename or ()]
    if promote is not None and roll_back:
        raise typer.BadParameter("--promote and --roll-back name two versions; give one of them")
    database = open_database(context)
    if add is not None:
        _bring_in(database, add, reduction, names)
    if embedding is not None:
        _mine_with(database, embedding)
    repository = Models(database)
    if promote is not None or roll_back:
        used = repository.roll_back() if promote is None else repository.promote(promote)
        console.print(f"Model version {used.version} is used from now on.")
    table = Table("version", "promoted", "parent", "snapshot", "experts", "reduction", "precision", "notice")
    for record in repository.all():
        table.add_row(
            record.version,
            "yes" if record.is_promoted else "",
            record.parent or "",
            record.snapshot_id or "",
            ", ".join(record.experts),
            "" if record.reduction is None else "yes",
            record.precision,
            escape(record.notice),
        )
    console.print(table)
    for damage in repository.damaged():
        console.print(f"[yellow]{escape(str(damage))}[/]")


def _pair(text: str) -> tuple[str, str]:
    old, sign, new = text.partition("=")
    if not (old and sign and new):
        raise typer.BadParameter(f"{text!r} is not of the form OLD=NEW", param_hint="--rename")
    return old, new


def _mine_with(database: Database, folder: Path) -> None:
    card = bring_in_embedding(database.project, folder)
    console.print(f"Mining embeds lesions with {escape(str(folder))} from now on, trained on {escape(_origin(card))}.")
    if card.notice:
        console.print(f"[yellow]{escape(card.notice)}[/]")


def _bring_in(database: Database, folder: Path, reduction: Path | None, names: Sequence[tuple[str, str]]) -> None:
    """Make a checkpoint a version of the project, and say what it is and what does not fit."""
    repository = Models(database)
    known = {record.version for record in repository.all()}
    record = repository.register(folder, reduction=reduction, names=names)
    model = read_model(record.folder)
    words = "is known already as" if record.version in known else "is now"
    console.print(f"{escape(str(folder))} {words} {record.version}: {escape(_description(model))}")
    if record.notice:
        console.print(f"[yellow]{escape(record.notice)}[/]")
    for note in _notes(model, Catalog(database).datasets()):
        console.print(f"[yellow]Note:[/] {escape(note)}")
    if not record.is_promoted:
        console.print(f"Use it with: lens models --promote {record.version}")


def _description(model: ModelFolder) -> str:
    detector = f"a detector trained on {_origin(model.detector.card)}"
    if model.reduction is None:
        return f"{detector}, without false-positive reduction"
    return f"{detector}, with false-positive reduction trained on {_origin(model.reduction.card)}"


def _origin(card: CheckpointCard) -> str:
    return f"{card.trained_on} (recipe {card.recipe})" if card.recipe else str(card.trained_on)


def _notes(model: ModelFolder, datasets: tuple[DatasetRecord, ...]) -> Iterator[str]:
    """Yield what does not fit the project, or each other, and still can be used."""
    card = model.detector.card
    universal = [dataset.name for dataset in datasets if dataset.scope is Scope.UNIVERSAL]
    strangers = sorted(set(card.experts) - {dataset.name for dataset in datasets})
    if not set(universal) & set(card.experts):
        yield (
            f"No expert ({', '.join(card.experts)}) is called like a universal data set of the project "
            f"({', '.join(universal) or 'it has none'}): mining would take all that this model finds for lesions of a "
            "single type. Detection, review and FROC are not affected. To change the names, bring it in again with "
            "--rename OLD=NEW."
        )
    elif strangers:
        yield (
            f"No data set of the project is called {', '.join(strangers)}: mining takes each of these experts for one "
            "of a single lesion type. To change the names, bring it in again with --rename OLD=NEW."
        )
    if model.reduction is not None and model.reduction.card.parent not in {None, card.recipe}:
        yield (
            f"The false-positive reduction has learned from the findings of {model.reduction.card.parent}, not of this "
            "detector."
        )


VERBS = {"models": models}
