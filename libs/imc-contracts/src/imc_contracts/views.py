"""The views in replies and pushes, as dictionaries with the names of the wire."""

from typing_extensions import TypedDict

STATUS_NORMAL = 1
STATUS_RETIRED = 0
"""Of a message: recalled. Of a notice: deleted."""


class Message(TypedDict):
    """A message. Ids are decimal strings (they exceed 2^53), times are Unix milliseconds."""

    messageId: str
    appId: str
    groupId: str
    userId: str
    content: str
    createTime: int
    recallTime: int
    recallCause: str | None
    status: int
    type: int | None


class Notice(TypedDict):
    """An announcement pinned to a group."""

    informationId: str
    appId: str
    groupId: str
    userId: str
    title: str | None
    content: str
    createTime: int
    deleteTime: int
    jumpUrl: str | None
    status: int
    type: int | None


class Group(TypedDict):
    """A group that a user has written in. ``newMessage`` is the newest, ``updateTime`` its time."""

    groupId: str
    newMessage: Message
    updateTime: int
    messageTotal: int


class MessagePage(TypedDict):
    """One page of messages. ``total`` counts all matches; it is null if it was not requested."""

    total: int | None
    pageMessageList: list[Message]


class NoticePage(TypedDict):
    """One page of notices; ``total`` as in `MessagePage`."""

    total: int | None
    pageInformationList: list[Notice]


class SendReceipt(TypedDict):
    """The acknowledgement of a send. ``duplicate``: its ``clientMessageId`` was sent before."""

    messageId: str
    createTime: int
    cursor: str
    duplicate: bool


class NoticeReceipt(TypedDict):
    """The acknowledgement of a published notice; ``duplicate`` as in `SendReceipt`."""

    informationId: str
    createTime: int
    cursor: str
    duplicate: bool


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
