"""The erasures: what each is about, how far it is, and what it has removed.

Repeatable up to its end: a run that broke off is completed. The release before does not know the table.
"""

import sqlalchemy as sa
from alembic import op
from imc_contracts.schema import ERASURES
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"


def _name() -> sa.types.TypeEngine[str]:
    return sa.String(127).with_variant(
        mysql.VARCHAR(127, charset="utf8mb4", collation="utf8mb4_bin"), "mysql"
    )


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")


def upgrade() -> None:
    """Create the table and the indexes that do not exist, each by a statement of its own."""
    connection = op.get_bind()
    log_id = sa.String(20).with_variant(mysql.VARCHAR(20, charset="ascii", collation="ascii_bin"), "mysql")
    table = sa.Table(
        ERASURES,
        sa.MetaData(),
        sa.Column("erasure_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("app_id", _name(), nullable=False),
        sa.Column("user_id", _name()),
        sa.Column("group_id", _name()),
        sa.Column("erase_time", sa.BigInteger(), nullable=False),
        sa.Column("log_id", log_id, nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False, server_default="0"),
        _number("finish_time"),
        _number("messages"),
        _number("notices"),
        _number("log_entries"),
        _number("dead_letters"),
        sa.PrimaryKeyConstraint("app_id", "erasure_id"),
        # What happened after a place in the log.
        sa.Index("imc_erasure_log", "app_id", "log_id"),
        # Those that are not done, of all apps: nearly always none.
        sa.Index("imc_erasure_unfinished", "finish_time", "app_id", "erasure_id"),
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    table.create(connection, checkfirst=True)
    for index in table.indexes:
        index.create(connection, checkfirst=True)


def downgrade() -> None:
    """Not offered: see the package's documentation."""
    raise NotImplementedError("downgrades are not offered: the release before works on these tables")
