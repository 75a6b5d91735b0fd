"""Messages, notices and groups; tables of the Java version become ours in place.

Repeatable up to its end: what a run that broke off has made is found and completed.
"""

import sqlalchemy as sa
from alembic import op
from imc_command_api.migrations.adoption import adopt, check_adoptable
from imc_contracts.schema import GROUPS, MESSAGES, NOTICES
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

_FILLING = f"{GROUPS}_filling"
_FILL = f"""
    INSERT INTO {_FILLING} (app_id, group_id, message_total, newest_message_id, newest_create_time)
    SELECT
        m.app_id,
        m.group_id,
        COUNT(*),
        (
            SELECT n.message_id FROM {MESSAGES} n
            WHERE n.app_id = m.app_id AND n.group_id = m.group_id
            ORDER BY n.app_id DESC, n.group_id DESC, n.create_time DESC, n.message_id DESC
            LIMIT 1
        ),
        MAX(m.create_time)
    FROM {MESSAGES} m
    GROUP BY m.app_id, m.group_id
"""  # noqa: S608 - names of tables, no values


def _text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql"
    )


_CONTENT = sa.Text().with_variant(mysql.TEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql")
_LOG_ID = sa.String(20).with_variant(mysql.VARCHAR(20, charset="ascii", collation="ascii_bin"), "mysql")
_STATUS = sa.SmallInteger().with_variant(mysql.TINYINT(), "mysql")
# SQLite: only a column of exactly this type is the table's own key instead of an index beside it.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


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
        sa.Column("message_id", _ID, primary_key=True, autoincrement=False),
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
        sa.Column("information_id", _ID, primary_key=True, autoincrement=False),
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
        # Deleted notices are never listed: with the status before the time they are not even passed by.
        sa.Index("imc_notice_group", "app_id", "group_id", "status", "create_time", "information_id"),
        sa.Index("imc_notice_user", "app_id", "user_id", "status", "create_time", "information_id"),
        sa.Index(
            "imc_notice_user_group",
            *("app_id", "user_id", "group_id", "status", "create_time", "information_id"),
        ),
        sa.Index("imc_notice_log", "app_id", "log_id"),
        sa.Index("imc_notice_retired", "app_id", "status", "last_log_id"),
    )


def _groups(metadata: sa.MetaData, name: str) -> sa.Table:
    return _table(
        metadata,
        name,
        sa.Column("app_id", _text(127), primary_key=True),
        sa.Column("group_id", _text(127), primary_key=True),
        sa.Column("message_total", sa.BigInteger(), nullable=False),
        sa.Column("newest_message_id", sa.BigInteger(), nullable=False),
        sa.Column("newest_create_time", sa.BigInteger(), nullable=False),
    )


def upgrade() -> None:
    """Make what is missing, and make ours what is there."""
    connection = op.get_bind()
    present = set(sa.inspect(connection).get_table_names())
    metadata = sa.MetaData()
    tables = (_messages(metadata), _notices(metadata))
    check_adoptable(connection, [table for table in tables if table.name in present])
    for table in tables:
        if table.name in present:
            adopt(connection, table)
        else:
            table.create(connection)
    if GROUPS not in present:
        _make_groups(connection, metadata)


def _make_groups(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """The counts appear all at once: a projector that is early finds no table rather than half of one."""
    filling = _groups(metadata, _FILLING)
    filling.drop(connection, checkfirst=True)
    filling.create(connection)
    connection.execute(sa.text(_FILL))
    op.rename_table(_FILLING, GROUPS)


def downgrade() -> None:
    """Not offered: see the package's documentation."""
    raise NotImplementedError("downgrades are not offered: the release before works on these tables")
