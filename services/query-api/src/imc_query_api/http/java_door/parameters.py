"""The parameters of the Java version's queries, converted as Spring does it with its defaults.

Whitespace in a number is ignored. A number may be hexadecimal (``0x1F``, ``#1F``), but not a fraction.
"""

import re
from abc import ABC, abstractmethod
from typing import Annotated, Any

from imc_contracts.fields import INT32, INT32_MAX, INT64, INT64_MAX, RULES, GroupId, UserId
from imc_contracts.java_door.commands import IdText
from pydantic import BeforeValidator, Field

from imc_query_api.http.parameters import Parameters
from imc_query_api.queries.selection import Owner, Times, Window

MAX_PAGE_SIZE = 10_000
DEFAULT_PAGE_SIZE = 20
ALL = -1
"""The ``pageSize`` that asks for all items, as long as they are at most `MAX_PAGE_SIZE`."""

_TIME = "milliseconds, a whole number from -9223372036854775808 to 9223372036854775807"
PARAMETER_RULES = {
    **RULES,
    "startTime": _TIME,
    "endTime": _TIME,
    "pageNum": "a whole number from -2147483648 to 2147483647",
    "pageSize": f"a whole number from -1 to {MAX_PAGE_SIZE}",
}

_DECIMAL = re.compile(r"[+-]?\d{1,20}")
_HEXADECIMAL = re.compile(r"(-?)(?:0[xX]|#)([0-9a-fA-F]{1,16})")


def _number(value: Any) -> int:
    text = "".join(str(value).split())
    if _DECIMAL.fullmatch(text):
        return int(text)
    match = _HEXADECIMAL.fullmatch(text)
    if match is None:
        raise ValueError("not a whole number")
    return int(match[1] + match[2], 16)


_Number = BeforeValidator(_number)
_Time = Annotated[int, Field(ge=-INT64_MAX - 1, le=INT64_MAX, json_schema_extra=INT64), _Number]
_PageNum = Annotated[int, Field(ge=-INT32_MAX - 1, le=INT32_MAX, json_schema_extra=INT32), _Number]
_PageSize = Annotated[int, Field(ge=ALL, le=MAX_PAGE_SIZE, json_schema_extra=INT32), _Number]


class Paged(Parameters, ABC):
    """A page of items."""

    start_time: _Time = Field(0, description="Only what was created at this time or later.")
    end_time: _Time = Field(INT64_MAX, description="Only what was created before this time.")
    page_num: _PageNum = Field(1, description="The number of the page. Below 1 it means 1.")
    page_size: _PageSize = Field(
        DEFAULT_PAGE_SIZE,
        description="The most items of a page. 0: only the total. "
        f"-1: all items, if they are at most {MAX_PAGE_SIZE}.",
    )

    @abstractmethod
    def owner(self) -> Owner:
        """Whose items are asked for."""

    def window(self) -> Window:
        """The page that is asked for."""
        times = Times(self.start_time, self.end_time)
        if self.page_size == ALL:
            return Window(MAX_PAGE_SIZE, 0, times)
        return Window(self.page_size, (max(self.page_num, 1) - 1) * self.page_size, times)


class OfGroup(Paged):
    """A page of what is in a group."""

    group_id: GroupId

    def owner(self) -> Owner:
        """Whose items are asked for."""
        return Owner(self.app_id, group_id=self.group_id)


class OfUser(Paged):
    """A page of what is by a user."""

    user_id: UserId

    def owner(self) -> Owner:
        """Whose items are asked for."""
        return Owner(self.app_id, user_id=self.user_id)


class OfUserInGroup(Paged):
    """A page of what is by a user in a group."""

    group_id: GroupId
    user_id: UserId

    def owner(self) -> Owner:
        """Whose items are asked for."""
        return Owner(self.app_id, self.group_id, self.user_id)


class NextToMessage(Parameters):
    """The messages of a group before or after one of them."""

    group_id: GroupId
    message_id: IdText
    page_size: _PageSize = Field(
        DEFAULT_PAGE_SIZE,
        description=f"The most messages to list. 0: none. -1: all, if they are at most {MAX_PAGE_SIZE}.",
    )


class GroupsOfUser(Parameters):
    """The groups of a user."""

    user_id: UserId
