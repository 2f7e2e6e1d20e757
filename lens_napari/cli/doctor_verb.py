"""The verb that says what this installation is made of, and what is wrong with it."""

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

import typer
from rich.markup import escape
from rich.table import Table

from lens_engine.errors import LensError
from lens_engine.jobs.launcher import worker_alive
from lens_engine.jobs.queue import open_queue
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.models.model_versions import Models
from lens_napari.cli.context import console
from lens_napari.cli.display import GRAPHICS_PROBE, NO_DISPLAY, has_display, last_line, run_probe

PACKAGES = ("lens-napari", "napari", "numpy", "SimpleITK", "SQLAlchemy", "dbos", "torch", "lightning")


def doctor(context: typer.Context) -> None:
    """Print versions, device, database and graphics driver, and what is wrong with them."""
    problems: list[str] = []
    table = Table("what", "found", title="LENS-napari, for research use only")
    table.add_row("Python", f"{platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        table.add_row(package, _version(package))
    table.add_row("device", _device(problems))
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


def _device(problems: list[str]) -> str:
    if _version("torch") == "not installed":
        return "none: a reading station. Jobs run where the extra 'engine' is installed."
    report = _probe("lens_engine.detector.device_probe", problems, "torch cannot be used")
    memory = f", {report['free_gib']} of {report['total_gib']} GiB free" if "free_gib" in report else ""
    return f"{report.get('device', 'unknown')}{memory}"


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
    folder = context.obj
    try:
        project = Project.open(folder) if folder is not None else Project.find()
    except LensError as error:
        if folder is not None:
            problems.append(str(error))
        return [("project", "none here")]
    rows = [("project", str(project.folder)), ("database", project.database_url)]
    try:
        models = Models(Database.open(project))
        problems += [str(damage) for damage in models.damaged()]
        promoted = models.find_promoted()
    except LensError as error:
        if str(error) not in problems:
            problems.append(str(error))
        return rows
    rows.append(("model", "none" if promoted is None else f"{promoted.version}. {promoted.notice}"))
    try:
        rows.append(("worker", _worker(project, problems)))
    except LensError as error:
        problems.append(str(error))
    return rows


def _worker(project: Project, problems: list[str]) -> str:
    if worker_alive(project):
        return "alive"
    queue = open_queue(project)
    try:
        waiting = len(queue.open_jobs())
    finally:
        queue.close()
    if waiting:
        problems.append(
            f"{waiting} job{'s wait' if waiting > 1 else ' waits'} and no worker is alive. Start one with: lens worker"
        )
    return "none alive; one starts with the next job"


VERBS = {"doctor": doctor}
