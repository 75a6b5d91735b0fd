"""Run by alembic; the connection, its transaction and its lock are those of `changes.make_changes`."""

from alembic import context

from imc_command_api.migrations.version import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
