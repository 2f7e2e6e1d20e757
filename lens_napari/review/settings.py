"""What one reader has chosen on one machine: name, keys, thresholds; kept between sessions."""

import getpass
from enum import StrEnum
from pathlib import Path

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lens_engine.errors import ProjectError
from lens_engine.io.atomic_files import replace_bytes

SETTINGS_NAME = "viewer.json"
HELP_KEY = "?"
"""Shows all keys; the one key that is not chosen by the reader, for it is how the others are found."""


class KeyGroup(StrEnum):
    """What keys are listed together."""

    VERDICT = "The verdict"
    MOVING = "From lesion to lesion"
    REASON = "Why it is not a lesion: after that verdict, or on such a lesion; again takes it away"
    BOX = "Boxes and lengths"
    PICTURE = "The picture"


def _key(default: str, group: KeyGroup, words: str) -> str:
    key: str = Field(default, title=group, description=words)
    return key


class KeySettings(BaseModel):
    """Keys in napari's spelling, with what they do in a reader's words.

    They are free in napari's Shapes layers, but for `Enter` and `Escape`, which end a drawing there too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    accept: str = _key("Y", KeyGroup.VERDICT, "lesion")
    reject: str = _key("N", KeyGroup.VERDICT, "not a lesion")
    unsure: str = _key("U", KeyGroup.VERDICT, "unsure")
    next_lesion: str = _key("J", KeyGroup.MOVING, "next lesion, without a verdict")
    previous_lesion: str = _key("K", KeyGroup.MOVING, "previous lesion")
    next_series: str = _key("Shift-J", KeyGroup.MOVING, "next series of the list: its first lesion to review")
    previous_series: str = _key("Shift-K", KeyGroup.MOVING, "previous series")
    go_to: str = _key("G", KeyGroup.MOVING, "back to the lesion, and its zoom")
    hide_boxes: str = _key("H", KeyGroup.PICTURE, "hide the boxes, or show them again")
    dim_boxes: str = _key("Q", KeyGroup.PICTURE, "dim the boxes of all but the lesion asked about")
    alone_1: str = _key("Alt-1", KeyGroup.PICTURE, "boxes of the first expert alone, or all as before")
    alone_2: str = _key("Alt-2", KeyGroup.PICTURE, "… of the second expert")
    alone_3: str = _key("Alt-3", KeyGroup.PICTURE, "… of the third expert")
    alone_4: str = _key("Alt-4", KeyGroup.PICTURE, "… of the fourth expert")
    alone_5: str = _key("Alt-5", KeyGroup.PICTURE, "… of the fifth expert")
    alone_6: str = _key("Alt-6", KeyGroup.PICTURE, "… of the sixth expert")
    alone_fused: str = _key("Alt-0", KeyGroup.PICTURE, "… of the fusion")
    compare: str = _key("Alt-T", KeyGroup.PICTURE, "what of the boxes is true, false and missed, where that is known")
    undo: str = _key("Control-Z", KeyGroup.VERDICT, "take back the last verdict")
    redo: str = _key("Control-Shift-Z", KeyGroup.VERDICT, "say again what was taken back")
    redo_also: str = _key("Control-Y", KeyGroup.VERDICT, "the same")
    comment: str = _key("Shift-T", KeyGroup.VERDICT, "type a comment: Enter keeps it, Esc leaves it")
    complete: str = _key("Shift-C", KeyGroup.MOVING, "series completely annotated, or not")
    lesion_type_1: str = _key("F5", KeyGroup.VERDICT, "lesion, of the first type on the buttons")
    lesion_type_2: str = _key("F6", KeyGroup.VERDICT, "… of the second type")
    lesion_type_3: str = _key("F7", KeyGroup.VERDICT, "… of the third type")
    lesion_type_4: str = _key("F8", KeyGroup.VERDICT, "… of the fourth type")
    lesion_type_5: str = _key("F9", KeyGroup.VERDICT, "… of the fifth type")
    reason_vessel: str = _key("V", KeyGroup.REASON, "a vessel")
    reason_normal_node: str = _key("O", KeyGroup.REASON, "a normal node")
    reason_duplicate: str = _key("C", KeyGroup.REASON, "a copy: a second box of a lesion that you have answered")
    reason_benign: str = _key("M", KeyGroup.REASON, "benign")
    change_box: str = _key("Shift-E", KeyGroup.BOX, "change the box of the lesion asked about, or of the one chosen")
    draw_lesion: str = _key("Shift-D", KeyGroup.BOX, "draw a lesion that nobody asked about")
    first_up: str = _key("Shift-Up", KeyGroup.BOX, "box: one slice more above")
    last_down: str = _key("Shift-Down", KeyGroup.BOX, "box: one slice more below")
    first_down: str = _key("Control-Shift-Down", KeyGroup.BOX, "box: one slice less above")
    last_up: str = _key("Control-Shift-Up", KeyGroup.BOX, "box: one slice less below")
    detector_help: str = _key("Shift-F", KeyGroup.BOX, "box: on all slices on which the detector sees it")
    keep_box: str = _key("Enter", KeyGroup.BOX, "keep the box, like “lesion”")
    cancel: str = _key("Escape", KeyGroup.BOX, "take the box back as it was; lengths go")
    delete_drawn: str = _key("Shift-X", KeyGroup.BOX, "delete the drawn lesion that is chosen")
    measure: str = _key("Shift-R", KeyGroup.BOX, "measure a length; on the lesion, one of its RECIST axes")
    remove_axes: str = _key("Alt-R", KeyGroup.BOX, "take the RECIST axes off the lesion")
    overview: str = _key("Shift-O", KeyGroup.PICTURE, "the whole series with all lesions, or not")
    tour: str = _key("Alt-N", KeyGroup.MOVING, "the tour through the review, and its next step")
    tour_leave: str = _key("Alt-X", KeyGroup.MOVING, "leave the tour")
    sections: str = _key("Shift-S", KeyGroup.PICTURE, "coronal and sagittal sections, or none")
    window_soft_tissue: str = _key("F1", KeyGroup.PICTURE, "window: soft tissue")
    window_lung: str = _key("F2", KeyGroup.PICTURE, "window: lung")
    window_liver: str = _key("F3", KeyGroup.PICTURE, "window: liver")
    window_bone: str = _key("F4", KeyGroup.PICTURE, "window: bone")
    window_automatic: str = _key("W", KeyGroup.PICTURE, "window of the region again")

    @classmethod
    def words(cls, name: str) -> str:
        """Return what the key of a field does."""
        return str(cls.model_fields[name].description or "")

    @classmethod
    def group(cls, name: str) -> KeyGroup:
        """Return with which keys the one of a field is listed."""
        return KeyGroup(str(cls.model_fields[name].title))

    @property
    def lesion_types(self) -> tuple[str, ...]:
        """Keys of the project's lesion types in their order; further types have a button alone."""
        return self.lesion_type_1, self.lesion_type_2, self.lesion_type_3, self.lesion_type_4, self.lesion_type_5

    @property
    def experts_alone(self) -> tuple[str, ...]:
        """Keys that show one expert alone, in the order of the experts; further ones have the mouse alone."""
        return self.alone_1, self.alone_2, self.alone_3, self.alone_4, self.alone_5, self.alone_6


