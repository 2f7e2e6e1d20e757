"""Fixtures that every part of the test suite may use."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real scans and annotations, or skip where it is absent."""
    folder = Path(os.environ.get("LENS_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"no real scans at {folder}; set LENS_REAL_DATA to their folder")
    return folder
