"""An index that lists the groups of an app by their newest message.

Repeatable: an index that an interrupted run has created is kept.
"""

import sqlalchemy as sa
from alembic import op
from imc_contracts.schema import GROUPS

revision = "0002"
down_revision = "0001"

_INDEX = "imc_group_activity"
_COLUMNS = ["app_id", "newest_create_time", "newest_message_id"]


def upgrade() -> None:
    """Create the index unless it exists."""
    present = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(GROUPS)}
    if _INDEX not in present:
        op.create_index(_INDEX, GROUPS, _COLUMNS)


def downgrade() -> None:
    """Not offered: see the package's documentation."""
    raise NotImplementedError("downgrades are not offered: the release before works on these tables")
