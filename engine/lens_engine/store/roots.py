"""Named folders that series paths are relative to, so that a project and its data can move between machines.

The project stores where a root lies on the machine that added it. Another machine maps the name in its own settings
file `roots.yaml` in the user's configuration folder (`name: /folder`). The root `project` is the project folder itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
import yaml
from sqlalchemy import select
from sqlalchemy.orm import Session

from lens_engine.errors import ProjectError, StoreError
from lens_engine.io.yaml_files import load_yaml
from lens_engine.project import Project
from lens_engine.store.schema import RootRow

PROJECT_ROOT = "project"


def machine_roots_file() -> Path:
    """Return where this machine maps names of roots to its own folders; the file may be absent."""
    return platformdirs.user_config_path("lens-napari") / "roots.yaml"


def machine_roots(path: Path | None = None) -> dict[str, Path]:
    """Read the folders that this machine gives to named roots.

    Raises
    ------
    ProjectError
        If the file exists but does not map names to folders.
    """
    path = path or machine_roots_file()
    try:
        values = load_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _wrong_file(path) from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(item, str) for pair in values.items() for item in pair):
        raise _wrong_file(path)
    return {name: Path(folder) for name, folder in values.items()}


@dataclass(frozen=True, slots=True)
class Roots:
    """The roots of one project on this machine.

    Attributes
    ----------
    overrides
        Folders that this machine gives to names.
    """

    project: Project
    overrides: Mapping[str, Path] = field(default_factory=dict)
    _folders: dict[tuple[str, str], Path] = field(default_factory=dict, repr=False, compare=False)
    """Folders by name and stored path: finding one out asks the disk, and very many series share it."""

    def folder(self, name: str, stored: str) -> Path:
        """Return where the root of a name, whose path is stored, lies on this machine."""
        key = name, stored
        if key not in self._folders:
            here = self.overrides.get(name)
            folder = self.project.folder / stored if here is None else here.expanduser()
            self._folders[key] = folder.resolve()
        return self._folders[key]

    def add(self, session: Session, folder: Path, name: str | None = None) -> RootRow:
        """Make `folder` a root, named after itself unless `name` is given; a known folder keeps its root.

        Raises
        ------
        StoreError
            If the name stands for another folder.
        """
        folder = folder.expanduser().resolve()
        rows = list(session.scalars(select(RootRow).order_by(RootRow.id)))
        for row in rows:
            if self.folder(row.name, row.path) == folder and name in (None, row.name):
                return row
        taken = {row.name for row in rows}
        if name is not None and name in taken:
            raise StoreError(
                f"The root {name!r} is another folder", "A new name for a new folder", "Choose another name"
            )
        own_name = folder.name.replace("=", "-") or "root"  # NAME=FOLDER is how a command is told of it
        row = RootRow(name=name or _free_name(own_name, taken | {PROJECT_ROOT}), path=str(folder))
        session.add(row)
        session.flush()
        return row

    def locate(self, session: Session, paths: tuple[Path, ...]) -> tuple[RootRow, list[str]]:
        """Return the deepest root above all `paths` (their common folder becomes one if needed) and relative paths."""
        paths = tuple(path.expanduser().resolve() for path in paths)
        known = [(row, self.folder(row.name, row.path)) for row in session.scalars(select(RootRow))]
        above = [(row, folder) for row, folder in known if all(path.is_relative_to(folder) for path in paths)]
        if above:
            row, folder = max(above, key=lambda item: len(item[1].parts))
        elif all(path.is_relative_to(self.project.folder) for path in paths):
            row, folder = RootRow(name=PROJECT_ROOT, path="."), self.project.folder
            session.add(row)
            session.flush()
        else:
            folder = _common_folder(paths)
            row = self.add(session, folder)
        return row, [path.relative_to(folder).as_posix() for path in paths]

    def folders(self, session: Session) -> dict[str, Path]:
        """Return where each root of the project lies on this machine."""
        return {row.name: self.folder(row.name, row.path) for row in session.scalars(select(RootRow))}

    def absolute(self, name: str, stored: str, paths: list[str]) -> tuple[Path, ...]:
        """Return relative paths below a root as paths of this machine."""
        folder = self.folder(name, stored)
        return tuple(folder / path for path in paths)


def _common_folder(paths: tuple[Path, ...]) -> Path:
    folder = paths[0].parent
    while not all(path.is_relative_to(folder) for path in paths):
        folder = folder.parent
    return folder


def _free_name(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}-{number}" in taken:
        number += 1
    return f"{name}-{number}"


def _wrong_file(path: Path) -> ProjectError:
    return ProjectError(f"{path} cannot be used", "Lines of the form `root name: /folder`", "Correct the file")
