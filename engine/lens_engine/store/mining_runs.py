"""Mining runs: stored portion by portion, and asked about only once they are whole."""

from datetime import UTC, datetime

from sqlalchemy import ScalarSelect, delete, func, select

from lens_engine.store.database import Database
from lens_engine.store.schema import CandidateRow, MiningRunRow


def latest_run() -> ScalarSelect[int | None]:
    """Return the number of the latest whole run, as part of a query."""
    return select(func.max(MiningRunRow.id)).where(MiningRunRow.whole_at.is_not(None)).scalar_subquery()


def latest_version(database: Database) -> str | None:
    """Return the model version whose findings the latest whole run has mined; None before the first."""
    with database.reading() as session:
        return session.scalar(select(MiningRunRow.model_version).where(MiningRunRow.id == latest_run()))


def begin_run(database: Database, model_version: str, begun_at: datetime) -> tuple[int, bool]:
    """Return the number of a run without candidates, and whether it is whole already.

    The moment tells runs of one model apart: what a killed process stored of the same one is removed.
    """
    with database.session() as session:
        same = (MiningRunRow.model_version == model_version, MiningRunRow.created_at == begun_at)
        run = session.scalar(select(MiningRunRow).where(*same))
        if run is None:
            run = MiningRunRow(model_version=model_version, created_at=begun_at)
            session.add(run)
            session.flush()
        elif run.whole_at is None:
            session.execute(delete(CandidateRow).where(CandidateRow.mining_run_id == run.id))
        return run.id, run.whole_at is not None


def finish_run(database: Database, run_id: int) -> None:
    """Let the candidates of a run be asked about, all at once."""
    with database.session() as session:
        session.get_one(MiningRunRow, run_id).whole_at = datetime.now(UTC)
