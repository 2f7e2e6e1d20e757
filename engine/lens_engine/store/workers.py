"""The heartbeat of worker processes: who is alive, where, and at what."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, select

from lens_engine.store.database import Database
from lens_engine.store.schema import WorkerRow


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """One worker process as it last reported.

    Attributes
    ----------
    device
        What it computes on, such as `cpu` or `cuda:0`.
    current_job
        Id of the job it is at; None while it waits.
    """

    worker_id: str
    host: str
    pid: int
    device: str
    started_at: datetime
    last_seen: datetime
    current_job: str | None


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers of one project."""

    database: Database

    def start(self, worker_id: str, host: str, pid: int, device: str) -> None:
        """Say that a worker runs; a restarted one takes the place of its predecessor of the same id."""
        now = datetime.now(UTC)
        with self.database.session() as session:
            session.merge(
                WorkerRow(
                    worker_id=worker_id,
                    host=host,
                    pid=pid,
                    device=device,
                    started_at=now,
                    last_seen=now,
                    current_job=None,
                )
            )

    def beat(self, worker_id: str, current_job: str | None = None) -> bool:
        """Say that a worker still runs; return False where it is not known (any more)."""
        with self.database.session() as session:
            row = session.get(WorkerRow, worker_id)
            if row is None:
                return False
            row.last_seen, row.current_job = datetime.now(UTC), current_job
            return True

    def stop(self, worker_id: str) -> None:
        """Say that a worker has ended."""
        with self.database.session() as session:
            session.execute(delete(WorkerRow).where(WorkerRow.worker_id == worker_id))

    def all(self) -> tuple[WorkerRecord, ...]:
        """Return all workers that have not ended properly, the dead ones included."""
        with self.database.reading() as session:
            return tuple(_record(row) for row in session.scalars(select(WorkerRow).order_by(WorkerRow.started_at)))


def _record(row: WorkerRow) -> WorkerRecord:
    return WorkerRecord(row.worker_id, row.host, row.pid, row.device, row.started_at, row.last_seen, row.current_job)
