"""Fixtures that every part of the test suite may use."""

import gc
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.processes.postgresql import own_database, running_server, server_programs

REPOSITORY = Path(__file__).resolve().parents[1]

os.environ["NAPARI_CONFIG"] = ""  # napari keeps its settings to itself: else every dock writes into those of a person


settings.register_profile("any computer", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any computer")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files that take long where several processes share them, so that none is still at one alone."""
    if hasattr(config, "workerinput"):
        tests = Counter(item.path for item in items)
        long = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: (item.path not in long, -tests[item.path], item.path))


def pytest_collection_finish() -> None:
    """Spare whoever collects garbage all that was imported and collected: napari does it twice for each window."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real scans and annotations, or skip where it is absent."""
    folder = Path(os.environ.get("LENS_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"no real scans at {folder}; set LENS_REAL_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Yield the URL of a PostgreSQL server: one of its own, or that of LENS_TEST_POSTGRESQL_URL."""
    given, programs = os.environ.get("LENS_TEST_POSTGRESQL_URL"), server_programs()
    if given is not None:
        yield given
    elif programs is not None:
        with running_server(programs) as own:
            yield own
    else:
        pytest.skip("PostgreSQL is not installed, and LENS_TEST_POSTGRESQL_URL names no empty database")


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """Yield the URL of an empty PostgreSQL database, which is gone after the test."""
    with own_database(postgresql_server) as url:
        yield url
