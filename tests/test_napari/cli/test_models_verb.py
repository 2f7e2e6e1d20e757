"""`lens models`: which version is used, and going back."""

import shutil
from pathlib import Path

import pytest
from support.processes.command_line import lens

from lens_engine.checkpoint_card import demo_checkpoint_folder
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.models.model_versions import Models
from lens_engine.store.new_project import create_project


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a project with two versions, of which the first is in use."""
    database, first = create_project(tmp_path / "study")
    Models(database).register(demo_checkpoint_folder(), parent=first.version)
    database.close()
    return tmp_path / "study"


def used_version(folder: Path) -> str:
    database = Database.open(Project.open(folder))
    version = Models(database).promoted().version
    database.close()
    return version


def test_rolling_back_uses_the_version_before_and_says_which(folder: Path) -> None:
    promoted = lens("models", "--promote", "v2", folder=folder)
    assert "Model version v2 is used from now on" in promoted.stdout
    back = lens("models", "--roll-back", folder=folder)
    assert back.returncode == 0, back.stderr
    assert "Model version v1 is used from now on" in back.stdout
    assert used_version(folder) == "v1"


def test_a_version_without_its_folder_is_named_below_the_others(folder: Path) -> None:
    shutil.rmtree(folder / "models" / "v2")
    listed = lens("models", folder=folder)
    assert listed.returncode == 0, listed.stderr
    assert "Model version v2 cannot be used" in " ".join(listed.stdout.split())
    diagnosed = lens("doctor", folder=folder)
    assert "Model version v2 cannot be used" in " ".join((diagnosed.stdout + diagnosed.stderr).split())


def test_nothing_to_roll_back_to_is_refused(folder: Path) -> None:
    refused = lens("models", "--roll-back", folder=folder)
    assert refused.returncode == 1
    assert "No other version was in use before" in refused.stderr


def test_promoting_and_rolling_back_at_once_is_a_wrong_command_line(folder: Path) -> None:
    assert lens("models", "--promote", "v2", "--roll-back", folder=folder).returncode == 2
    assert used_version(folder) == "v1"
