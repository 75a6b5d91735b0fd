"""What a gateway writes, without I/O: one text frame in, the sends and the refusals in it out.

A frame is the body of ``create``, a list of up to 500 of them, or ``{"token": "…"}``. Each item of a list
stands for itself: a bad one is refused, the good ones go on. Nothing that a gateway writes in text ends its
connection.
"""

from dataclasses import dataclass
from typing import Any, cast

import orjson
from imc_contracts.codes import ErrorCode
from imc_contracts.commands import SendMessage
from imc_contracts.errors import Refused
from imc_contracts.fields import MAX_BATCH, ClientMessageId
from imc_contracts.validation import parse_fields
from pydantic import TypeAdapter, ValidationError

_CLIENT_MESSAGE_ID: TypeAdapter[str] = TypeAdapter(ClientMessageId)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A frame, or an item of one, that is not carried out. ``message`` is for people."""

    message: str
    client_message_id: str | None = None


@dataclass(slots=True)
class Reading:
    """What a frame held, in its order."""

    sends: list[SendMessage]
    refusals: list[Refusal]
    token: str | None = None
    """A fresh token, if the frame was one and nothing else."""


def read_frame(text: bytes, app_id: str) -> Reading:
    """Read a frame of a gateway of ``app_id``."""
    reading = Reading([], [])
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        reading.refusals.append(Refusal(f"the frame is not valid JSON: {error.msg}"))
        return reading
    if not isinstance(body, list):
        reading.token = _token(body)
        if reading.token is None:
            _read_item(reading, body, app_id)
        return reading
    items = cast("list[Any]", body)
    if not 1 <= len(items) <= MAX_BATCH:
        reading.refusals.append(Refusal(f"a list in a frame must hold 1 to {MAX_BATCH} messages"))
        return reading
    for index, item in enumerate(items):
        _read_item(reading, item, app_id, index)
    return reading


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
        if send.app_id != app_id:
            raise Refused(ErrorCode.INVALID_FIELD, "appId must be the one in the path, or be left out")
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
