"""The arrangement that a reader left a window with, in a small file for each workspace. Needs neither Qt nor napari."""

from pathlib import Path

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, ValidationError

from lens_engine.io.atomic_files import replace_bytes

LAYOUTS_FOLDER = "layouts"
"""Beside the viewer's settings."""


class WindowLayout(BaseModel):
    """How a window was left.

    Attributes
    ----------
    docks
        What Qt says of its docks.
    width, height
        Of the window in pixels.
    is_maximized
        Whether it filled the screen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    docks: Base64Bytes
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    is_maximized: bool = False

    def fits(self, width: int, height: int) -> bool:
        """Return whether a window of this size has room on a screen of that one."""
        return self.width <= width and self.height <= height


class LayoutFiles:
    """One file for each workspace in a folder; a file that cannot be used counts as none.

    Parameters
    ----------
    folder
        Made when something is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, workspace: str) -> WindowLayout | None:
        """Return how the window was left in a workspace; None where that is not known."""
        try:
            return WindowLayout.model_validate_json(self._file(workspace).read_bytes())
        except (OSError, ValidationError):  # an arrangement is no work: the standard one is as good
            return None

    def keep(self, workspace: str, layout: WindowLayout) -> None:
        """Write how a window was left.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        replace_bytes(self._file(workspace), layout.model_dump_json(indent=2).encode())

    def forget(self, workspace: str) -> None:
        """Let the next window of a workspace have the standard arrangement."""
        self._file(workspace).unlink(missing_ok=True)

    def _file(self, workspace: str) -> Path:
        return self._folder / f"{workspace}.json"
