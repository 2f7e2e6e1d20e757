"""Where a project lies whose database is not in its folder: a copy of the folder has the same settings, and is refused.

The database knows a small file of the folder by its number on its disk. Computers that mount one share see the same
number; a copy has another one. Where a disk gives its files new numbers at times, the folder's name on one computer
counts, too.
"""

import socket
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, select, text

from lens_engine.errors import StoreError
from lens_engine.project import Project
from lens_engine.store.schema import ProjectPlaceRow

PLACE_NAME = ".lens-folder"
_CONTENT = b"By this file the project's database knows its folder from a copy. It may be neither copied nor deleted.\n"
_REMEMBER = text(
    "INSERT INTO project_place (id, host, folder, file_number) VALUES (1, :host, :folder, :file_number) "
    "ON CONFLICT (id) DO UPDATE SET host = :host, folder = :folder, file_number = :file_number"
)


def remember_place(connection: Connection, project: Project, folder: Path | None = None) -> None:
    """Let a database know where the folder of its project lies from now on.

    Parameters
    ----------
    folder
        Its name in the end, where it has none yet.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    file = project.folder / PLACE_NAME
    try:
        with suppress(FileExistsError), file.open("xb") as made:  # of several at once one makes it
            made.write(_CONTENT)
        number = str(file.stat().st_ino)
    except OSError as error:
        raise StoreError(
            f"The file {file} cannot be written ({error.strerror})",
            "A project folder that its owner may write to",
            "Correct the rights of the folder or free space on its disk",
        ) from error
    values = {"host": socket.gethostname(), "folder": str(folder or project.folder), "file_number": number}
    connection.execute(_REMEMBER, values)  # several may open a database of an older version at once


def knows_place(connection: Connection) -> bool:
    """Return whether a database knows any folder."""
    return connection.scalar(select(ProjectPlaceRow.id)) is not None


def refuse_copy(connection: Connection, project: Project) -> None:
    """Raise where a database knows another folder than that of the project.

    Raises
    ------
    StoreError
        If the folder was copied, or moved to another disk.
    """
    known = connection.execute(
        select(ProjectPlaceRow.host, ProjectPlaceRow.folder, ProjectPlaceRow.file_number)
    ).one_or_none()
    if known is None or _number(project) == known.file_number:
        return
    if (known.host, known.folder) == (socket.gethostname(), str(project.folder)):
        return
    raise StoreError(
        f"The folder {project.folder} is not the one that its database knows: {known.folder}, as {known.host} sees it",
        "One folder for each database: what one of two stores would be missing in the other",
        f"Work in {known.folder}; a copy is made with: lens backup FILE, then: lens restore FILE DIR. If the folder "
        f"was moved, its owner says so with: lens init --moved {project.folder}",
    )


def _number(project: Project) -> str | None:
    try:
        return str((project.folder / PLACE_NAME).stat().st_ino)
    except OSError:  # not there, or not to be seen
        return None