def spoken(key: str) -> str:
    """Return a key in napari's spelling as it stands on a keyboard: `Ctrl+Z`."""
    return key.replace("Control", "Ctrl").replace("-", "+")


class TestSetKeys(BaseModel):
    """Keys that are other ones while the test set is read: what is done there all the time is a single key.

    Keys of the review for the same things act there, too.
    """

    __test__ = False  # pytest must not collect it for its name
    model_config = ConfigDict(frozen=True, extra="forbid")

    draw_lesion: str = "D"
    complete: str = "C"
    first_up: str = "["
    first_down: str = "]"
    last_up: str = "Control-["
    last_down: str = "Control-]"
    box_of_a: str = "A"
    box_of_b: str = "B"

    @property
    def of_the_review(self) -> dict[str, str]:
        """Those that the review has another key for, by its name there."""
        return {name: key for name, key in self.model_dump().items() if name in KeySettings.model_fields}


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
    shown_experts
        Experts, and the fusion, whose boxes are shown.
    rest_is_dimmed
        Dim all boxes but that of the lesion asked about.
    sections_shown
        Have coronal and sagittal sections below the picture.
    test_set_keys
        What is another key while the test set is read.
    tour_seen
        Begin without the tour in the demo project, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reader: str = Field(default_factory=getpass.getuser, min_length=1)
    scores_hidden: bool = False
    thresholds: dict[str, float] = Field(default_factory=dict)
    shown_experts: tuple[str, ...] = ()
    rest_is_dimmed: bool = True
    sections_shown: bool = True
    tour_seen: bool = False
    keys: KeySettings = KeySettings()
    test_set_keys: TestSetKeys = TestSetKeys()

    @property
    def in_test_set(self) -> "ViewerSettings":
        """These settings while the test set is read."""
        return self.model_copy(update={"keys": self.keys.model_copy(update=self.test_set_keys.of_the_review)})


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
