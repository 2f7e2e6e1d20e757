"""How long a reader of a large project waits for the first lesion, against napari alone with the same scan.

Each figure is that of a fresh process (`python -m benchmarks.review.first_lesion WHAT PATH`), from its start until the
picture is painted. Needs a display.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import napari

from benchmarks.measure import Comparison, compare
from benchmarks.review.worklist_project import CANDIDATES_OF_SERIES, SCAN, make_worklist_project
from lens_engine.io.series import read_volume
from lens_engine.io.series_source import SeriesFormat, SeriesSource
from lens_napari.application import open_project
from lens_napari.cli.display import has_display
from lens_napari.demo.waiting import wait_ready, wait_until

SERIES = 10_000
PATIENCE_SECONDS = 120.0
LONGEST_WAIT_SECONDS = 5.0
"""How much later than napari alone the first lesion may come."""


def run(*, full: bool) -> list[Comparison]:
    """Return what opening a project of 100,000 lesions costs, relative to opening napari with one of its scans."""
    if not has_display():
        print("The first lesion is left out: there is no display. xvfb-run -s '-screen 0 1600x1000x24' gives one.")
        return []
    with tempfile.TemporaryDirectory() as folder:
        project = make_worklist_project(Path(folder), SERIES)
        row = compare(
            f"the first of {SERIES * CANDIDATES_OF_SERIES} lesions",
            "napari, one scan",
            _in_process("napari", project.parent / SCAN, folder),
            _in_process("review", project, folder),
            repeats=5 if full else 3,
        )
    wait = row.ours_seconds - row.baseline_seconds
    goal = row.baseline_seconds / (row.baseline_seconds + LONGEST_WAIT_SECONDS)
    return [row.wanted(goal, f"{wait:.1f} s later, at most {LONGEST_WAIT_SECONDS:g} s are wanted")]


def _in_process(what: str, path: Path, folder: str) -> Callable[[], object]:
    command = [sys.executable, "-m", "benchmarks.review.first_lesion", what, str(path)]
    environment = os.environ | {"XDG_CONFIG_HOME": folder}  # what the person who runs this has chosen stays out of it
    return lambda: subprocess.run(command, check=True, env=environment, capture_output=True)


def _show_scan(path: Path) -> None:
    volume = read_volume(SeriesSource(SeriesFormat.NIFTI, (path,), None))
    viewer = napari.Viewer()
    viewer.add_image(volume.voxels, scale=volume.geometry.spacing_mm, contrast_limits=(-160, 240))
    painted: list[object] = []
    viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(painted.append)
    if not wait_until(lambda: bool(painted), PATIENCE_SECONDS):
        raise SystemExit("The scan was not painted")


def _show_first_lesion(path: Path) -> None:
    review = open_project(path, start_worker=False)
    if not wait_ready(review, PATIENCE_SECONDS):
        raise SystemExit("No lesion was shown")


if __name__ == "__main__":
    {"napari": _show_scan, "review": _show_first_lesion}[sys.argv[1]](Path(sys.argv[2]))
    sys.stdout.flush()
    os._exit(0)  # closing the window is not part of it
