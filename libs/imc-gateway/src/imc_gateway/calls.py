"""The calls over HTTP. Each is a request to make and a way to read its reply: give it to a client. No I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

from imc_gateway.errors import ImcError
from imc_gateway.models import Group, Message, Notice, Sent

T = TypeVar("T")

RETRYABLE = frozenset({42901, 50001, 50301})
"""The codes of failures that the same request may not meet later."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request: POST with ``body``, or GET with ``query``; ``read`` makes the result of the reply's data."""

    path: str
    read: Callable[[Any], T]
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] | None = None

    def result_of(self, reply: httpx.Response) -> T:
        """The result. Raises `ImcError`."""
        return self.read(data_of(reply))


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items, and whether there are more of them."""

    items: list[T]
    has_more: bool
    total: int | None = None


@dataclass(frozen=True, slots=True)
class ExportPage(Generic[T]):
    """Some items of an export, and what the next page comes after; None if this is the last."""

    items: list[T]
    next: str | None


def data_of(reply: httpx.Response) -> Any:
    """The data of a reply; raises `ImcError` for a failure, and for what is no reply of IMC."""
    try:
        envelope: Any = reply.json()
        code, message, data = int(envelope["code"]), str(envelope["message"]), envelope.get("data")
    except (ValueError, KeyError, TypeError, AttributeError):
        is_retryable = reply.status_code >= 500
        words = f"status {reply.status_code}, and no reply of IMC"
        raise ImcError(reply.status_code * 100, words, is_retryable=is_retryable) from None
    if code != 0:
        raise ImcError(
            code, message, is_retryable=code in RETRYABLE, retry_after=retry_after_of(reply.headers)
        )
    return data


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """The seconds that ``Retry-After`` names, or None."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def message_body(
    app_id: str | None,
    group_id: str,
    user_id: str,
    content: str,
    *,
    type: int | None = None,
    client_message_id: str | None = None,
) -> dict[str, Any]:
    """The body of a send, for `send_messages` or a frame."""
    return _given(
        appId=app_id,
        groupId=group_id,
        userId=user_id,
        content=content,
        type=type,
        clientMessageId=client_message_id,
    )


def send_message(
    app_id: str,
    group_id: str,
    user_id: str,
    content: str,
    *,
    type: int | None = None,
    client_message_id: str | None = None,
) -> Call[Sent]:
    """Send one message. It is in the log when the call returns.

    Repeat it only with a ``client_message_id``.
    """
    body = message_body(app_id, group_id, user_id, content, type=type, client_message_id=client_message_id)
    return Call("/v1/commands/send-message", Sent.read, body)


def send_messages(bodies: Sequence[Mapping[str, Any]]) -> Call[list[Sent | ImcError]]:
    """Send up to 500 messages, each made by `message_body`. Each has a result or an error of its own."""

    def read(items: list[dict[str, Any]]) -> list[Sent | ImcError]:
        return [
            ImcError(item["code"], item["message"], is_retryable=item["code"] in RETRYABLE)
            if item.get("success") is False
            else Sent.read(item)
            for item in items
        ]

    return Call("/v1/commands/send-messages", read, {"messages": list(bodies)})


def recall_message(app_id: str, message_id: str, *, cause: str | None = None) -> Call[Message]:
    """Take a message back; returns it as recalled."""
    body = _given(appId=app_id, messageId=message_id, recallCause=cause)
    return Call("/v1/commands/recall-message", Message.read, body)


def publish_notice(
    app_id: str,
    group_id: str,
    user_id: str,
    content: str,
    *,
    title: str | None = None,
    jump_url: str | None = None,
    type: int | None = None,
    client_message_id: str | None = None,
) -> Call[Sent]:
    """Publish a notice. ``message_id`` of the result is its informationId."""
    body = message_body(app_id, group_id, user_id, content, type=type, client_message_id=client_message_id)
    body |= _given(title=title, jumpUrl=jump_url)
    return Call("/v1/commands/publish-notice", lambda data: Sent.read(data, "informationId"), body)


def delete_notice(app_id: str, information_id: str) -> Call[Notice]:
    """Delete a notice; returns it as deleted."""
    body = {"appId": app_id, "informationId": information_id}
    return Call("/v1/commands/delete-notice", Notice.read, body)


