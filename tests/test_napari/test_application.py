"""`lens review` as a process of its own, with a reader who has never opened napari before."""

import os
import subprocess
import sys
from pathlib import Path

from lens_napari.workspace import SIZE

SCRIPT = """
import sys
from pathlib import Path
from lens_napari.application import open_project
from lens_napari.demo.waiting import wait_ready, wait_until

review = open_project(Path(sys.argv[1]), start_worker=False)
wait_ready(review, 60)
wait_until(lambda: False, 1)
size = review.worklist.window().size()
print("size", size.width(), size.height())
review.close()
review.viewer.close()
"""


def window_size(project_folder: Path, settings_folder: Path) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(project_folder)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "XDG_CONFIG_HOME": str(settings_folder)},
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("size"))
    _, width, height = line.split()
    return int(width), int(height)


def test_the_first_window_has_the_size_that_the_panels_were_laid_out_for(project_folder: Path, tmp_path: Path) -> None:
    assert window_size(project_folder, tmp_path / "settings") == SIZE
