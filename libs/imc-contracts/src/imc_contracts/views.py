"""The views in replies and pushes, as dictionaries with the names of the wire."""

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from imc_contracts.fields import INT32, INT64

Int32 = Annotated[int, Field(json_schema_extra=INT32)]
Int64 = Annotated[int, Field(json_schema_extra=INT64)]

DecimalId = Annotated[str, Field(json_schema_extra={"pattern": "^[1-9][0-9]{0,18}$"})]
"""An id, a string since it exceeds 2^53. The pattern is for descriptions; nothing checks it."""

Next = Annotated[
    str | None,
    Field(description="The `after` of the next page; null if this is the last one.", examples=[None]),
]

STATUS_NORMAL = 1
STATUS_RETIRED = 0
"""Of a message: recalled. Of a notice: deleted."""


class Message(TypedDict):
    """A message. Ids are decimal strings (they exceed 2^53), times are Unix milliseconds."""

    messageId: DecimalId
    appId: str
    groupId: str
    userId: str
    content: str
    createTime: Int64
    recallTime: Int64
    recallCause: str | None
    status: Int32
    type: Int32 | None


class Notice(TypedDict):
    """An announcement pinned to a group."""

    informationId: DecimalId
    appId: str
    groupId: str
    userId: str
    title: str | None
    content: str
    createTime: Int64
    deleteTime: Int64
    jumpUrl: str | None
    status: Int32
    type: Int32 | None


class Erasure(TypedDict):
    """What is erased: all that ``userId`` wrote, all of ``groupId``, or if both are null all of the app."""

    erasureId: DecimalId
    appId: str
    userId: str | None
    groupId: str | None
    eraseTime: Int64


class Group(TypedDict):
    """A group. ``newMessage`` is its newest message, ``updateTime`` the time of that message."""

    groupId: str
    newMessage: Message
    updateTime: Int64
    messageTotal: Int64


class MessagePage(TypedDict):
    """One page of messages. ``hasMore``: whether the next page in the same direction has messages.

    ``total`` counts all messages between the times of the query; it is null if it was not requested.
    """

    messages: list[Message]
    hasMore: bool
    total: Int64 | None


class NoticePage(TypedDict):
    """One page of notices; ``hasMore`` as in `MessagePage`."""

    notices: list[Notice]
    hasMore: bool


class MessageExport(TypedDict):
    """One page of an export of messages. ``next``: what to continue after; null on the last page."""

    messages: list[Message]
    hasMore: bool
    next: Next


class NoticeExport(TypedDict):
    """One page of an export of notices; ``next`` as in `MessageExport`."""

    notices: list[Notice]
    hasMore: bool
    next: Next


class GroupPage(TypedDict):
    """One page of groups. ``hasMore``: whether there are groups with older activity."""

    groups: list[Group]
    hasMore: bool


class JavaMessagePage(TypedDict):
    """One page of messages on the Java door. ``total`` counts all matches."""

    total: Int64
    pageMessageList: list[Message]


class JavaNoticePage(TypedDict):
    """One page of notices on the Java door; ``total`` as in `JavaMessagePage`."""

    total: Int64
    pageInformationList: list[Notice]


class SendReceipt(TypedDict):
    """The acknowledgement of a send. ``duplicate``: its ``clientMessageId`` was sent before."""

    messageId: DecimalId
    createTime: Int64
    cursor: str
    duplicate: bool


class NoticeReceipt(TypedDict):
    """The acknowledgement of a published notice; ``duplicate`` as in `SendReceipt`."""

    informationId: DecimalId
    createTime: Int64
    cursor: str
    duplicate: bool


class Push(TypedDict):
    """One push, as it is written to a WebSocket: a message, a notice, or that pushes may be missing."""

    success: bool
    code: Annotated[
        Int32, Field(description="What has happened. 4002: pushes may be missing.", examples=[2001])
    ]
    message: Annotated[str, Field(description="The same for people.", examples=["new message"])]
    data: Annotated[dict[str, Any], Field(description="The message or the notice; of 4002 the gap.")]
    cursor: NotRequired[Annotated[str, Field(description="Its position. 4002 has it as `to` in its data.")]]


class EventPage(TypedDict):
    """One page of events. ``cursor`` is what to ask for the next page with, also if there are no events."""

    events: list[Push]
    cursor: str
    hasMore: bool
    recovered: bool


class Node(TypedDict):
    """The push-node that a gateway belongs to: its address, and the URL to connect to."""

    url: str
    connectUrl: str


def recalled(message: Message, recall_time: int, recall_cause: str | None) -> Message:
    """The message as recalled, without content."""
    return {
        **message,
        "content": "",
        "recallTime": recall_time,
        "recallCause": recall_cause,
        "status": STATUS_RETIRED,
    }


def deleted(notice: Notice, delete_time: int) -> Notice:
    """The notice as deleted."""
    return {**notice, "deleteTime": delete_time, "status": STATUS_RETIRED}
