"""Run by alembic; the connection, its transaction and its lock are `upgrade.migrate`'s."""

from alembic import context

from imc_command_api.migrations.upgrade import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
