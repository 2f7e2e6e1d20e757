"""The verb that says what this installation is made of, and what is wrong with it."""

import json
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from lens_engine.errors import LensError
from lens_engine.jobs.launcher import worker_alive
from lens_engine.jobs.queue import open_queue
from lens_engine.project import Project, folder_around
from lens_engine.store.database import Database
from lens_engine.store.keeping.integrity import damages, left_overs
from lens_engine.store.models.model_versions import Models
from lens_napari.cli.context import console
from lens_napari.cli.display import DEVICE_PROBE, GRAPHICS_PROBE, NO_DISPLAY, has_display, last_line, run_probe

PACKAGES = ("lens-napari", "napari", "numpy", "SimpleITK", "SQLAlchemy", "dbos", "torch", "lightning")


def doctor(context: typer.Context) -> None:
    """Print versions, device, database and graphics driver, and what is wrong with them."""
    problems: list[str] = []
    table = Table("what", "found", title="LENS-napari, for research use only")
    table.add_row("Python", f"{platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        table.add_row(package, _version(package))
    for name, value in _device_rows(problems):
        table.add_row(name, value)
    table.add_row("graphics", _graphics(problems))
    for name, value in _project_rows(context, problems):
        table.add_row(name, escape(value))
    console.print(table)
    for problem in problems:
        console.print(f"[bold red]Wrong:[/] {escape(problem)}")
    if problems:
        raise typer.Exit(1)
    console.print("Nothing is wrong.")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _device_rows(problems: list[str]) -> list[tuple[str, str]]:
    if _version("torch") == "not installed":
        return [("device", "none: a reading station. Jobs run where the extra 'engine' is installed.")]
    report = _probe(DEVICE_PROBE, problems, "torch cannot be used")
    memory = f", {report['free_gib']} of {report['total_gib']} GiB free" if "free_gib" in report else ""
    rows = [("device", f"{report.get('device', 'unknown')}{memory}")]
    return rows + [(name, report[name]) for name in ("kernels", "bf16") if name in report]


def _graphics(problems: list[str]) -> str:
    if not has_display():
        return NO_DISPLAY
    report = _probe(GRAPHICS_PROBE, problems, "OpenGL cannot be used")
    return f"{report.get('gl', 'unknown')} ({report.get('qt', 'no Qt binding')})"


def _probe(module: str, problems: list[str], complaint: str) -> dict[str, str]:
    """Return what a probe prints, and name what is wrong with it."""
    try:
        answer = run_probe(module)
        if answer.returncode:
            problems.append(f"{complaint}: {last_line(answer.stderr)}")
            return {}
        report: dict[str, str] = json.loads(answer.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        problems.append(f"{complaint}: {error}")
        return {}
    return report


def _project_rows(context: typer.Context, problems: list[str]) -> list[tuple[str, str]]:
    folder = context.obj or folder_around(Path.cwd())
    if folder is None:
        return [("project", "none here")]
    try:
        project = Project.open(folder)
    except LensError as error:
        problems.append(str(error))
        return [("project", f"{folder} cannot be opened")]
    rows = [("project", str(project.folder)), ("database", project.database_url), ("jobs", project.jobs_database_url)]
    with _naming_problems(problems):
        rows.append(("model", _model(project, problems)))
    with _naming_problems(problems):
        rows.append(("worker", _worker(project, problems)))
    unfinished = left_overs(project)
    if unfinished:
        names = ", ".join(str(path.relative_to(project.folder)) for path in unfinished)
        rows.append(("left over", f"by processes that were killed; may be deleted: {names}"))
    return rows


@contextmanager
def _naming_problems(problems: list[str]) -> Iterator[None]:
    """Take an error of ours for something that is wrong; what two questions meet is said once."""
    try:
        yield
    except LensError as error:
        if str(error) not in problems:
            problems.append(str(error))


def _model(project: Project, problems: list[str]) -> str:
    database = Database.open(project)
    try:
        problems += [str(damage) for damage in damages(database)]
        promoted = Models(database).find_promoted()
    finally:
        database.close()
    return "none" if promoted is None else f"{promoted.version}. {promoted.notice}"


def _worker(project: Project, problems: list[str]) -> str:
    queue = open_queue(project)
    try:
        waiting = sum(queue.open_job_counts().values())
    finally:
        queue.close()
    if worker_alive(project):
        return "alive"
    if waiting:
        problems.append(
            f"{waiting} job{'s wait' if waiting > 1 else ' waits'} and no worker is alive. Start one with: lens worker"
        )
    return "none alive; one starts with the next job"


VERBS = {"doctor": doctor}
