"""Copy every table of a project from one database to another, of the same kind or not."""

from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy import ColumnElement, Connection, Table, func, insert, select, text

from lens_engine.store.database import ROWS_AT_A_TIME
from lens_engine.store.schema import Base


def copy_tables(
    source: Connection, target: Connection, only: Mapping[str, ColumnElement[bool]] = MappingProxyType({})
) -> None:
    """Copy all rows, in the order of their keys: rows come behind those that they refer to.

    Parameters
    ----------
    target
        Of a database whose tables are empty; its sequences go on behind the last row.
    only
        By the name of a table, which of its rows; all of the others.
    """
    for table in Base.metadata.sorted_tables:
        query = select(table).order_by(*table.primary_key.columns)
        if table.name in only:
            query = query.where(only[table.name])
        rows = source.execute(query, execution_options={"yield_per": ROWS_AT_A_TIME})
        for portion in rows.mappings().partitions():
            target.execute(insert(table), [dict(row) for row in portion])
        if target.dialect.name == "postgresql" and "id" in table.columns:
            _go_on_behind_the_last_row(table, target)


def _go_on_behind_the_last_row(table: Table, target: Connection) -> None:
    sequence = target.scalar(select(func.pg_get_serial_sequence(table.name, "id")))
    last = target.scalar(select(func.max(table.columns["id"])))
    if sequence is not None and last is not None:
        target.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last})
