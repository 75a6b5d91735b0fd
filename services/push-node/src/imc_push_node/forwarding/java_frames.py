"""Reads the frames that gateways write on the Java door, without I/O.

A frame is the body of ``/chat/message/create``, read as Jackson reads it. The Java version knows no lists and
no tokens in frames, so that these are refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from imc_contracts.errors import Refused
from imc_contracts.java_door.commands import SendMessage, parse_fields, parse_json
from imc_contracts.java_door.json_text import read_json

from imc_push_node.forwarding.incoming_frames import Reading, Send, require_app
from imc_push_node.gateway.frames import Refusal


def read_java_frames(texts: Sequence[bytes], app_id: str, most_refusals: int) -> Reading:
    """Read frames of a gateway of ``app_id``; see `ReadFrames`."""
    reading = Reading()
    for text in texts:
        try:
            message = _read_message(text, app_id)
            require_app(message, app_id)
        except Refused as refused:
            reading.refusals.append(Refusal(refused.code, refused.message))
            if len(reading.refusals) > most_refusals:
                break
        else:
            reading.sends.append(Send(message))
    return reading


def _read_message(text: bytes, app_id: str) -> SendMessage:
    try:
        return parse_json(SendMessage, text)
    except Refused:
        body = read_json(text)
        if not isinstance(body, Mapping):
            raise
        fields = cast("Mapping[str, Any]", body)
        if fields.get("appId") is not None:
            raise
        return parse_fields(SendMessage, {**fields, "appId": app_id})
