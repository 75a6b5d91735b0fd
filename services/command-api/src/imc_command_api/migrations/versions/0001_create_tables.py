"""The tables of messages, notices and groups, and how far the projection of each log has got.

Each key begins with the app, so that rows of one app lie together, and new rows of many apps do not all
lie at the end of a table. No column counts up by itself: ids come from outside.

Repeatable up to its end: a run that broke off is completed.
"""

import sqlalchemy as sa
from alembic import op
from imc_contracts.schema import GROUPS, HEARTBEATS, MESSAGES, NOTICES, PROJECTIONS
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None


def _text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql"
    )


def _ascii(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(
        mysql.VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql"
    )


_CONTENT = sa.Text().with_variant(mysql.TEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql")
_LOG_ID = _ascii(20)
_STATUS = sa.SmallInteger().with_variant(mysql.TINYINT(), "mysql")


def _table(metadata: sa.MetaData, name: str, *parts: sa.schema.SchemaItem) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        *parts,
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )


def _messages(metadata: sa.MetaData) -> sa.Table:
    return _table(
        metadata,
        MESSAGES,
        sa.Column("message_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("app_id", _text(127), nullable=False),
        sa.Column("group_id", _text(127), nullable=False),
        sa.Column("user_id", _text(127), nullable=False),
        sa.Column("content", _CONTENT, nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("recall_time", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("recall_cause", _text(255)),
        sa.Column("status", _STATUS, nullable=False, server_default="1"),
        sa.Column("type", sa.Integer()),
        sa.Column("log_id", _LOG_ID),
        sa.Column("last_log_id", _LOG_ID),
        sa.PrimaryKeyConstraint("app_id", "message_id"),
        sa.Index("imc_message_group", "app_id", "group_id", "create_time", "message_id"),
        sa.Index("imc_message_user", "app_id", "user_id", "create_time", "message_id"),
        # Also the groups of a user: a loose scan leaps from group to group.
        sa.Index("imc_message_user_group", "app_id", "user_id", "group_id", "create_time", "message_id"),
        # What happened after a place in the log: a row was made, or it was retired.
        sa.Index("imc_message_log", "app_id", "log_id"),
        sa.Index("imc_message_retired", "app_id", "status", "last_log_id"),
    )


def _notices(metadata: sa.MetaData) -> sa.Table:
    return _table(
        metadata,
        NOTICES,
        sa.Column("information_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("app_id", _text(127), nullable=False),
        sa.Column("group_id", _text(127), nullable=False),
        sa.Column("user_id", _text(127), nullable=False),
        sa.Column("title", _text(255)),
        sa.Column("content", _CONTENT, nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("delete_time", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("jump_url", _text(2048)),
        sa.Column("status", _STATUS, nullable=False, server_default="1"),
        sa.Column("type", sa.Integer()),
        sa.Column("log_id", _LOG_ID),
        sa.Column("last_log_id", _LOG_ID),
        sa.PrimaryKeyConstraint("app_id", "information_id"),
        # Deleted notices are never listed: with the status before the time they are not even passed by.
        sa.Index("imc_notice_group", "app_id", "group_id", "status", "create_time", "information_id"),
        sa.Index("imc_notice_user", "app_id", "user_id", "status", "create_time", "information_id"),
        sa.Index(
            "imc_notice_user_group",
            *("app_id", "user_id", "group_id", "status", "create_time", "information_id"),
        ),
        sa.Index("imc_notice_log", "app_id", "log_id"),
        sa.Index("imc_notice_retired", "app_id", "status", "last_log_id"),
        # Clients of the Java version delete a notice without naming its app.
        sa.Index("imc_notice_id", "information_id"),
    )


def _groups(metadata: sa.MetaData) -> sa.Table:
    return _table(
        metadata,
        GROUPS,
        sa.Column("app_id", _text(127), nullable=False),
        sa.Column("group_id", _text(127), nullable=False),
        sa.Column("message_total", sa.BigInteger(), nullable=False),
        sa.Column("newest_message_id", sa.BigInteger(), nullable=False),
        sa.Column("newest_create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "group_id"),
        sa.Index("imc_group_activity", "app_id", "newest_create_time", "newest_message_id"),
    )


def _projections(metadata: sa.MetaData) -> sa.Table:
    return _table(
        metadata,
        PROJECTIONS,
        sa.Column("app_id", _text(127), nullable=False),
        sa.Column("epoch", _ascii(40), nullable=False),
        sa.Column("position", _LOG_ID, nullable=False),
        sa.PrimaryKeyConstraint("app_id"),
    )


def _heartbeats(metadata: sa.MetaData) -> sa.Table:
    return _table(
        metadata,
        HEARTBEATS,
        sa.Column("id", sa.SmallInteger(), nullable=False, autoincrement=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def upgrade() -> None:
    """Create the tables and indexes that do not exist, each by a statement of its own."""
    connection = op.get_bind()
    metadata = sa.MetaData()
    for make in (_messages, _notices, _groups, _projections, _heartbeats):
        table = make(metadata)
        table.create(connection, checkfirst=True)
        # An interrupted run may have created the table without all of its indexes.
        for index in table.indexes:
            index.create(connection, checkfirst=True)


def downgrade() -> None:
    """Not offered: see the package's documentation."""
    raise NotImplementedError("downgrades are not offered: the release before works on these tables")
