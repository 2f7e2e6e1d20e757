"""The ends of the chains of decisions: what a reader's next decision follows, and what a snapshot keeps."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lens_engine.store.audit.chain import first_link
from lens_engine.store.schema import DecisionRow, ReaderRow


def heads_of(session: Session) -> dict[int, str]:
    """Return the hash of each reader's latest decision, by the reader's number."""
    latest = select(func.max(DecisionRow.id)).group_by(DecisionRow.reader_id)
    rows = session.execute(select(DecisionRow.reader_id, DecisionRow.chain_hash).where(DecisionRow.id.in_(latest)))
    return {row.reader_id: row.chain_hash for row in rows}


def head_to_follow(session: Session, reader_id: int) -> str:
    """Return the hash that a reader's next decision follows; windows of one reader wait for each other from here on."""
    named = select(ReaderRow.name).where(ReaderRow.id == reader_id).with_for_update(key_share=True)
    name = session.scalars(named).one()
    latest = select(DecisionRow.chain_hash).where(DecisionRow.reader_id == reader_id).order_by(DecisionRow.id.desc())
    return session.scalar(latest.limit(1)) or first_link(name)
