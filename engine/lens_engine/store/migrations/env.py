"""Alembic's entry point: run the migrations on the connection that `lens_engine.store.database` hands over."""

from alembic import context

from lens_engine.store.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
