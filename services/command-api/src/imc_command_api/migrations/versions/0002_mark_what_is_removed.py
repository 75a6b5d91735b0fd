"""How far the log of an app can't be read from the tables any more, since rows were removed.

The release before does not name the column, and works on the table as before. Repeatable.
"""

import sqlalchemy as sa
from alembic import op
from imc_contracts.schema import PROJECTIONS, REMOVED_TO
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

_LOG_ID = sa.String(20).with_variant(mysql.VARCHAR(20, charset="ascii", collation="ascii_bin"), "mysql")


def upgrade() -> None:
    """Add the column, if an interrupted run has not."""
    columns = sa.inspect(op.get_bind()).get_columns(PROJECTIONS)
    if all(column["name"] != REMOVED_TO for column in columns):
        op.add_column(PROJECTIONS, sa.Column(REMOVED_TO, _LOG_ID))


def downgrade() -> None:
    """Not offered: see the package's documentation."""
    raise NotImplementedError("downgrades are not offered: the release before works on these tables")
