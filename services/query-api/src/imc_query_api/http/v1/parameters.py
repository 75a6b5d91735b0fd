"""The parameters of the queries of v1."""

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.fields import (
    DEFAULT_LIMIT,
    INT64_MAX,
    RULES,
    GroupId,
    Id,
    Limit,
    Milliseconds,
    UserId,
)
from pydantic import Field

from imc_query_api.http.parameters import Parameters
from imc_query_api.queries.selection import Keyset, Owner, Times

PARAMETER_RULES = {
    **RULES,
    "before": RULES["messageId"],
    "after": RULES["messageId"],
    "deleted": RULES["withTotal"],
}


class _Page(Parameters):
    group_id: GroupId | None = Field(None, description="Select what is in this group.")
    user_id: UserId | None = Field(None, description="Select what is by this user.")
    before: Id | None = Field(None, description="Only what is older than the item with this id.")
    after: Id | None = Field(None, description="Only what is newer than the item with this id.")
    start_time: Milliseconds = Field(0, description="Only what was created at this time or later.")
    end_time: Milliseconds = Field(INT64_MAX, description="Only what was created before this time.")
    limit: Limit = Field(DEFAULT_LIMIT, description="The most items to list.")

    def owner(self) -> Owner:
        """Whose items are asked for; raises `Refused` (`INVALID_FIELD`) if nobody is named."""
        if self.group_id is None and self.user_id is None:
            raise _invalid(f"groupId or userId is missing: each must be {RULES['groupId']}")
        return Owner(self.app_id, self.group_id, self.user_id)

    def keyset(self) -> Keyset:
        """Which of the items are asked for; raises `Refused` (`INVALID_FIELD`) for two ids."""
        if self.before is not None and self.after is not None:
            raise _invalid("before and after are both given: only one of them may be")
        return Keyset(self.limit, self.before, self.after, Times(self.start_time, self.end_time))


class PageOfMessages(_Page):
    """A page of messages of a group, of a user, or of a user in a group."""

    with_total: bool = Field(
        False, description="Whether to count all messages between the times, whatever before and after are."
    )


class PageOfNotices(_Page):
    """A page of notices of a group, of a user, or of a user in a group."""

    deleted: bool = Field(False, description="Whether to list deleted notices, too.")


class PageOfGroups(Parameters):
    """A page of groups."""

    user_id: UserId | None = Field(
        None, description="Only groups that this user has written in. Without it, all groups of the app."
    )
    after: Id | None = Field(
        None,
        description="Only groups with older activity than this message. "
        "To continue, pass the messageId of the newMessage of the last group.",
    )
    limit: Limit = Field(DEFAULT_LIMIT, description="The most groups to list.")


class OneMessage(Parameters):
    """A message."""

    message_id: Id


def _invalid(message: str) -> Refused:
    return Refused(ErrorCode.INVALID_FIELD, message)
