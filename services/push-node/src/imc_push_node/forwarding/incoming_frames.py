"""What a gateway writes, without I/O: the frames of a wake-up in, the sends and the refusals in them out.

A frame is the body of ``create``, a list of up to 500 of them, or ``{"token": "…"}``. Each item of a list
stands for itself: a bad one is refused, the good ones go on. Nothing that a gateway writes in text ends its
connection.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import orjson
from imc_contracts.codes import ErrorCode
from imc_contracts.commands import SendMessage
from imc_contracts.errors import Refused
from imc_contracts.fields import MAX_BATCH, ClientMessageId
from imc_contracts.structure import UNCOUNTED_BYTES, require_bounded
from imc_contracts.validation import parse_fields
from pydantic import FailFast, TypeAdapter, ValidationError

_CLIENT_MESSAGE_ID: TypeAdapter[str] = TypeAdapter(ClientMessageId)
_SENDS: TypeAdapter[list[SendMessage]] = TypeAdapter(Annotated[list[SendMessage], FailFast()])


@dataclass(frozen=True, slots=True)
class Refusal:
    """A frame, or an item of one, that is not carried out. ``message`` is for people."""

    message: str
    client_message_id: str | None = None


@dataclass(slots=True)
class Reading:
    """What frames held, each kind in its order."""

    sends: list[SendMessage] = field(default_factory=list[SendMessage])
    refusals: list[Refusal] = field(default_factory=list[Refusal])
    tokens: list[str] = field(default_factory=list[str])
    """Fresh tokens: frames that were one and nothing else."""


def read_frames(texts: Sequence[bytes], app_id: str, most_refusals: int) -> Reading:
    """Read frames of a gateway of ``app_id``, up to the one that is refused beyond ``most_refusals``."""
    try:
        return Reading(_all_sends(texts, app_id))
    except (orjson.JSONDecodeError, TypeError, ValidationError, Refused):
        # Some frame is at fault, or a token: the second, slower look tells which.
        reading = Reading()
        for text in texts:
            _read_frame(reading, text, app_id)
            if len(reading.refusals) > most_refusals:
                break
        return reading


def _all_sends(texts: Sequence[bytes], app_id: str) -> list[SendMessage]:
    """The sends in frames that hold nothing else. One look at all is half of what a look at each costs."""
    items = [item for text in texts for item in _items(_loaded(text))]
    sends = _SENDS.validate_python([{"appId": app_id, **item} for item in items])
    for send in sends:
        _check_app(send, app_id)
    return sends


def _read_frame(reading: Reading, text: bytes, app_id: str) -> None:
    try:
        body = _loaded(text)
        items = _items(body)
    except orjson.JSONDecodeError as error:
        reading.refusals.append(Refusal(f"the frame is not valid JSON: {error.msg}"))
    except Refused as refused:
        reading.refusals.append(Refusal(refused.message))
    else:
        token = _token(body)
        if token is not None:
            reading.tokens.append(token)
            return
        for index, item in enumerate(items):
            _read_item(reading, item, app_id, *((index,) if isinstance(body, list) else ()))


def _loaded(text: bytes) -> Any:
    """The value in a frame; raises `Refused` if it holds too much, or `orjson.JSONDecodeError`."""
    if len(text) > UNCOUNTED_BYTES:
        require_bounded(text, "the frame")
    return orjson.loads(text)


def _items(body: Any) -> list[Any]:
    if not isinstance(body, list):
        return [body]
    items = cast("list[Any]", body)
    if not 1 <= len(items) <= MAX_BATCH:
        raise Refused(ErrorCode.INVALID_FIELD, f"a list in a frame must hold 1 to {MAX_BATCH} messages")
    return items


def _check_app(send: SendMessage, app_id: str) -> None:
    if send.app_id != app_id:
        raise Refused(ErrorCode.INVALID_FIELD, "appId must be the one in the path, or be left out")


def _token(body: Any) -> str | None:
    """The fresh token that a frame is. With any field beside it, it is a send that has a field of its own."""
    fields = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    token = fields.get("token") if len(fields) == 1 else None
    return token if isinstance(token, str) else None


def _read_item(reading: Reading, item: Any, app_id: str, *at: int) -> None:
    """Read one body of ``create``; ``at`` is its index, if the frame is a list."""
    fields = cast("dict[str, Any]", item) if isinstance(item, dict) else None
    try:
        send = parse_fields(SendMessage, item if fields is None else {"appId": app_id, **fields}, *at)
        _check_app(send, app_id)
    except Refused as refused:
        own_id = None if fields is None else _client_message_id(fields)
        reading.refusals.append(Refusal(refused.message, own_id))
    else:
        reading.sends.append(send)


def _client_message_id(fields: dict[str, Any]) -> str | None:
    try:
        return _CLIENT_MESSAGE_ID.validate_python(fields.get("clientMessageId"), strict=True)
    except ValidationError:
        return None
