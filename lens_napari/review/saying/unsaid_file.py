"""Words without a verdict outlast the window: a small file for each reader in the project's folder."""

from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from lens_engine.errors import ProjectError
from lens_engine.io.atomic_files import replace_bytes

FOLDER = "unsaid"


class UnsaidComments(BaseModel):
    """What one reader has typed about candidates that he has not decided about, by candidate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    comments: dict[int, str] = {}


def unsaid_file(project_folder: Path, reader: str) -> Path:
    """Return the file of one reader."""
    return project_folder / FOLDER / f"{quote(reader, safe=' ')}.json"


def load_unsaid(path: Path) -> dict[int, str]:
    """Read the words that wait; a missing file has none.

    Raises
    ------
    ProjectError
        If the file is not valid.
    """
    if not path.is_file():
        return {}
    try:
        return UnsaidComments.model_validate_json(path.read_bytes()).comments
    except (ValidationError, OSError) as error:
        raise ProjectError(
            f"The comments without a verdict in {path} cannot be read",
            "JSON as the viewer writes it",
            "Correct or delete the file",
        ) from error


def save_unsaid(path: Path, comments: dict[int, str]) -> None:
    """Write the words that wait; the file goes with the last of them.

    Raises
    ------
    ProjectError
        If the file cannot be written; what it held before is still there.
    """
    try:
        if comments:
            replace_bytes(path, UnsaidComments(comments=comments).model_dump_json(indent=2).encode())
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ProjectError(
            f"The comments without a verdict cannot be written to {path} ({error.strerror})",
            "A folder that you may write to, on a disk with free space",
            "Decide about the lesions, so that the comments go with the verdicts, or free space",
        ) from error
