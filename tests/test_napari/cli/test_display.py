"""`lens review` where no window can be opened: words, not the end that Qt puts to a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.processes.command_line import LENS

from lens_engine.store.new_project import create_project

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    database, _ = create_project(tmp_path / "study")
    database.close()
    return tmp_path / "study"


@pytest.mark.parametrize(
    ("display", "said"), [({}, "There is no display"), ({"DISPLAY": ":12345"}, "Qt cannot open a window here")]
)
def test_a_review_without_a_display_is_refused_in_words(folder: Path, display: dict[str, str], said: str) -> None:
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    environment = {name: value for name, value in os.environ.items() if name not in hidden} | display
    refused = subprocess.run(
        [*LENS, "review"], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert refused.returncode == 1, refused.stderr
    assert said in refused.stderr
    assert "lens doctor" in refused.stderr
