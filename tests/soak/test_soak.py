"""A small storm in every run of the tests; `make soak` is the large one."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from support.processes.postgresql import own_server, server_programs

from soak.course import weather

KILLS = 6
SEED = 2026


@pytest.fixture(autouse=True)
def settings_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of the person who runs the tests out of reach."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_nothing_is_missing_doubled_stuck_or_left_over_after_kills(tmp_path: Path, database: str) -> None:
    programs = server_programs()
    if database == "postgresql" and programs is None:
        pytest.skip("PostgreSQL is not installed")
    with nullcontext() if database == "sqlite" or programs is None else own_server(programs) as server:
        toll, reckoning = weather(tmp_path / "ground", server, KILLS, SEED, print)
    assert toll.kills.total() == KILLS
    assert toll.jobs
    assert reckoning.wrong == ()
