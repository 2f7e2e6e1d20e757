"""How a demo of ours is known on the disk."""

from pathlib import Path

MARKER = ".lens-demo"
"""A folder with this file is a demo of ours and may be made anew."""


def is_demo(project_folder: Path) -> bool:
    """Return whether a project is that of a demo."""
    return (project_folder.resolve().parent / MARKER).is_file()
