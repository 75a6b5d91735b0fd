"""The parameters of the queries of v1."""

import re

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
    MinCursor,
    UserId,
)
from imc_service.http.page_marks import AFTER_RULE, After, foreign_mark
from pydantic import Field

from imc_query_api.http.parameters import Parameters
from imc_query_api.queries.keyset_pages import BEFORE_ALL, Anchor
from imc_query_api.queries.selection import Keyset, Owner, Times

PARAMETER_RULES = {
    **RULES,
    "before": RULES["messageId"],
    "after": RULES["messageId"],
    "deleted": RULES["withTotal"],
}
EXPORT_RULES = {**RULES, "after": AFTER_RULE}


class Query(Parameters):
    """What every query takes."""

    min_cursor: MinCursor | None = Field(
        None,
        description="The reply is from a state that has everything up to this cursor. "
        "It waits for that for up to two seconds, and is a 503 if no database has it by then.",
    )


class _Page(Query):
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


class PageOfGroups(Query):
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


class PageOfExport(Query):
    """A page of an export."""

    group_id: GroupId | None = Field(None, description="Only what is in this group.")
    user_id: UserId | None = Field(None, description="Only what is by this user.")
    after: After | None = Field(None, description="The `next` of the page before.")
    limit: Limit = Field(DEFAULT_LIMIT, description="The most items to list.")

    def owner(self) -> Owner:
        """Whose items are asked for; those of the whole app if nobody is named."""
        return Owner(self.app_id, self.group_id, self.user_id)

    def place(self) -> Anchor:
        """After which place the page begins; raises `Refused` (`INVALID_FIELD`)."""
        if self.after is None:
            return BEFORE_ALL
        if place := re.fullmatch(rb"([0-9]{1,19})-([0-9]{1,19})", self.after):
            time, key = map(int, place.groups())
            if max(time, key) <= INT64_MAX:
                return Anchor(time, key)
        raise foreign_mark()


class OneMessage(Query):
    """A message."""

    message_id: Id


def _invalid(message: str) -> Refused:
    return Refused(ErrorCode.INVALID_FIELD, message)
