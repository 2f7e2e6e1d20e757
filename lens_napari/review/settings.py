"""What one reader has chosen on one machine: name, keys, thresholds; kept between sessions."""

import getpass
from pathlib import Path

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lens_engine.errors import ProjectError
from lens_engine.io.atomic_files import replace_bytes

SETTINGS_NAME = "viewer.json"


class KeySettings(BaseModel):
    """Keys in napari's spelling; free in napari's Shapes layers, listed in the review panel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accept: str = "Y"
    reject: str = "N"
    unsure: str = "U"
    next_lesion: str = "J"
    previous_lesion: str = "K"
    go_to: str = "G"
    hide_boxes: str = "H"
    dim_boxes: str = "Q"
    undo: str = "Control-Z"
    redo: str = "Control-Shift-Z"
    complete: str = "Shift-C"
    lesion_type_1: str = "F5"
    lesion_type_2: str = "F6"
    lesion_type_3: str = "F7"
    lesion_type_4: str = "F8"
    lesion_type_5: str = "F9"
    reason_vessel: str = "V"
    reason_normal_node: str = "O"
    reason_duplicate: str = "C"
    reason_benign: str = "M"
    window_soft_tissue: str = "F1"
    window_lung: str = "F2"
    window_liver: str = "F3"
    window_bone: str = "F4"
    window_automatic: str = "W"

    @property
    def lesion_types(self) -> tuple[str, ...]:
        """Keys of the project's lesion types in their order; further types have a button alone."""
        return self.lesion_type_1, self.lesion_type_2, self.lesion_type_3, self.lesion_type_4, self.lesion_type_5


class ViewerSettings(BaseModel):
    """Everything the viewer remembers.

    Attributes
    ----------
    reader
        Signed under every decision.
    scores_hidden
        Hide scores until the verdict.
    thresholds
        Least score shown, by expert.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reader: str = Field(default_factory=getpass.getuser, min_length=1)
    scores_hidden: bool = False
    thresholds: dict[str, float] = Field(default_factory=dict)
    keys: KeySettings = KeySettings()


def settings_file() -> Path:
    """Return the file in the user's own configuration folder."""
    return platformdirs.user_config_path("lens-napari") / SETTINGS_NAME


def load_settings(path: Path) -> ViewerSettings:
    """Read the settings; a missing file gives the defaults.

    Raises
    ------
    ProjectError
        If the file is not valid.
    """
    if not path.is_file():
        return ViewerSettings()
    try:
        return ViewerSettings.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        raise ProjectError(
            f"The viewer settings in {path} cannot be read",
            "JSON as the viewer writes it",
            "Correct or delete the file",
        ) from error


def save_settings(settings: ViewerSettings, path: Path) -> None:
    """Write the settings through a temporary file, so that a crash leaves the old ones."""
    replace_bytes(path, settings.model_dump_json(indent=2).encode())
