from pathlib import Path

import pytest

from lens_engine.errors import ProjectError
from lens_napari.review.settings import KeySettings, ViewerSettings, load_settings, save_settings


def test_settings_come_back_as_they_were_kept(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "viewer.json"
    settings = ViewerSettings(reader="reader 2", thresholds={"lung": 0.5}, keys=KeySettings(accept="A"))
    save_settings(settings, path)
    assert load_settings(path) == settings


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "viewer.json").keys == KeySettings()


def test_broken_settings_name_their_file(tmp_path: Path) -> None:
    path = tmp_path / "viewer.json"
    path.write_text('{"reader": 3, "colour": "red"}')
    with pytest.raises(ProjectError, match=r"viewer\.json"):
        load_settings(path)


def test_no_key_does_two_things() -> None:
    keys = list(KeySettings().model_dump().values())
    assert len(keys) == len(set(keys))
