"""Run by alembic; the connection, its transaction and its lock are `upgrade.migrate`'s."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # A name of our own: the database may be shared with another user of alembic.
    version_table="imc_schema_version",
)
context.run_migrations()
