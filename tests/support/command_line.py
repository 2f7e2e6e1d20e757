"""The command line, as a person at a shell starts it."""

import subprocess
import sys
from pathlib import Path

LENS = [sys.executable, "-c", "from lens_napari.cli import main; main()"]


def lens(*arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `lens` to its end."""
    return subprocess.run(
        [*LENS, *map(str, arguments)], capture_output=True, text=True, cwd=folder, timeout=120, check=False
    )