def message(app_id: str, message_id: str, *, min_cursor: str | None = None) -> Call[Message]:
    """One message."""
    query = _given(appId=app_id, messageId=message_id, minCursor=min_cursor)
    return Call("/v1/queries/message", Message.read, query=query)


def messages(
    app_id: str,
    *,
    group_id: str | None = None,
    user_id: str | None = None,
    before: str | None = None,
    after: str | None = None,
    start_time: int | None = None,
    end_time: int | None = None,
    limit: int = 50,
    with_total: bool = False,
    min_cursor: str | None = None,
) -> Call[Page[Message]]:
    """A page of the messages of a group, a user, or a user in a group; listed oldest first.

    Without ``before`` and ``after`` these are the newest ones. Continue with the id of the first or last one.
    With ``min_cursor``, a cursor of a push or a send, all that happened up to there is in the reply.
    """

    query = _given(
        appId=app_id,
        groupId=group_id,
        userId=user_id,
        before=before,
        after=after,
        startTime=start_time,
        endTime=end_time,
        limit=limit,
        withTotal="true" if with_total else None,
        minCursor=min_cursor,
    )
    return Call("/v1/queries/messages", _page("messages", Message.read), query=query)


def groups(
    app_id: str,
    *,
    user_id: str | None = None,
    after: str | None = None,
    limit: int = 50,
    min_cursor: str | None = None,
) -> Call[Page[Group]]:
    """A page of the groups of an app, or of those that a user has written in; newest activity first.

    Continue with the id of the newest message of the last group.
    """
    query = _given(appId=app_id, userId=user_id, after=after, limit=limit, minCursor=min_cursor)
    return Call("/v1/queries/groups", _page("groups", Group.read), query=query)


def notices(
    app_id: str,
    *,
    group_id: str | None = None,
    user_id: str | None = None,
    before: str | None = None,
    after: str | None = None,
    limit: int = 50,
    with_deleted: bool = False,
    min_cursor: str | None = None,
) -> Call[Page[Notice]]:
    """A page of the notices of a group, a user, or a user in a group; newest first."""
    query = _given(
        appId=app_id,
        groupId=group_id,
        userId=user_id,
        before=before,
        after=after,
        limit=limit,
        deleted="true" if with_deleted else None,
        minCursor=min_cursor,
    )
    return Call("/v1/queries/notices", _page("notices", Notice.read), query=query)


def export_messages(
    app_id: str,
    *,
    group_id: str | None = None,
    user_id: str | None = None,
    after: str | None = None,
    limit: int = 50,
    min_cursor: str | None = None,
) -> Call[ExportPage[Message]]:
    """A page of all messages of an app, a group, a user, or a user in a group, from the oldest on.

    Continue with the ``next`` of the page, also if messages have been removed since.
    """
    query = _export(app_id, group_id, user_id, after, limit, min_cursor)
    return Call("/v1/queries/export-messages", _export_page("messages", Message.read), query=query)


def export_notices(
    app_id: str,
    *,
    group_id: str | None = None,
    user_id: str | None = None,
    after: str | None = None,
    limit: int = 50,
    min_cursor: str | None = None,
) -> Call[ExportPage[Notice]]:
    """A page of all notices, as `export_messages`; deleted ones too."""
    query = _export(app_id, group_id, user_id, after, limit, min_cursor)
    return Call("/v1/queries/export-notices", _export_page("notices", Notice.read), query=query)


def _export(
    app_id: str,
    group_id: str | None,
    user_id: str | None,
    after: str | None,
    limit: int,
    min_cursor: str | None,
) -> dict[str, Any]:
    return _given(
        appId=app_id, groupId=group_id, userId=user_id, after=after, limit=limit, minCursor=min_cursor
    )


def _page(key: str, read: Callable[[Any], T]) -> Callable[[Any], Page[T]]:
    return lambda data: Page([read(each) for each in data[key]], data["hasMore"], data.get("total"))


def _export_page(key: str, read: Callable[[Any], T]) -> Callable[[Any], ExportPage[T]]:
    return lambda data: ExportPage([read(each) for each in data[key]], data["next"])
