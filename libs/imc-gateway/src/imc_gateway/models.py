"""What IMC tells of messages, notices and groups, and the events that a gateway gets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """A message. Times are Unix milliseconds. A recalled message has no content."""

    message_id: str
    app_id: str
    group_id: str
    user_id: str
    content: str
    create_time: int
    recall_time: int
    """0 until it is recalled."""
    recall_cause: str | None
    type: int | None
    is_recalled: bool

    @classmethod
    def read(cls, view: Mapping[str, Any]) -> "Message":
        """Read the view of a message, as replies and frames hold it."""
        return cls(
            view["messageId"],
            view["appId"],
            view["groupId"],
            view["userId"],
            view["content"],
            view["createTime"],
            view["recallTime"],
            view.get("recallCause"),
            view.get("type"),
            view["status"] == 0,
        )


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice: an announcement that is pinned to a group. Times are Unix milliseconds."""

    information_id: str
    app_id: str
    group_id: str
    user_id: str
    title: str | None
    content: str
    create_time: int
    delete_time: int
    """0 until it is deleted."""
    jump_url: str | None
    type: int | None
    is_deleted: bool

    @classmethod
    def read(cls, view: Mapping[str, Any]) -> "Notice":
        """Read the view of a notice, as replies and frames hold it."""
        return cls(
            view["informationId"],
            view["appId"],
            view["groupId"],
            view["userId"],
            view.get("title"),
            view["content"],
            view["createTime"],
            view["deleteTime"],
            view.get("jumpUrl"),
            view.get("type"),
            view["status"] == 0,
        )


@dataclass(frozen=True, slots=True)
class Group:
    """A group, with its newest message and the number of all its messages."""

    group_id: str
    newest_message: Message
    update_time: int
    message_total: int

    @classmethod
    def read(cls, view: Mapping[str, Any]) -> "Group":
        """Read the view of a group."""
        newest = Message.read(view["newMessage"])
        return cls(view["groupId"], newest, view["updateTime"], view["messageTotal"])


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a send: the message is in the log of its app."""

    message_id: str
    create_time: int
    is_duplicate: bool
    """Whether the same ``clientMessageId`` was sent before. The rest is then of the first send."""

    @classmethod
    def read(cls, view: Mapping[str, Any], key: str = "messageId") -> "Sent":
        """Read the answer to a send."""
        return cls(view[key], view["createTime"], view["duplicate"])


@dataclass(frozen=True, slots=True)
class MessageSent:
    """Somebody has sent a message."""

    message: Message
    is_repaired: bool = False
    """Whether it was found in the history after a gap. It may come out of order then."""


@dataclass(frozen=True, slots=True)
class MessageRecalled:
    """A message was recalled: remove its content from every screen."""

    message: Message
    is_repaired: bool = False


@dataclass(frozen=True, slots=True)
class NoticePublished:
    """A notice was published."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class NoticeDeleted:
    """A notice was deleted."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class Erased:
    """All that ``user_id`` wrote, all of ``group_id``, or if both are None all of the app was erased.

    Erase what you keep of it from the events before this one. What comes after it stays.
    """

    erasure_id: str
    user_id: str | None
    group_id: str | None
    erase_time: int

    @classmethod
    def read(cls, view: Mapping[str, Any]) -> "Erased":
        """Read the view of an erasure, as frames hold it."""
        return cls(view["erasureId"], view.get("userId"), view.get("groupId"), view["eraseTime"])


@dataclass(frozen=True, slots=True)
class Gap:
    """IMC could not prove that nothing was missed.

    If ``is_repaired``, the messages and recalls that were missed came just before this event, out of the
    history. Otherwise they may be missing. Notices that were missed may be missing in both cases.
    """

    is_repaired: bool


Event = MessageSent | MessageRecalled | NoticePublished | NoticeDeleted | Erased | Gap
