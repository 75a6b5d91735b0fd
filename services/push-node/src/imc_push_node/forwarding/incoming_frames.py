"""Reads the frames that gateways write on v1, without I/O.

A frame is the body of ``send-message``, a list of up to 500 of them, ``{"token": "…"}``, or a change of the
groups that the gateway holds. A bad item of a list is refused alone; the others are sent. No text ends the
connection of the gateway that wrote it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple, cast

import orjson
from imc_contracts.codes import ErrorCode
from imc_contracts.commands import ChangeGroups, SendMessage
from imc_contracts.errors import Refused
from imc_contracts.fields import MAX_BATCH, ClientMessageId
from imc_contracts.structure import UNCOUNTED_BYTES, require_bounded
from imc_contracts.validation import parse_fields
from pydantic import FailFast, TypeAdapter, ValidationError

from imc_push_node.gateway.frames import Refusal

_NAMES_GROUPS = frozenset({"addGroups", "removeGroups"})
_IS_SEND = frozenset({"groupId", "userId", "content"})
_CLIENT_MESSAGE_ID: TypeAdapter[str] = TypeAdapter(ClientMessageId)
_MESSAGES: TypeAdapter[list[SendMessage]] = TypeAdapter(Annotated[list[SendMessage], FailFast()])


class Send(NamedTuple):
    """A message to send, and its index in its frame if that was a list."""

    message: SendMessage
    list_index: int | None = None


@dataclass(slots=True)
class Reading:
    """What frames held, each kind in the order it came."""

    sends: list[Send] = field(default_factory=list[Send])
    refusals: list[Refusal] = field(default_factory=list[Refusal])
    tokens: list[str] = field(default_factory=list[str])
    """Fresh tokens: frames that held a token and nothing else."""
    group_changes: list[ChangeGroups | Refused] = field(default_factory=list[ChangeGroups | Refused])
    """What to change of the groups that the gateway holds, and why some frames can't be read."""


ReadFrames = Callable[[Sequence[bytes], str, int], Reading]
"""Reads frames of a gateway of an app, given its id. Stops after more refusals than the third argument."""


def read_frames(texts: Sequence[bytes], app_id: str, most_refusals: int) -> Reading:
    """Read frames of a gateway of ``app_id``; see `ReadFrames`."""
    try:
        return Reading(_all_sends(texts, app_id))
    except (orjson.JSONDecodeError, AttributeError, ValidationError, Refused):
        # Some frame is malformed, or no send. The second, slower pass finds out which.
        reading = Reading()
        for text in texts:
            _read_frame(reading, text, app_id)
            if len(reading.refusals) + len(reading.group_changes) > most_refusals:
                break
        return reading


def require_app(message: SendMessage, app_id: str) -> None:
    """Raise `Refused` unless ``message`` is one of ``app_id``."""
    if message.app_id != app_id:
        raise Refused(ErrorCode.INVALID_FIELD, "appId must be the one in the path, or be left out")


def _all_sends(texts: Sequence[bytes], app_id: str) -> list[Send]:
    """Read frames that hold sends and nothing else: together, in half the time that each would take alone."""
    items: list[Any] = []
    indexes: list[int | None] = []
    for text in texts:
        body = _loaded(text)
        if isinstance(body, list):
            items += _checked_list(cast("list[Any]", body))
            indexes += range(len(items) - len(indexes))
        else:
            items.append(body)
            indexes.append(None)
    messages = _MESSAGES.validate_python([_with_app(item, app_id) for item in items])
    for message in messages:
        require_app(message, app_id)
    return list(map(Send, messages, indexes))


def _read_frame(reading: Reading, text: bytes, app_id: str) -> None:
    try:
        body = _loaded(text)
        items = _checked_list(cast("list[Any]", body)) if isinstance(body, list) else None
    except orjson.JSONDecodeError as error:
        message = f"the frame is not valid JSON: {error.msg}"
        reading.refusals.append(Refusal(ErrorCode.INVALID_FIELD, message))
    except Refused as refused:
        reading.refusals.append(Refusal(refused.code, refused.message))
    else:
        token = _token(body)
        if token is not None:
            reading.tokens.append(token)
            return
        if _changes_groups(body):
            reading.group_changes.append(_group_change(body))
            return
        if items is None:
            _read_item(reading, body, app_id, None)
            return
        for index, item in enumerate(items):
            _read_item(reading, item, app_id, index)


def _loaded(text: bytes) -> Any:
    """Parse a frame. Raises `Refused` if it holds too many values, and `orjson.JSONDecodeError`."""
    if len(text) > UNCOUNTED_BYTES:
        require_bounded(text, "the frame")
    return orjson.loads(text)


def _checked_list(items: list[Any]) -> list[Any]:
    if not 1 <= len(items) <= MAX_BATCH:
        raise Refused(ErrorCode.INVALID_FIELD, f"a list in a frame must hold 1 to {MAX_BATCH} messages")
    return items


def _with_app(item: dict[str, Any], app_id: str) -> dict[str, Any]:
    """Add the appId to an item that leaves it out, or has null there."""
    return {**item, "appId": app_id} if item.get("appId") is None else item


def _token(body: Any) -> str | None:
    """The token in a frame that holds nothing else. With another field beside it, the frame is a send."""
    fields = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    token = fields.get("token") if len(fields) == 1 else None
    return token if isinstance(token, str) else None


def _changes_groups(body: Any) -> bool:
    """Whether a frame names groups to hold. With a field of a send beside that, it is a send."""
    fields = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    return not _NAMES_GROUPS.isdisjoint(fields) and _IS_SEND.isdisjoint(fields)


def _group_change(body: Any) -> ChangeGroups | Refused:
    try:
        return parse_fields(ChangeGroups, body)
    except Refused as refused:
        return refused


def _read_item(reading: Reading, item: Any, app_id: str, index: int | None) -> None:
    fields = cast("dict[str, Any]", item) if isinstance(item, dict) else None
    at = () if index is None else (index,)
    try:
        message = parse_fields(SendMessage, item if fields is None else _with_app(fields, app_id), *at)
        require_app(message, app_id)
    except Refused as refused:
        own_id = None if fields is None else _client_message_id(fields)
        reading.refusals.append(Refusal(refused.code, refused.message, own_id, index))
    else:
        reading.sends.append(Send(message, index))


def _client_message_id(fields: dict[str, Any]) -> str | None:
    try:
        return _CLIENT_MESSAGE_ID.validate_python(fields.get("clientMessageId"), strict=True)
    except ValidationError:
        return None
