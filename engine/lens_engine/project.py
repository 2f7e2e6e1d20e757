"""A project: one folder with its settings, its database and everything the jobs write.

lens.yaml                                  settings
.lens-folder                               by which a database that is not in the folder knows it from a copy
store/lens.sqlite  store/jobs.sqlite       catalog and decisions; the job engine
detections/<model>/<series_id>.parquet
models/<version>/{weights.safetensors, card.json}
lesion-embedding/{weights.safetensors, card.json}
snapshots/<id>.json
jobs/<job_id>/
exports/
unsaid/<reader>.json                       comments that wait for a verdict
windows/<reader>/                          an empty file for each window that is open
"""

import hashlib
import secrets
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy import URL

from lens_engine.database_url import usable_url
from lens_engine.errors import ProjectError
from lens_engine.io.atomic_files import replace_bytes
from lens_engine.io.yaml_files import load_yaml

SCHEMA_VERSION = 2
"""Version of the settings file that this code writes, and the newest it reads."""

SETTINGS_NAME = "lens.yaml"


DatabaseUrl = Annotated[str, AfterValidator(usable_url)]


class ProjectSettings(BaseModel):
    """What the file `lens.yaml` says.

    Attributes
    ----------
    database_url, jobs_database_url
        PostgreSQL of a department, without a password; None is SQLite inside the folder.
    train_fraction, val_fraction
        Shares of the patients; the rest are test patients.
    split_salt
        Secret that patient identifiers are hashed with. Changing it would give known patients new numbers.
    identity
        Says which database belongs to the folder. Settings of version 1 have none: it comes from their salt.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    name: str = Field(min_length=1)
    database_url: DatabaseUrl | None = None
    jobs_database_url: DatabaseUrl | None = None
    train_fraction: float = Field(default=0.7, ge=0, le=1)
    val_fraction: float = Field(default=0.15, ge=0, le=1)
    split_salt: str = ""
    identity: uuid.UUID | None = None

    @model_validator(mode="after")
    def _fractions_fit(self) -> "ProjectSettings":
        if self.train_fraction + self.val_fraction > 1:
            raise ValueError(f"train_fraction {self.train_fraction} and val_fraction {self.val_fraction} exceed 1")
        return self


@dataclass(frozen=True, slots=True)
class Project:
    """An opened project folder; `folder` is absolute."""

    folder: Path
    settings: ProjectSettings

    @classmethod
    def create(cls, folder: Path, name: str | None = None, settings: ProjectSettings | None = None) -> "Project":
        """Make the folder of a new project, which may exist but not hold a project; `Database.create` makes the rest.

        Parameters
        ----------
        name
            Shown to readers; the folder's name by default.
        settings
            Used as they are; those of `new_settings` otherwise.

        Raises
        ------
        ProjectError
            If there is a project already, or the folder cannot be written.
        """
        folder = folder.expanduser().resolve()
        if (folder / SETTINGS_NAME).exists():
            raise ProjectError(
                f"{folder} is a project already",
                "A folder without lens.yaml is needed",
                "Choose another folder or open it",
            )
        if settings is None:
            settings = new_settings(name or folder.name or "project")
        project = cls(folder, settings)
        try:
            for part in project.folders:
                part.mkdir(parents=True, exist_ok=True)
            project.write_settings()
        except OSError as error:
            raise ProjectError(
                f"The project cannot be written to {folder} ({error.strerror})",
                "A folder that you may write to, on a disk with free space",
                "Choose another folder or free space",
            ) from error
        return project

    @classmethod
    def open(cls, folder: Path) -> "Project":
        """Open the project in `folder`.

        Raises
        ------
        ProjectError
            If there is none, its settings are broken, or it was made by a newer version; nothing is changed.
        """
        folder = folder.expanduser().resolve()
        try:
            text = (folder / SETTINGS_NAME).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise ProjectError(
                f"{folder} is not a project", "A folder with lens.yaml is needed", f"Make one with: lens init {folder}"
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise ProjectError(
                f"{folder / SETTINGS_NAME} cannot be read", "A readable text file", "Check the file"
            ) from error
        project = cls(folder, _parse(text, folder / SETTINGS_NAME))
        for part in project.folders:
            part.mkdir(parents=True, exist_ok=True)
        return project

    def refuse_if_away(self) -> None:
        """Do nothing while the folder is there; to be asked before anything is written into it.

        Raises
        ------
        ProjectError
            If it is away, as a share that is not mounted: what was made in its place nobody would find again.
        """
        if not (self.folder / SETTINGS_NAME).is_file():
            raise ProjectError(
                f"The folder of the project, {self.folder}, is away",
                "It was there when this began; nothing was written in its place",
                "Mount its share or disk again, and let the job go on: lens jobs --resume",
            )

    @classmethod
    def find(cls, start: Path | None = None) -> "Project":
        """Open the project that `start` (default: the current folder) lies in.

        Raises
        ------
        ProjectError
            If neither the folder nor a parent of it is a project.
        """
        start = (start or Path.cwd()).expanduser().resolve()
        folder = folder_around(start)
        if folder is not None:
            return cls.open(folder)
        raise ProjectError(
            f"{start} lies in no project",
            "A folder with lens.yaml, or one inside it, is needed",
            "Run the command inside a project, name one with --project DIR, or make one with: lens init DIR",
        )

    @property
    def settings_file(self) -> Path:
        """The file `lens.yaml`."""
        return self.folder / SETTINGS_NAME

    @property
    def identity(self) -> uuid.UUID:
        """Which project this is, wherever its folder lies."""
        if self.settings.identity is not None:
            return self.settings.identity
        return uuid.UUID(bytes=hashlib.sha256(f"project {self.settings.split_salt}".encode()).digest()[:16])

    @property
    def holds_its_database(self) -> bool:
        """Whether the database of catalog and decisions lies in the folder, so that a copy of it is a project, too."""
        return self.settings.database_url is None

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the catalog and the decisions."""
        return self.settings.database_url or self._sqlite_url("lens.sqlite")

    @property
    def jobs_database_url(self) -> str:
        """SQLAlchemy URL of the job engine."""
        return self.settings.jobs_database_url or self._sqlite_url("jobs.sqlite")

    @property
    def store_folder(self) -> Path:
        """Folder of the SQLite files."""
        return self.folder / "store"

    @property
    def detections_folder(self) -> Path:
        """Folder of the Parquet files, one folder per model version."""
        return self.folder / "detections"

    @property
    def models_folder(self) -> Path:
        """Folder of the checkpoints, one folder per version."""
        return self.folder / "models"

    @property
    def embedding_folder(self) -> Path:
        """Folder of the lesion embedding that was brought in; absent where the one that ships is used."""
        return self.folder / "lesion-embedding"

    @property
    def snapshots_folder(self) -> Path:
        """Folder of the frozen labels."""
        return self.folder / "snapshots"

    @property
    def jobs_folder(self) -> Path:
        """Folder of logs and unfinished results, one folder per job."""
        return self.folder / "jobs"

    @property
    def exports_folder(self) -> Path:
        """Folder of exports, and of the mapping files that must not leave the project."""
        return self.folder / "exports"

    @property
    def unsaid_folder(self) -> Path:
        """Folder of the comments that wait for a verdict; absent before the first."""
        return self.folder / "unsaid"

    @property
    def folders(self) -> tuple[Path, ...]:
        """All folders of the layout."""
        return (
            self.store_folder,
            self.detections_folder,
            self.models_folder,
            self.snapshots_folder,
            self.jobs_folder,
            self.exports_folder,
        )

    def write_settings(self) -> None:
        """Write the settings in place of those in the folder. Raises `OSError` where the disk refuses."""
        text = yaml.safe_dump(self.settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        replace_bytes(self.settings_file, text.encode())

    def _sqlite_url(self, name: str) -> str:
        return URL.create("sqlite", database=str(self.store_folder / name)).render_as_string()


def new_settings(name: str, database_url: str | None = None, jobs_database_url: str | None = None) -> ProjectSettings:
    """Return the settings of a new project, with an identity and a salt of its own.

    Raises
    ------
    ProjectError
        If a URL cannot be used.
    """
    values = {"name": name, "database_url": database_url, "jobs_database_url": jobs_database_url}
    return _validated({**values, "split_salt": secrets.token_hex(16), "identity": uuid.uuid4()})


def with_databases(project: Project, database_url: str | None, jobs_database_url: str | None) -> Project:
    """Return a project with the databases given; None is SQLite in its folder. Nothing is written.

    Raises
    ------
    ProjectError
        If a URL cannot be used.
    """
    urls = {"database_url": database_url, "jobs_database_url": jobs_database_url}
    return replace(project, settings=_validated({**project.settings.model_dump(), **urls}))


def _validated(values: dict[str, Any]) -> ProjectSettings:
    try:
        return ProjectSettings.model_validate(values)
    except ValidationError as error:
        raise ProjectError(f"The setting {_first_of(error)}", "A valid setting", "Give another one") from error


def folder_around(start: Path) -> Path | None:
    """Return the project folder that `start` is or lies in; None where there is none."""
    start = start.expanduser().resolve()
    return next((folder for folder in (start, *start.parents) if (folder / SETTINGS_NAME).is_file()), None)


def _parse(text: str, path: Path) -> ProjectSettings:
    try:
        values = load_yaml(text)
    except yaml.YAMLError as error:
        raise ProjectError(f"{path} is not valid YAML", "Lines of the form `key: value`", "Correct the file") from error
    if not isinstance(values, dict):
        raise ProjectError(
            f"{path} holds {type(values).__name__}", "Lines of the form `key: value`", "Correct the file"
        )
    version = values.get("schema_version", SCHEMA_VERSION)
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ProjectError(
            f"The project {path.parent} has schema version {version}",
            f"This version of LENS-napari reads up to {SCHEMA_VERSION}",
            "Update LENS-napari: pip install --upgrade lens-napari",
        )
    try:
        return ProjectSettings.model_validate(values)
    except ValidationError as error:
        raise ProjectError(f"{path}: {_first_of(error)}", "A valid setting", "Correct the file") from error


def _first_of(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "settings"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"
