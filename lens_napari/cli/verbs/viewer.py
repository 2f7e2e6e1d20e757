"""The verbs that open napari: review and demo. They alone need a Qt binding."""

from pathlib import Path
from typing import Annotated

import typer

from lens_engine.errors import ConfigError
from lens_napari.cli.context import open_project
from lens_napari.cli.display import require_display


def review(
    context: typer.Context,
    test_set: Annotated[
        bool, typer.Option("--test-set", help="Mark every lesion of held-out scans instead, blind to model and reader.")
    ] = False,
    adjudicate: Annotated[
        bool, typer.Option("--adjudicate", help="Settle the places where two readings of the test set differ instead.")
    ] = False,
) -> None:
    """Open napari on the lesions that wait for a reader, or on the test set."""
    if test_set and adjudicate:
        raise typer.BadParameter("--test-set and --adjudicate are two kinds of work; choose one")
    project = open_project(context)
    _require_qt()
    require_display()
    if test_set or adjudicate:
        # Only here: every other verb works where no Qt binding is installed.
        from lens_napari.test_set.window import open_adjudication, open_test_set, work_on

        work_on((open_adjudication if adjudicate else open_test_set)(project.folder))
        return
    # Only here: every other verb works where no Qt binding is installed.
    from lens_napari.application import review as open_review

    open_review(project.folder)


def demo(
    folder: Annotated[Path, typer.Option(help="Folder of the demo project; made anew.")] = Path("demo"),
    journey: Annotated[
        bool, typer.Option("--journey", help="Go through the whole loop unattended and leave screenshots and a report.")
    ] = False,
) -> None:
    """Build a project of phantom patients and open it, or go through the whole loop unattended."""
    _require_qt()
    require_display()
    # Only here: every other verb works where no Qt binding is installed.
    from lens_napari.demo.journey import run_demo

    run_demo(folder, is_unattended=journey)


def _require_qt() -> None:
    try:
        import qtpy.QtWidgets  # noqa: F401  the import itself is the question
    except ImportError as error:
        raise ConfigError(
            "No Qt binding is installed",
            "PyQt5 or PyQt6 is needed to open a window",
            'Install one with: pip install "lens-napari[pyqt5]"',
        ) from error


VERBS = {"review": review, "demo": demo}
